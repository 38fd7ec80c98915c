"""Alembic's entry: migrates on the connection that backoffice.projection.store holds, under its lock."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], target_metadata=None)
with context.begin_transaction():
    context.run_migrations()
