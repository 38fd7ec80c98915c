"""Proposals that wait for a second person, and sign-ins by an identity provider that are under way."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates both tables."""
    op.create_table(
        "approvals",
        sa.Column("approval_id", sa.String(16), primary_key=True),
        sa.Column("retailer", sa.String(48), nullable=False),
        sa.Column("action", sa.String(48), nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("document_sha256", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("proposed_by_id", sa.String(64), nullable=False),
        sa.Column("proposed_by", sa.String(128), nullable=False),
        sa.Column("proposed_ms", sa.BigInteger, nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("approved_by", sa.String(128)),
        sa.Column("approved_ms", sa.BigInteger),
        sa.Column("ended_ms", sa.BigInteger),
    )
    op.create_index("approvals_by_retailer", "approvals", ["retailer", "proposed_ms"])
    op.create_table(
        "oidc_flows",
        sa.Column("state_sha256", sa.String(64), primary_key=True),
        sa.Column("browser_sha256", sa.String(64), nullable=False),
        sa.Column("nonce", sa.String(64), nullable=False),
        sa.Column("verifier", sa.String(64), nullable=False),
        sa.Column("expires_ms", sa.BigInteger, nullable=False, index=True),
    )


def downgrade() -> None:
    """Drops both tables."""
    op.drop_table("oidc_flows")
    op.drop_table("approvals")
