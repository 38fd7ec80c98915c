"""Case work: who has a case, what was decided, what else follows from a decision, and notes; answers to repeated requests."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "case_locks",
        *_case(),
        *_who("holder"),
        sa.Column("taken_ms", sa.BigInteger, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("case_locks_of_holder", "case_locks", ["retailer", "holder_id", "until_ms"])
    op.create_table(
        "case_decisions",
        *_case(),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("decision_id", sa.String(32), nullable=False, unique=True),
        sa.Column("outcome", sa.String(32), nullable=False),
        *_who("who"),
        sa.Column("taken_ms", sa.BigInteger, nullable=False),
        sa.Column("decided_ms", sa.BigInteger, nullable=False),
        sa.Column("request_key", sa.String(64)),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("revision", sa.Integer),
        sa.Column("reason", sa.String(64)),
        sa.Column("detail", sa.String(512)),
        sa.Column("settled_ms", sa.BigInteger),
        sa.Column("next_ms", sa.BigInteger, nullable=False),
        sa.Column("sends", sa.Integer, nullable=False),
    )
    op.create_index("case_decisions_to_send", "case_decisions", ["retailer", "state", "next_ms"])
    op.create_index("case_decisions_by_time", "case_decisions", ["retailer", "decided_ms"])
    op.create_table(
        "case_marks",
        sa.Column("mark_id", sa.String(32), primary_key=True),
        sa.Column("retailer", sa.String(48), nullable=False),
        sa.Column("transaction_id", sa.String(128), nullable=False),
        sa.Column("decision_id", sa.String(32), nullable=False, index=True),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("made_ms", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("detail", sa.String(512)),
    )
    op.create_index("case_marks_of_case", "case_marks", ["retailer", "transaction_id"])
    op.create_index("case_marks_to_apply", "case_marks", ["retailer", "state", "made_ms"])
    op.create_table(
        "case_notes",
        sa.Column("note_id", sa.String(32), primary_key=True),
        sa.Column("retailer", sa.String(48), nullable=False),
        sa.Column("transaction_id", sa.String(128), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        *_who("who"),
        sa.Column("noted_ms", sa.BigInteger, nullable=False),
    )
    op.create_index("case_notes_of_case", "case_notes", ["retailer", "transaction_id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("who_id", sa.String(64), primary_key=True),
        sa.Column("request_key", sa.String(64), primary_key=True),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("attempt", sa.String(32), nullable=False),
        sa.Column("begun_ms", sa.BigInteger, nullable=False, index=True),
        sa.Column("status", sa.Integer),
        sa.Column("answer", sa.Text),
    )


def downgrade() -> None:
    """Drops them."""
    for table in ("idempotency_keys", "case_notes", "case_marks", "case_decisions", "case_locks"):
        op.drop_table(table)


def _case() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("transaction_id", sa.String(128), primary_key=True),
    )


def _who(prefix: str) -> tuple[sa.Column[str], ...]:
    return (
        sa.Column(f"{prefix}_kind", sa.String(16), nullable=False),
        sa.Column(f"{prefix}_id", sa.String(64), nullable=False),
        sa.Column(f"{prefix}_name", sa.String(128), nullable=False),
    )
