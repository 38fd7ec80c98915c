"""What the read model keeps: its tables. The migrations make them.

Times are milliseconds since 1970. A `document` is the message as JSON, so that a field that a later version adds is there when that version
reads; columns next to it are what queries choose and sort by.
"""

import sqlalchemy as sa

METADATA = sa.MetaData()


def _retailer() -> sa.Column[str]:
    return sa.Column("retailer", sa.String(48), primary_key=True)


def _transaction_id() -> sa.Column[str]:
    return sa.Column("transaction_id", sa.String(128), primary_key=True)


TRANSACTIONS = sa.Table(
    "transactions",
    METADATA,
    _retailer(),
    _transaction_id(),
    # of the transaction; event_ms of its verdict while the transaction has not come
    sa.Column("event_ms", sa.BigInteger),
    sa.Column("ingest_ms", sa.BigInteger),
    sa.Column("base_minor", sa.BigInteger),
    sa.Column("document", sa.Text),
    sa.Column("history", sa.Boolean),
    # of its newest verdict
    sa.Column("revision", sa.Integer),
    sa.Column("decision", sa.String(8)),
    sa.Column("score", sa.Float),
    sa.Column("outcome", sa.String(32)),
    sa.Column("scored_ms", sa.BigInteger),
    sa.Column("hold_ms", sa.BigInteger),
    # of the case, which follows from the others
    sa.Column("resolved", sa.Boolean),
    sa.Column("case_state", sa.String(8)),
    sa.Column("loss_minor", sa.BigInteger),
    sa.Column("due_ms", sa.BigInteger),
)
"""One row for each id that a transaction or a verdict named."""
VERDICTS = sa.Table(
    "verdicts",
    METADATA,
    _retailer(),
    _transaction_id(),
    sa.Column("revision", sa.Integer, primary_key=True),
    sa.Column("seq", sa.BigInteger),
    sa.Column("appended_ms", sa.BigInteger),
    sa.Column("scored_ms", sa.BigInteger),
    sa.Column("decision", sa.String(8)),
    sa.Column("degraded", sa.Boolean),
    sa.Column("late", sa.Boolean),
    sa.Column("document", sa.Text),
)
"""`seq` numbers a retailer's rows in the order in which they came: no two are equal, and none comes again."""
ENTITIES = sa.Table(
    "entities",
    METADATA,
    _retailer(),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("token", sa.String(128), primary_key=True),
    sa.Column("event_ms", sa.BigInteger, primary_key=True),
    _transaction_id(),
    sqlite_with_rowid=False,
)
LABELS = sa.Table(
    "labels",
    METADATA,
    _retailer(),
    _transaction_id(),
    sa.Column("digest", sa.String(32), primary_key=True),
    sa.Column("label_ms", sa.BigInteger),
    sa.Column("appended_ms", sa.BigInteger),
    sa.Column("offset", sa.BigInteger),
    sa.Column("document", sa.Text),
)
"""`digest` is of the label's meaning, so that the same label told twice is one row."""
RESOLUTIONS = sa.Table(
    "resolutions",
    METADATA,
    _retailer(),
    _transaction_id(),
    sa.Column("resolution_id", sa.String(128), primary_key=True),
    sa.Column("resolved_ms", sa.BigInteger),
    sa.Column("document", sa.Text),
)
ALARMS = sa.Table(
    "alarms",
    METADATA,
    _retailer(),
    sa.Column("alarm_id", sa.String(128), primary_key=True),
    sa.Column("raised_ms", sa.BigInteger),
    sa.Column("document", sa.Text),
)
PROCESSES = sa.Table(
    "processes",
    METADATA,
    _retailer(),
    sa.Column("part", sa.String(64), primary_key=True),
    sa.Column("process", sa.String(128), primary_key=True),
    sa.Column("appended_ms", sa.BigInteger),
    sa.Column("offset", sa.BigInteger),
    sa.Column("document", sa.Text),
)
"""The newest heartbeat of each process."""
DEAD_LETTERS = sa.Table(
    "dead_letters",
    METADATA,
    _retailer(),
    sa.Column("topic_id", sa.String(32), primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("offset", sa.BigInteger, primary_key=True),
    sa.Column("key", sa.String(256)),
    sa.Column("reason", sa.String(64)),
    sa.Column("part", sa.String(64)),
    sa.Column("failed_ms", sa.BigInteger),
    sa.Column("document", sa.Text),
)
ERASURES = sa.Table(
    "erasures",
    METADATA,
    _retailer(),
    _transaction_id(),
    sa.Column("appended_ms", sa.BigInteger),
)
"""Transactions that were erased: whatever comes of them again is not taken in."""
MINUTES = sa.Table(
    "minutes",
    METADATA,
    _retailer(),
    sa.Column("minute", sa.Integer, primary_key=True),
    sa.Column("decision", sa.String(8), primary_key=True),
    sa.Column("degraded", sa.Boolean, primary_key=True),
    sa.Column("late", sa.Boolean, primary_key=True),
    sa.Column("count", sa.Integer),
)
"""How many rows of `verdicts` with revision 0 or 1 were scored in that minute since 1970."""
PROJECTIONS = sa.Table(
    "projections",
    METADATA,
    _retailer(),
    sa.Column("generation", sa.String(32)),
    sa.Column("version", sa.BigInteger),
    sa.Column("next_seq", sa.BigInteger),
)
"""`generation` tells a rebuilt read model from the one before; `version` counts batches, so that a second projector finds itself refused."""
POSITIONS = sa.Table(
    "positions",
    METADATA,
    _retailer(),
    sa.Column("topic", sa.String(249), primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("topic_id", sa.String(32)),
    sa.Column("next_offset", sa.BigInteger),
)
"""How far each topic was read: written together with the rows that came of it."""
