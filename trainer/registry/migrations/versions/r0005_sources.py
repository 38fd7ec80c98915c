"""What each training learned from: the examples store, or a file."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; until now only trainings on the examples store were noted."""
    op.add_column("attempts", sa.Column("source", sa.String(128), nullable=False, server_default="examples store"))


def downgrade() -> None:
    """Drops it."""
    with op.batch_alter_table("attempts") as table:
        table.drop_column("source")
