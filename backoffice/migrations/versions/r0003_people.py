"""People, their roles, sessions, sign-in links and failed attempts to sign in."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "people",
        sa.Column("person_id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(120), nullable=False, unique=True),
        sa.Column("password_hash", sa.String(256)),
        sa.Column("issuer", sa.String(256)),
        sa.Column("subject", sa.String(256)),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("made_by", sa.String(128), nullable=False),
        sa.Column("disabled_ms", sa.BigInteger),
        sa.UniqueConstraint("issuer", "subject"),
    )
    op.create_table(
        "roles",
        sa.Column("person_id", sa.String(16), sa.ForeignKey("people.person_id"), primary_key=True),
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("role", sa.String(16), primary_key=True),
        sa.Column("given_by", sa.String(128), nullable=False),
    )
    op.create_index("roles_by_retailer", "roles", ["retailer"])
    op.create_table(
        "sessions",
        sa.Column("session_sha256", sa.String(64), primary_key=True),
        sa.Column("person_id", sa.String(16), sa.ForeignKey("people.person_id"), nullable=False, index=True),
        sa.Column("opened_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("seen_ms", sa.BigInteger, nullable=False),
        sa.Column("opened_with", sa.String(16), nullable=False),
    )
    op.create_table(
        "sign_in_links",
        sa.Column("link_sha256", sa.String(64), primary_key=True),
        sa.Column("person_id", sa.String(16), sa.ForeignKey("people.person_id"), nullable=False, index=True),
        sa.Column("expires_ms", sa.BigInteger, nullable=False, index=True),
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("of_sha256", sa.String(64), primary_key=True),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_ms", sa.BigInteger, nullable=False, index=True),
    )


def downgrade() -> None:
    """Drops them."""
    for table in ("sign_in_failures", "sign_in_links", "sessions", "roles", "people"):
        op.drop_table(table)
