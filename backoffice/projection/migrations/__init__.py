"""Schema of the read model, by Alembic; run by backoffice.projection.store at start, never by hand."""
