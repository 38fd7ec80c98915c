"""Why a model was put in service, what is pinned, which model runs next to the serving one."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the kind and reason of promotions, and both tables; earlier promotions by `trainer` were trainings'."""
    op.add_column("promotions", sa.Column("kind", sa.String(16), nullable=False, server_default="manual"))
    op.add_column("promotions", sa.Column("reason", sa.String(256), nullable=False, server_default=""))
    op.execute("UPDATE promotions SET kind = 'trained' WHERE promoted_by = 'trainer'")
    op.create_table(
        "pins",
        sa.Column("pin_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("retailer", sa.String(48), nullable=False, index=True),
        sa.Column("model_version", sa.String(128), sa.ForeignKey("models.model_version"), nullable=False),
        sa.Column("pinned_ms", sa.BigInteger, nullable=False),
        sa.Column("pinned_by", sa.String(128), nullable=False),
        sa.Column("reason", sa.String(256), nullable=False),
        sa.Column("released_ms", sa.BigInteger),
        sa.Column("released_by", sa.String(128)),
    )
    op.create_table(
        "challenges",
        sa.Column("challenge_id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("retailer", sa.String(48), nullable=False, index=True),
        sa.Column("model_version", sa.String(128), sa.ForeignKey("models.model_version")),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("share", sa.Float, nullable=False),
        sa.Column("decided_ms", sa.BigInteger, nullable=False),
        sa.Column("decided_by", sa.String(128), nullable=False),
        sa.Column("confirmed", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Drops both tables and both columns."""
    op.drop_table("challenges")
    op.drop_table("pins")
    with op.batch_alter_table("promotions") as promotions:
        promotions.drop_column("reason")
        promotions.drop_column("kind")
