"""Transactions with their case, verdicts, entities, labels, resolutions, alarms, processes, dead letters, and how far the topics were read."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

WITH_DOCUMENT = ("transactions", "verdicts", "labels", "resolutions", "alarms", "processes", "dead_letters")


def upgrade() -> None:
    """Creates the tables and their indexes."""
    _create_transactions()
    _create_verdicts()
    _create_entities()
    _create_told()
    _create_letters()
    _create_progress()


def downgrade() -> None:
    """Drops them."""
    for table in (*WITH_DOCUMENT, "entities", "erasures", "minutes", "projections", "positions"):
        op.drop_table(table)


def _create_transactions() -> None:
    op.create_table(
        "transactions",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("transaction_id", sa.String(128), primary_key=True),
        sa.Column("event_ms", sa.BigInteger, nullable=False),
        sa.Column("ingest_ms", sa.BigInteger),
        sa.Column("base_minor", sa.BigInteger),
        sa.Column("document", sa.Text),
        sa.Column("history", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer),
        sa.Column("decision", sa.String(8)),
        sa.Column("score", sa.Float),
        sa.Column("outcome", sa.String(32)),
        sa.Column("scored_ms", sa.BigInteger),
        sa.Column("hold_ms", sa.BigInteger),
        sa.Column("resolved", sa.Boolean, nullable=False),
        sa.Column("case_state", sa.String(8)),
        sa.Column("loss_minor", sa.BigInteger, nullable=False),
        sa.Column("due_ms", sa.BigInteger),
        sqlite_with_rowid=False,
    )
    op.create_index("transactions_by_time", "transactions", ["retailer", "event_ms", "transaction_id"])
    # whatever a page of the queue is chosen by stands in its index: a page that takes one row in a thousand reads no more than that
    queue: list[str | sa.TextClause] = [
        "retailer",
        "case_state",
        sa.text("loss_minor DESC"),
        "transaction_id",
        "decision",
        "base_minor",
    ]
    _create_case_index("cases_by_loss", queue)
    _create_case_index(
        "cases_by_time", ["retailer", "case_state", "due_ms", "transaction_id", "decision", "base_minor"]
    )


def _create_case_index(name: str, columns: list[str | sa.TextClause]) -> None:
    there = sa.text("case_state IS NOT NULL")
    op.create_index(name, "transactions", columns, sqlite_where=there, postgresql_where=there)


def _create_verdicts() -> None:
    op.create_table(
        "verdicts",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("transaction_id", sa.String(128), primary_key=True),
        sa.Column("revision", sa.Integer, primary_key=True),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("appended_ms", sa.BigInteger, nullable=False),
        sa.Column("scored_ms", sa.BigInteger, nullable=False),
        sa.Column("decision", sa.String(8), nullable=False),
        sa.Column("degraded", sa.Boolean, nullable=False),
        sa.Column("late", sa.Boolean, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("verdicts_by_seq", "verdicts", ["retailer", "seq", "appended_ms"])
    op.create_index("verdicts_by_time", "verdicts", ["retailer", "scored_ms"])


def _create_entities() -> None:
    op.create_table(
        "entities",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("token", sa.String(128), primary_key=True),
        sa.Column("event_ms", sa.BigInteger, primary_key=True),
        sa.Column("transaction_id", sa.String(128), primary_key=True),
        sqlite_with_rowid=False,
    )


def _create_told() -> None:
    op.create_table(
        "labels",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("transaction_id", sa.String(128), primary_key=True),
        sa.Column("digest", sa.String(32), primary_key=True),
        sa.Column("label_ms", sa.BigInteger, nullable=False),
        sa.Column("appended_ms", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("labels_by_time", "labels", ["retailer", "appended_ms"])
    op.create_table(
        "resolutions",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("transaction_id", sa.String(128), primary_key=True),
        sa.Column("resolution_id", sa.String(128), primary_key=True),
        sa.Column("resolved_ms", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "resolutions_by_time", "resolutions", ["retailer", "resolved_ms", "resolution_id", "transaction_id"]
    )
    op.create_table(
        "erasures",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("transaction_id", sa.String(128), primary_key=True),
        sa.Column("appended_ms", sa.BigInteger, nullable=False),
        sqlite_with_rowid=False,
    )


def _create_letters() -> None:
    op.create_table(
        "alarms",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("alarm_id", sa.String(128), primary_key=True),
        sa.Column("raised_ms", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("alarms_by_time", "alarms", ["retailer", "raised_ms", "alarm_id"])
    op.create_table(
        "processes",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("part", sa.String(64), primary_key=True),
        sa.Column("process", sa.String(128), primary_key=True),
        sa.Column("appended_ms", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_table(
        "dead_letters",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("topic_id", sa.String(32), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("offset", sa.BigInteger, primary_key=True),
        sa.Column("key", sa.String(256)),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("part", sa.String(64), nullable=False),
        sa.Column("failed_ms", sa.BigInteger, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("dead_letters_by_time", "dead_letters", ["retailer", "failed_ms", "partition", "offset"])
    op.create_index("dead_letters_by_reason", "dead_letters", ["retailer", "reason", "part", "failed_ms"])
    op.create_index("dead_letters_by_key", "dead_letters", ["retailer", "key"])


def _create_progress() -> None:
    op.create_table(
        "minutes",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("minute", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("decision", sa.String(8), primary_key=True),
        sa.Column("degraded", sa.Boolean, primary_key=True),
        sa.Column("late", sa.Boolean, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "projections",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("generation", sa.String(32), nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("next_seq", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "positions",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("topic", sa.String(249), primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("topic_id", sa.String(32), nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
    )
