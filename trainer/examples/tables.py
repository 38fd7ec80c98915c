"""Tables of the examples store as the code reads them; trainer.examples.migrations makes them."""

import sqlalchemy as sa

METADATA = sa.MetaData()

EXAMPLES = sa.Table(
    "examples",
    METADATA,
    sa.Column("retailer", sa.String(48), primary_key=True),
    sa.Column("transaction_id", sa.String(128), primary_key=True),
    sa.Column("event_time_ms", sa.BigInteger),
    sa.Column("applied_seq", sa.BigInteger),
    sa.Column("feature_schema", sa.String(64)),
    sa.Column("features", sa.LargeBinary),
    sa.Column("score", sa.Double),
    sa.Column("model_version", sa.String(128)),
    sa.Column("decision", sa.String(16)),
    sa.Column("control", sa.Boolean),
    sa.Column("amount_base_minor", sa.BigInteger),
    sa.Column("entities", sa.LargeBinary),
    sa.Column("fraud", sa.Boolean),
)
"""One row a transaction: its FeatureRecord as it came, and the newest label (`fraud`; NULL: none came)."""
LABELS = sa.Table(
    "labels",
    METADATA,
    sa.Column("number", sa.BigInteger, primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("transaction_id", sa.String(128)),
    sa.Column("label_time_ms", sa.BigInteger),
    sa.Column("source", sa.String(16)),
    sa.Column("fraud", sa.Boolean),
    sa.Column("kind", sa.String(64)),
)
"""One row a revision of a label; `number` counts up in the order of arrival."""
TRAININGS = sa.Table(
    "trainings",
    METADATA,
    sa.Column("retailer", sa.String(48), primary_key=True),
    sa.Column("label_number", sa.BigInteger),
    sa.Column("ended_ms", sa.BigInteger),
)
"""How far the last training that ended had read the labels."""
