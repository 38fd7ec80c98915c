"""What the graph's first layer needs to know of the training slice: scales, steps, missing patterns, known categories. Pure.

A column that never varied in training gets no say (its scale is 0): a weight that was never trained must not act on a
value never seen. Missing values become the mean after scaling, and an indicator tells the network that they were missing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.features import Feature, get_schema
from trainer.model import binning

T = TypeVar("T", bound=np.generic)
ROWS_MAX = 50_000
"""Constants come from at most this many rows, evenly spread over the slice."""
SEEN_MIN = 30
"""A state (missing or not, a category) seen in fewer rows than this is not learned from."""
DEVIATION_MIN = 1e-3
"""A column whose compressed values vary by less (a tenth of a percent) counts as one that never varied: scaled up, the rounding
of a logarithm would show in the score."""
ORDINARY_PRESENT_MIN = 0.5
"""A feature present in fewer genuine transactions than this has no ordinary value."""


@dataclass(frozen=True, slots=True)
class Constants:
    """Fixed numbers of the first layer; F features, S steps, P missing patterns, C known categories. Plain arrays."""

    mean: NDArray[np.float32]
    """Of the compressed values, shape (F,); 0 for a category."""
    scale: NDArray[np.float32]
    """1 / standard deviation of the compressed values, shape (F,); 0 where they never varied, and for a category."""
    step_columns: NDArray[np.int64]
    """The feature that each step looks at, shape (S,), not decreasing."""
    step_starts: NDArray[np.float32]
    """Where each step begins to rise, in the feature's own unit, shape (S,)."""
    step_slopes: NDArray[np.float32]
    """How fast, shape (S,): a step is clip((x - start) * slope, 0, 1)."""
    missing: NDArray[np.int64]
    """One column for each pattern of missing values that varies, shape (P,)."""
    category_columns: NDArray[np.int64]
    """Shape (C,)."""
    category_buckets: NDArray[np.float32]
    """The hash bucket in that column, shape (C,)."""

    @property
    def width(self) -> int:
        """Inputs of the first dense layer."""
        return len(self.mean) + len(self.step_columns) + len(self.missing) + len(self.category_columns)


def compress(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """sign(x) log(1 + |x|), so that amounts and counts of any size have a useful scale.

    `values` of any shape; the result has the same shape.
    """
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)), dtype=np.float32)


def fit_constants(
    features: NDArray[np.float32],
    fraud: NDArray[np.bool_] | None = None,
    weight: NDArray[np.floating] | None = None,
    table: Sequence[Feature] | None = None,
    steps_max: int = binning.CUTS_MAX,
) -> Constants:
    """Constants from the training slice, features of shape (n, F), fraud and weight of shape (n,).

    Without `fraud` there are no steps: nothing is taken from a label, as a training with differential privacy needs it.
    `weight` counts for the steps only.
    """
    table = get_schema() if table is None else table
    rows = _spread(features, ROWS_MAX)
    moments = [
        (0.0, 0.0) if feature.buckets else _mean_and_scale(rows[:, column]) for column, feature in enumerate(table)
    ]
    telling = [column for column, (_, scale) in enumerate(moments) if scale > 0]
    steps = binning.make_empty() if fraud is None else binning.find(features, fraud, telling, weight, steps_max)
    categories = [
        (column, bucket)
        for column, feature in enumerate(table)
        for bucket in range(feature.buckets)
        if np.count_nonzero(rows[:, column] == bucket) >= SEEN_MIN
    ]
    return Constants(
        mean=np.array([mean for mean, _ in moments], dtype=np.float32),
        scale=np.array([scale for _, scale in moments], dtype=np.float32),
        step_columns=steps.column,
        step_starts=steps.start,
        step_slopes=steps.slope,
        missing=_patterns(np.isnan(rows)),
        category_columns=np.array([column for column, _ in categories], dtype=np.int64),
        category_buckets=np.array([bucket for _, bucket in categories], dtype=np.float32),
    )


def has_risk(constants: Constants) -> bool:
    """Whether risk differed between the transactions of the training slice, so that the network learned from it."""
    return any(
        scale > 0 for scale, feature in zip(constants.scale, get_schema(), strict=True) if feature.group == "risk"
    )


def compute_ordinary(features: NDArray[np.float32], fraud: NDArray[np.bool_]) -> list[float | None]:
    """Per feature the median of genuine transactions, None where mostly missing: what a reason compares with.

    A hash bucket has no median; the most frequent one stands for it.

    `features`: (n, F), NaN where a feature is missing; `fraud`: (n,).
    """
    genuine = features[_spread(np.flatnonzero(~fraud), ROWS_MAX)]
    return [_ordinary(genuine[:, column], bool(feature.buckets)) for column, feature in enumerate(get_schema())]


def _ordinary(column: NDArray[np.float32], category: bool) -> float | None:
    present = column[~np.isnan(column)]
    if len(present) < ORDINARY_PRESENT_MIN * len(column) or not len(present):
        return None
    if category:
        return float(np.bincount(present.astype(np.int64)).argmax())
    return float(np.median(present))


def _spread(rows: NDArray[T], rows_max: int) -> NDArray[T]:
    step = max(1, -(-len(rows) // rows_max))
    return np.asarray(rows[::step])


def _mean_and_scale(column: NDArray[np.float32]) -> tuple[float, float]:
    present = compress(column[~np.isnan(column)]).astype(np.float64)
    if len(present) < SEEN_MIN:
        return 0.0, 0.0
    deviation = float(present.std())
    return float(present.mean()), 1.0 / deviation if deviation > DEVIATION_MIN else 0.0


def _patterns(missing: NDArray[np.bool_]) -> NDArray[np.int64]:
    """One column of each group of columns that are missing together, where both states were seen."""
    seen: dict[bytes, int] = {}
    for column in range(missing.shape[1]):
        count = int(missing[:, column].sum())
        if SEEN_MIN <= count <= len(missing) - SEEN_MIN:
            seen.setdefault(np.packbits(missing[:, column]).tobytes(), column)
    return np.array(sorted(seen.values()), dtype=np.int64)
