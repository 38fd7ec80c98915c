"""Population stability index: how far a feature's values have moved from those of training. Pure.

PSI = sum over bins of (now - then) * ln(now / then), shares of transactions; it is the sum of both Kullback-Leibler divergences
between the two histograms. Range [0, inf), 0 for equal shares. By convention below 0.1 nothing moved, from 0.25 much did
(N. Siddiqi, Credit Risk Scorecards, 2006). By chance alone its mean is about (bins - 1) * (1 / n + 1 / m) for n transactions
now and m then.
"""

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Of a quantity, by the deciles of training; fewer where values repeat."""
FLOOR = 1e-4
"""A share below it counts as so much: an empty bin would make the index infinite."""


def compute_edges(values: NDArray[np.floating], weight: NDArray[np.float64]) -> list[float]:
    """Inner edges of at most BINS bins that hold equal weight, ascending, each once; `values` hold no NaN and may be none.

    No minimum and no maximum: those would be the values of single transactions.

    `values` and `weight` (>= 0) have the shape (n,).
    """
    if not len(values):
        return []
    return sorted(set(compute_quantiles(values, weight, np.arange(1, BINS) / BINS).tolist()))


def compute_quantiles(
    values: NDArray[np.floating], weight: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Weighted quantiles of n >= 1 values, by linear interpolation between the middles of their weights.

    `values` and `weight` (>= 0) have the shape (n,); `at`, the shares in [0, 1], and the result have the shape (k,).
    """
    order = np.argsort(values, kind="stable")
    heavy = weight[order]
    middles = (np.cumsum(heavy) - heavy / 2) / heavy.sum()
    return np.asarray(np.interp(at, middles, values[order].astype(np.float64)), dtype=np.float64)


def compute_shares(
    values: NDArray[np.floating], weight: NDArray[np.float64], edges: list[float], buckets: int
) -> tuple[float, list[float]]:
    """(share of missing, shares of the others by bin, which sum to 1 or are all 0).

    `buckets` above 0: the values are bucket numbers, one bin each. Else bin i holds edges[i - 1] < value <= edges[i].

    `values` (NaN: missing) and `weight` (>= 0) have the shape (n,).
    """
    known = ~np.isnan(values)
    total, present = float(weight.sum()), float(weight[known].sum())
    if buckets:
        places = np.clip(values[known], 0, buckets - 1).astype(np.int64)
    else:
        places = np.searchsorted(np.array(edges), values[known].astype(np.float64), side="left")
    counts = np.bincount(places, weights=weight[known], minlength=buckets or len(edges) + 1)
    missing = 1.0 - present / total if total else 0.0
    return max(0.0, missing), [float(count) / present if present else 0.0 for count in counts]


def compute_psi(then: tuple[float, list[float]], now: tuple[float, list[float]]) -> float:
    """The index of two results of compute_shares over the same bins; missing values are a bin of their own."""
    before, after = (
        np.maximum([missing, *((1 - missing) * np.array(shares))], FLOOR) for missing, shares in (then, now)
    )
    return float(np.sum((after - before) * np.log(after / before)))
