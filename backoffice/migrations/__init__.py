"""Alembic migrations of what is born in the backoffice: one chain for all of its tables."""
