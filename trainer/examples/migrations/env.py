"""Alembic's entry: migrates on the connection that trainer.examples.store holds, under its lock.

The versions are noted in a table of their own, so that examples and registry may share a database.
"""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,
    version_table="examples_version",
)
with context.begin_transaction():
    context.run_migrations()
