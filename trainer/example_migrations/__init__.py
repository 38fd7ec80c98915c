"""Schema of the examples store, by Alembic; run by trainer.example_store at start, never by hand."""
