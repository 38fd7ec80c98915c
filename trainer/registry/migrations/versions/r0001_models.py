"""Models and promotions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates both tables."""
    op.create_table(
        "models",
        sa.Column("model_version", sa.String(128), primary_key=True),
        sa.Column("retailer", sa.String(48), nullable=False, index=True),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("package_sha256", sa.String(64), nullable=False),
        sa.Column("package_bytes", sa.BigInteger, nullable=False),
        sa.Column("manifest", sa.Text, nullable=False),
    )
    op.create_table(
        "promotions",
        sa.Column("promotion_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("retailer", sa.String(48), nullable=False, index=True),
        sa.Column("model_version", sa.String(128), sa.ForeignKey("models.model_version"), nullable=False),
        sa.Column("promoted_ms", sa.BigInteger, nullable=False),
        sa.Column("promoted_by", sa.String(128), nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Drops both tables."""
    op.drop_table("promotions")
    op.drop_table("models")
