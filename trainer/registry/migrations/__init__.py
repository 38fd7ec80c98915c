"""Schema of the model registry, by Alembic; run by trainer.registry at start, never by hand."""
