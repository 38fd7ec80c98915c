"""Alembic's entry: migrates on the connection that trainer.database holds, under its lock.

The versions are noted in a table of their own, so that examples and registry may share a database.
"""

from alembic import context

from trainer.database import EXAMPLES_VERSION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=None,
    version_table=EXAMPLES_VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
