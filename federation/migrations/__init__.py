"""Schema of the checkpoints, by Alembic; run by federation.store at start, never by hand."""
