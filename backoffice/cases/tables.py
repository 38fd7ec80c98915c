"""Case work in the database of what is born here; the migrations make the tables. Times are milliseconds since 1970."""

import sqlalchemy as sa

METADATA = sa.MetaData()
LOCKS = sa.Table(
    "case_locks",
    METADATA,
    sa.Column("retailer", sa.String(48), primary_key=True),
    sa.Column("transaction_id", sa.String(128), primary_key=True),
    sa.Column("holder_kind", sa.String(16)),
    sa.Column("holder_id", sa.String(64)),
    sa.Column("holder_name", sa.String(128)),
    sa.Column("taken_ms", sa.BigInteger),
    sa.Column("until_ms", sa.BigInteger),
)
"""A case's row is also what its decisions wait for each other at."""
DECISIONS = sa.Table(
    "case_decisions",
    METADATA,
    sa.Column("retailer", sa.String(48), primary_key=True),
    sa.Column("transaction_id", sa.String(128), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("decision_id", sa.String(32)),
    sa.Column("outcome", sa.String(32)),
    sa.Column("who_kind", sa.String(16)),
    sa.Column("who_id", sa.String(64)),
    sa.Column("who_name", sa.String(128)),
    sa.Column("taken_ms", sa.BigInteger),
    sa.Column("decided_ms", sa.BigInteger),
    sa.Column("request_key", sa.String(64)),
    sa.Column("state", sa.String(16)),
    sa.Column("revision", sa.Integer),
    sa.Column("reason", sa.String(64)),
    sa.Column("detail", sa.String(512)),
    sa.Column("settled_ms", sa.BigInteger),
    sa.Column("next_ms", sa.BigInteger),
    sa.Column("sends", sa.Integer),
)
"""`number` counts a case's decisions: a second one is possible only where the first was refused."""
MARKS = sa.Table(
    "case_marks",
    METADATA,
    sa.Column("mark_id", sa.String(32), primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("transaction_id", sa.String(128)),
    sa.Column("decision_id", sa.String(32)),
    sa.Column("document", sa.Text),
    sa.Column("made_ms", sa.BigInteger),
    sa.Column("state", sa.String(16)),
    sa.Column("detail", sa.String(512)),
)
"""Snoozes and list entries that a decision asked for."""
NOTES = sa.Table(
    "case_notes",
    METADATA,
    sa.Column("note_id", sa.String(32), primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("transaction_id", sa.String(128)),
    sa.Column("text", sa.Text),
    sa.Column("who_kind", sa.String(16)),
    sa.Column("who_id", sa.String(64)),
    sa.Column("who_name", sa.String(128)),
    sa.Column("noted_ms", sa.BigInteger),
)
