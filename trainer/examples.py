"""Labelled examples, the join that makes them from the topics, and their time-ordered split. Pure; knows no Kafka.

A random split would let a model learn from the future of what it is tested on; every split here is by event_time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.clock import epoch_ms
from contract.errors import TrainingRefusedError
from contract.events import Label
from contract.features import FeatureRecord, names, schema_hash
from contract.windows import DAY_MS

FRAUDS_MIN = {"train": 10, "validation": 5, "test": 2}
"""Fewer frauds than this in a slice measure nothing."""
TRAIN_SHARE = 0.7
VALIDATION_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Examples:
    """n labelled transactions in event-time order."""

    event_time_ms: NDArray[np.int64]
    """Shape (n,), not decreasing."""
    features: NDArray[np.float32]
    """Shape (n, F) in the order of contract.features.names(); NaN where missing. May be a memory map."""
    fraud: NDArray[np.bool_]
    """Shape (n,)."""
    amount: NDArray[np.float64]
    """Shape (n,), base currency, major units, >= 0."""

    def __post_init__(self) -> None:
        n = len(self.event_time_ms)
        if self.features.shape != (n, len(names())) or self.fraud.shape != (n,) or self.amount.shape != (n,):
            raise ValueError("examples: one row of features, one label and one amount per event_time")
        if np.any(np.diff(self.event_time_ms) < 0):
            raise ValueError("examples must be in event-time order")

    def __len__(self) -> int:
        return len(self.event_time_ms)

    def part(self, rows: slice) -> "Examples":
        """The examples of `rows`, as views."""
        return Examples(self.event_time_ms[rows], self.features[rows], self.fraud[rows], self.amount[rows])


class Split(NamedTuple):
    """Three slices, each wholly later than the one before."""

    train: Examples
    validation: Examples
    """Early stop, calibration and thresholds."""
    test: Examples
    """The newest; measured, never learned from."""


def split(examples: Examples) -> Split:
    """Splits by time, 70 / 15 / 15 of the rows; events of one millisecond stay together.

    Raises TrainingRefusedError where a slice has too few frauds, or nothing else.
    """
    n = len(examples)
    if n == 0:
        raise TrainingRefusedError("the history holds no labelled transaction")
    frauds = int(examples.fraud.sum())
    if frauds in {0, n}:
        kind = "fraudulent" if frauds else "genuine"
        raise TrainingRefusedError(f"all {n:,} labelled transactions are {kind}: a model needs examples of both")
    first = _boundary(examples.event_time_ms, round(n * TRAIN_SHARE))
    second = _boundary(examples.event_time_ms, round(n * (TRAIN_SHARE + VALIDATION_SHARE)))
    parts = Split(examples.part(slice(0, first)), examples.part(slice(first, second)), examples.part(slice(second, n)))
    for name, part in parts._asdict().items():
        _refuse_thin(name, part, frauds)
    return parts


def _boundary(event_time_ms: NDArray[np.int64], row: int) -> int:
    if row >= len(event_time_ms):
        return len(event_time_ms)
    return int(np.searchsorted(event_time_ms, event_time_ms[row], side="left"))


def _refuse_thin(name: str, part: Examples, frauds_in_all: int) -> None:
    needed = FRAUDS_MIN[name]
    frauds = int(part.fraud.sum())
    if frauds < needed:
        raise TrainingRefusedError(
            f"too few frauds: the {name} slice of the history holds {frauds} of {frauds_in_all}, it needs {needed}; "
            "a longer history helps"
        )
    if frauds == len(part):
        raise TrainingRefusedError(f"the {name} slice of the history holds no genuine transaction")


def newest_labels(labels: Iterable[Label]) -> dict[str, bool]:
    """By transaction_id, whether it was fraud: the label with the latest label_time wins, of equals the one read last."""
    newest: dict[str, Label] = {}
    for label in labels:
        known = newest.get(label.transaction_id)
        if known is None or label.label_time >= known.label_time:
            newest[label.transaction_id] = label
    return {transaction_id: label.fraud for transaction_id, label in newest.items()}


class Joined(NamedTuple):
    """What the join of features and labels gave."""

    examples: Examples
    unripe: int
    """Left out: no label yet, and too young to count as genuine; or younger than that delay though labelled."""
    other_schema: int
    """Left out: recorded under another feature schema."""


def join(
    records: Iterable[FeatureRecord], labels: Mapping[str, bool], *, label_delay_days: float, minor_per_major: float
) -> Joined:
    """Examples from the feature log and the labels, in event-time order (ties by applied_seq).

    Frauds become known late, and mostly only frauds are reported. So what is younger than `label_delay_days` against the
    newest record is left out, labelled or not (else the newest days would hold frauds only), and what is older and has
    no label counts as genuine. `label_delay_days` 0 takes everything. A redelivered record counts once.
    """
    current = schema_hash()
    rows: dict[str, FeatureRecord] = {}
    other_schema = 0
    for record in records:
        if record.feature_schema == current:
            rows[record.transaction_id] = record
        else:
            other_schema += 1
    ordered = sorted(rows.values(), key=lambda record: (record.event_time, record.applied_seq))
    newest_ms = epoch_ms(ordered[-1].event_time) if ordered else 0
    ripe_until_ms = newest_ms - label_delay_days * DAY_MS
    ripe = [record for record in ordered if epoch_ms(record.event_time) <= ripe_until_ms]
    features = np.frombuffer(b"".join(record.values for record in ripe), dtype="<f4").reshape(-1, len(names()))
    examples = Examples(
        event_time_ms=np.array([epoch_ms(record.event_time) for record in ripe], dtype=np.int64),
        features=features,
        fraud=np.array([labels.get(record.transaction_id, False) for record in ripe], dtype=np.bool_),
        amount=np.array([record.amount_base_minor for record in ripe], dtype=np.float64) / minor_per_major,
    )
    return Joined(examples, unripe=len(ordered) - len(ripe), other_schema=other_schema)
