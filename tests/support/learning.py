"""Feature records and labels as they stand on the topics, for what learns from them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from contract.events import Label
from contract.features import FeatureRecord, names, schema_hash
from support.workbench import ORIGIN

BEGAN = datetime(2026, 9, 1, tzinfo=UTC)


def feature_record(number: int, *, retailer: str = "shop", **changes: Any) -> FeatureRecord:
    """Transaction `t-<number>`, `number` minutes after BEGAN; its first feature is `number`, the others are missing."""
    values = np.full(len(names()), np.nan, dtype="<f4")
    values[0] = number
    fields: dict[str, Any] = {
        "transaction_id": f"t-{number}", "retailer": retailer, "event_time": BEGAN + timedelta(minutes=number),
        "applied_seq": number + 1, "feature_schema": schema_hash(), "values": values.tobytes(), "score": 0.1,
        "model_version": "m-1", "rules_version": "r", "decision": "allow", "amount_base_minor": 1_000,
    }  # fmt: skip
    return FeatureRecord(**(fields | changes))


def label(number: int, *, fraud: bool = True, retailer: str = "shop", day: float = 1.0, **changes: Any) -> Label:
    """For transaction `t-<number>`, known `day` days after it happened."""
    moment = BEGAN + timedelta(minutes=number, days=day)
    fields: dict[str, Any] = {
        "transaction_id": f"t-{number}", "retailer": retailer, "fraud": fraud, "source": "chargeback",
        "label_time": moment, "ingest_time": moment, "origin": ORIGIN,
    }  # fmt: skip
    return Label(**(fields | changes))
