"""Checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the table."""
    op.create_table(
        "federation_checkpoints",
        sa.Column("owner", sa.String(128), primary_key=True),
        sa.Column("saved_ms", sa.BigInteger, nullable=False),
        sa.Column("positions", sa.Text, nullable=False),
        sa.Column("state", sa.LargeBinary(2**32 - 1), nullable=False),
        sa.Column("state_sha256", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    """Drops the table."""
    op.drop_table("federation_checkpoints")
