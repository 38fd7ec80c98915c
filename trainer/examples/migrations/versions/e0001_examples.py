"""Examples, revisions of labels, and how far training has come."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "e0001"
down_revision = None
branch_labels = None
depends_on = None

_KEY = sa.String(128).with_variant(mysql.VARCHAR(128, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
"""Compared byte by byte: MariaDB's usual collation takes two ids that differ in case for one."""
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""SQLite counts up only in a column that is called INTEGER."""


def upgrade() -> None:
    """Creates the three tables."""
    op.create_table(
        "examples",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("transaction_id", _KEY, primary_key=True),
        sa.Column("event_time_ms", sa.BigInteger, nullable=False),
        sa.Column("applied_seq", sa.BigInteger, nullable=False),
        sa.Column("feature_schema", sa.String(64), nullable=False),
        sa.Column("features", sa.LargeBinary(65_535), nullable=False),
        sa.Column("score", sa.Double, nullable=False),
        sa.Column("model_version", sa.String(128), nullable=False),
        sa.Column("decision", sa.String(16), nullable=False),
        sa.Column("control", sa.Boolean, nullable=False),
        sa.Column("amount_base_minor", sa.BigInteger, nullable=False),
        sa.Column("entities", sa.LargeBinary(1_024), nullable=False),
        sa.Column("fraud", sa.Boolean, nullable=True),
    )
    op.create_index("examples_in_order", "examples", ["retailer", "event_time_ms", "applied_seq", "transaction_id"])
    op.create_table(
        "labels",
        sa.Column("number", _NUMBER, primary_key=True, autoincrement=True),
        sa.Column("retailer", sa.String(48), nullable=False),
        sa.Column("transaction_id", _KEY, nullable=False),
        sa.Column("label_time_ms", sa.BigInteger, nullable=False),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("fraud", sa.Boolean, nullable=False),
        sa.Column("kind", sa.String(64), nullable=True),
        sqlite_autoincrement=True,  # a number is never given twice, also when the newest label was pruned
    )
    op.create_index(
        "labels_once",
        "labels",
        ["retailer", "transaction_id", "label_time_ms", "source", "fraud"],
        unique=True,
    )
    op.create_index("labels_in_time", "labels", ["retailer", "label_time_ms"])
    op.create_table(
        "trainings",
        sa.Column("retailer", sa.String(48), primary_key=True),
        sa.Column("label_number", sa.BigInteger, nullable=False),
        sa.Column("ended_ms", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drops them."""
    for table in ("trainings", "labels", "examples"):
        op.drop_table(table)
