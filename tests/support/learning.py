"""Feature records and labels as they stand on the topics, for what learns from them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from contract.clock import from_epoch_ms
from contract.events import Label, Transaction
from contract.features import FeatureRecord, get_feature_names, get_schema_hash
from contract.settings import Settings
from simulator.profile import Profile
from simulator.retail import HistoryPlan, Retail
from simulator.sales import Labelled
from support.workbench import ORIGIN
from tillguard.history.replay import replay

BEGAN = datetime(2026, 9, 1, tzinfo=UTC)


def feature_record(number: int, *, retailer: str = "shop", **changes: Any) -> FeatureRecord:
    """Transaction `t-<number>`, `number` minutes after BEGAN; its first feature is `number`, the others are missing."""
    values = np.full(len(get_feature_names()), np.nan, dtype="<f4")
    values[0] = number
    fields: dict[str, Any] = {
        "transaction_id": f"t-{number}", "retailer": retailer, "event_time": BEGAN + timedelta(minutes=number),
        "applied_seq": number + 1, "feature_schema": get_schema_hash(), "values": values.tobytes(), "score": 0.1,
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


class Simulated(NamedTuple):
    """A simulated retailer's weeks: what serving would have recorded, and every label, in the order of the sales."""

    sales: list[Labelled]
    records: list[FeatureRecord]
    labels: list[Label]

    def until(self, share: float) -> "Simulated":
        """The first part of it."""
        count = int(len(self.sales) * share)
        return Simulated(self.sales[:count], self.records[:count], self.labels[:count])


def simulated(settings: Settings, *, rows: int, seed: int, days: int = 28, fraud_share: float = 0.03) -> Simulated:
    """`rows` sales from BEGAN on, their features by the same script as serving's (in a Redis of their own).

    Sales of the same rows, seed, days and share are made once for all retailers.
    """
    known = (rows, seed, days, fraud_share)
    if known not in _MADE:
        _MADE[known] = _simulate(settings, *known)
    sales, records, labels = _MADE[known]
    return Simulated(
        sales,
        [msgspec.structs.replace(record, retailer=settings.retailer) for record in records],
        [msgspec.structs.replace(each, retailer=settings.retailer) for each in labels],
    )


_MADE: dict[tuple[int, int, int, float], Simulated] = {}


def _simulate(settings: Settings, rows: int, seed: int, days: int, fraud_share: float) -> Simulated:
    until = BEGAN + timedelta(days=days)
    plan = HistoryPlan(rows=rows, fraud_share=fraud_share)
    sales = Retail(Profile(customers=max(50, rows // 6)), seed, BEGAN, "s-").simulate_history(until, plan)
    recorder = _Recorder(settings.retailer)
    replay(settings, [_transaction(settings, each) for each in sales], recorder, now=until, private=True)  # type: ignore[arg-type]
    return Simulated(sales, recorder.records, [_label(settings, each) for each in sales])


class _Recorder:
    """Takes what a Spool takes."""

    def __init__(self, retailer: str) -> None:
        self._retailer = retailer
        self.records: list[FeatureRecord] = []

    def __len__(self) -> int:
        return len(self.records)

    def append(
        self, ids: Sequence[str], times: Sequence[int], order: Sequence[int], amounts: Sequence[int],
        features: NDArray[np.float32],
    ) -> None:  # fmt: skip
        for name, time_ms, applied_seq, amount, row in zip(ids, times, order, amounts, features, strict=True):
            self.records.append(
                feature_record(
                    0, retailer=self._retailer, transaction_id=name, event_time=from_epoch_ms(time_ms),
                    applied_seq=applied_seq, amount_base_minor=amount, values=row.astype("<f4").tobytes(),
                )
            )  # fmt: skip


def _transaction(settings: Settings, each: Labelled) -> Transaction:
    return Transaction(
        retailer=settings.retailer, ingest_time=each.sale.event_time, origin=ORIGIN, **each.sale._asdict()
    )  # fmt: skip


def _label(settings: Settings, each: Labelled) -> Label:
    return Label(
        transaction_id=each.sale.transaction_id, retailer=settings.retailer, fraud=each.truth.fraud, source="chargeback",
        label_time=each.truth.known_at, ingest_time=each.truth.known_at, origin=ORIGIN, kind=each.truth.kind,
    )  # fmt: skip
