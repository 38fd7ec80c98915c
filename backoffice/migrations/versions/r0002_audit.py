"""The audit trail."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the entries, and the head of each chain."""
    op.create_table(
        "audit_entries",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("who_kind", sa.String(16), nullable=False),
        sa.Column("who_id", sa.String(64), nullable=False),
        sa.Column("who_name", sa.String(128), nullable=False),
        sa.Column("action", sa.String(48), nullable=False),
        sa.Column("object", sa.String(256), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("details", sa.Text, nullable=False),
    )
    op.create_table(
        "audit_heads",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("following", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )


def downgrade() -> None:
    """Drops both tables."""
    op.drop_table("audit_heads")
    op.drop_table("audit_entries")
