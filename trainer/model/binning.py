"""Where a single feature parts frauds from genuine transactions: the cuts that the network gets as steps. Pure.

A smooth network learns a sharp edge (frauds only above one amount, two unusual payments within three days) slowly and badly; a
tree over one feature finds it at once. So small trees propose cuts, feature by feature, and those that part best are kept.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CUTS_MAX = 192
LEAVES_MAX = 10
"""Of one feature's tree: at most 9 cuts a feature."""
LEAF_ROWS_MIN = 20
ROWS_MAX = 40_000
"""Genuine transactions that the trees see, and at most as many frauds, evenly spread."""
PRESENT_MIN, FRAUDS_MIN = 100, 20
"""A feature present in fewer of these rows, or frauds, proposes nothing."""
WIDTH_SHARE, WIDTH_MIN = 0.02, 1e-3
"""A step rises over this share of its cut's size: wide enough that rounding does not show in the score."""
VALUE_MAX = 1e30


class Bins(NamedTuple):
    """S steps, by column and cut; the step is clip((x - start) * slope, 0, 1), half way up at the cut."""

    column: NDArray[np.int64]
    start: NDArray[np.float32]
    slope: NDArray[np.float32]
    """Above 0."""


class _Cut(NamedTuple):
    gain: float
    column: int
    at: float


def make_empty() -> Bins:
    """No steps."""
    return Bins(np.empty(0, np.int64), np.empty(0, np.float32), np.empty(0, np.float32))


def find(
    features: NDArray[np.float32],
    fraud: NDArray[np.bool_],
    columns: Sequence[int],
    weight: NDArray[np.floating] | None = None,
    cuts_max: int = CUTS_MAX,
) -> Bins:
    """The `cuts_max` cuts of `columns` with the greatest gain (fall of Gini impurity, weighted), by column and place.

    `features` (n, F), `fraud` (n,), `weight` (n,) or None: all count alike. Takes some seconds however long the history is.
    """
    rows, weights = _sample(fraud, weight)
    if cuts_max <= 0 or not len(rows):
        return make_empty()
    seen, seen_fraud = np.clip(features[rows], -VALUE_MAX, VALUE_MAX), fraud[rows]
    proposed = [cut for column in columns for cut in _proposed(column, seen[:, column], seen_fraud, weights)]
    best = sorted(proposed, key=lambda cut: (-cut.gain, cut.column, cut.at))[:cuts_max]
    kept = sorted(best, key=lambda cut: (cut.column, cut.at))
    at = np.array([cut.at for cut in kept], dtype=np.float64)
    width = np.maximum(WIDTH_SHARE * np.abs(at), WIDTH_MIN)
    return Bins(
        column=np.array([cut.column for cut in kept], dtype=np.int64),
        start=(at - width / 2).astype(np.float32),
        slope=(1.0 / width).astype(np.float32),
    )


def _sample(
    fraud: NDArray[np.bool_], weight: NDArray[np.floating] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows in ascending order, and what each counts, with what was left out made up for."""
    rows, weights = [], []
    for kind in (True, False):
        all_rows = np.flatnonzero(fraud == kind)
        step = max(1, -(-len(all_rows) // ROWS_MAX))
        taken = all_rows[::step]
        own = np.ones(len(taken)) if weight is None else weight[taken].astype(np.float64)
        rows.append(taken)
        weights.append(own * (len(all_rows) / max(1, len(taken))))
    together = np.concatenate(rows)
    order = np.argsort(together)
    return together[order], np.concatenate(weights)[order]


def _proposed(
    column: int, values: NDArray[np.float32], fraud: NDArray[np.bool_], weight: NDArray[np.float64]
) -> list[_Cut]:
    # A second to import, and only a training needs it.
    from sklearn.tree import DecisionTreeClassifier  # noqa: PLC0415

    present = ~np.isnan(values) & (weight > 0)
    frauds = int(np.count_nonzero(fraud & present))
    if np.count_nonzero(present) < PRESENT_MIN or frauds < FRAUDS_MIN:
        return []
    grower = DecisionTreeClassifier(max_leaf_nodes=LEAVES_MAX, min_samples_leaf=LEAF_ROWS_MIN, random_state=0)
    tree = grower.fit(values[present, None], fraud[present], sample_weight=weight[present]).tree_
    impurity = tree.weighted_n_node_samples * tree.impurity
    return [
        _Cut(float(impurity[node] - impurity[left] - impurity[right]), column, float(tree.threshold[node]))
        for node, (left, right) in enumerate(zip(tree.children_left, tree.children_right, strict=True))
        if left >= 0
    ]
