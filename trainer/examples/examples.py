"""Labelled examples and their time-ordered split. Pure.

A random split would let a model learn from the future of what it is tested on; every split here is by event_time.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.clock import from_epoch_ms
from contract.errors import TrainingRefusedError
from contract.features import get_feature_names
from contract.models import DataRange

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
    """Shape (n, F) in the order of contract.features.get_feature_names(); NaN where missing. May be a memory map."""
    fraud: NDArray[np.bool_]
    """Shape (n,)."""
    amount: NDArray[np.float64]
    """Shape (n,), base currency, major units, >= 0."""
    weight: NDArray[np.float64] | None = None
    """Shape (n,), > 0: what an example counts in learning, calibration and measures; None: all 1."""

    def __post_init__(self) -> None:
        n = len(self.event_time_ms)
        if (
            self.features.shape != (n, len(get_feature_names()))
            or self.fraud.shape != (n,)
            or self.amount.shape != (n,)
        ):
            raise ValueError("examples: one row of features, one label and one amount per event_time")
        if self.weight is not None and (self.weight.shape != (n,) or not np.all(self.weight > 0)):
            raise ValueError("examples: one weight above 0 per event_time")
        if np.any(np.diff(self.event_time_ms) < 0):
            raise ValueError("examples must be in event-time order")

    def __len__(self) -> int:
        return len(self.event_time_ms)

    @property
    def weights(self) -> NDArray[np.float64]:
        """Shape (n,)."""
        return np.ones(len(self)) if self.weight is None else self.weight

    def select(self, rows: slice | NDArray[np.int64]) -> "Examples":
        """The examples of `rows`, ascending; views where it is a slice.

        `rows`: a slice, or row numbers of shape (k,).
        """
        weight = None if self.weight is None else self.weight[rows]
        return Examples(self.event_time_ms[rows], self.features[rows], self.fraud[rows], self.amount[rows], weight)

    def weigh_frauds(self, share: float) -> "Examples":
        """The same examples, weighted so that frauds make up `share` of the weight; both kinds are present, 0 < share < 1.

        For slices in which frauds are more than their share, because honest customers are known later than frauds.
        """
        weights = self.weights
        frauds, genuine = float(weights[self.fraud].sum()), float(weights[~self.fraud].sum())
        factor = share / (1 - share) * genuine / frauds
        return replace(self, weight=np.where(self.fraud, weights * factor, weights))

    def thin(self, share: float, frauds_min: int) -> "Examples":
        """With fewer frauds, evenly over time, so that they are `share` of the examples, but at least `frauds_min` of them.

        For what counts examples instead of weighing them: costs, and shares of decisions.
        """
        frauds = np.flatnonzero(self.fraud)
        wanted = max(frauds_min, round(share / (1 - share) * (len(self) - len(frauds))))
        if len(frauds) <= wanted:
            return self
        kept = frauds[np.arange(wanted) * len(frauds) // wanted]
        return self.select(np.sort(np.concatenate((kept, np.flatnonzero(~self.fraud)))))


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
    if examples.event_time_ms[0] == examples.event_time_ms[-1]:
        raise TrainingRefusedError(
            f"all {n:,} labelled transactions have the same event_time: they cannot be split by time"
        )
    first = _boundary(examples.event_time_ms, round(n * TRAIN_SHARE))
    second = _boundary(examples.event_time_ms, round(n * (TRAIN_SHARE + VALIDATION_SHARE)))
    parts = Split(
        examples.select(slice(0, first)), examples.select(slice(first, second)), examples.select(slice(second, n))
    )
    refuse_thin(parts)
    return parts


def get_data_range(examples: Examples) -> DataRange:
    """Of examples in time order, at least one."""
    return DataRange(
        first=from_epoch_ms(int(examples.event_time_ms[0])),
        last=from_epoch_ms(int(examples.event_time_ms[-1])),
        transactions=len(examples),
        frauds=int(examples.fraud.sum()),
    )


def split_rows(fraud: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the three slices where frauds and genuine ones, in time order, are each split 70 / 15 / 15 by time.

    Frauds are known within days, that others were genuine only after the label delay. Split together by time, a fraud of
    a new kind would first be learned from when it is weeks old; split apart, no slice holds a fraud that is older
    than one of the slice before, nor such a genuine one.

    `fraud`: (n,) in time order; each slice holds row numbers of shape (k,), ascending, and together they are all n.
    """
    slices: list[list[NDArray[np.int64]]] = [[], [], []]
    for rows in (np.flatnonzero(fraud), np.flatnonzero(~fraud)):
        cuts = [round(len(rows) * TRAIN_SHARE), round(len(rows) * (TRAIN_SHARE + VALIDATION_SHARE))]
        for slice_, part in zip(slices, np.split(rows, cuts), strict=True):
            slice_.append(part)
    train, validation, test = (np.sort(np.concatenate(parts)) for parts in slices)
    return train, validation, test


def refuse_thin(parts: Split) -> None:
    """Raises TrainingRefusedError where a slice has too few frauds, or nothing else."""
    frauds = sum(int(part.fraud.sum()) for part in parts)
    for name, part in parts._asdict().items():
        _refuse_thin(name, part, frauds)


def _boundary(event_time_ms: NDArray[np.int64], row: int) -> int:
    if row >= len(event_time_ms):
        return len(event_time_ms)
    return int(np.searchsorted(event_time_ms, event_time_ms[row], side="left"))


def _refuse_thin(name: str, part: Examples, frauds_in_all: int) -> None:
    needed = FRAUDS_MIN[name]
    frauds = int(part.fraud.sum())
    if frauds < needed:
        raise TrainingRefusedError(
            f"too few frauds: the history holds {frauds_in_all}, {frauds} of them in the {name} slice, which needs {needed}; "
            "a longer history helps"
        )
    if frauds == len(part):
        raise TrainingRefusedError(f"the {name} slice of the history holds no genuine transaction")
