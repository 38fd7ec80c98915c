"""Alembic's entry: migrates on the connection that federation.store holds, under its lock, next to other parts' tables."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"], target_metadata=None, version_table="federation_version"
)
with context.begin_transaction():
    context.run_migrations()
