"""Schema of the examples store, by Alembic; run by trainer.examples.store at start, never by hand."""
