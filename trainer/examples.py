"""Labelled examples and their time-ordered split. Pure.

A random split would let a model learn from the future of what it is tested on; every split here is by event_time.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.errors import TrainingRefusedError
from contract.features import names

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
