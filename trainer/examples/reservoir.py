"""Which older examples are replayed next to the newest: evenly over label, time and fraud kind. Pure.

Learning from the newest alone would unlearn what has not happened for some weeks. Of each stratum (fraud kind and span of
time, or genuine and span of time) as many are drawn as of any other, where it has this many; rare kinds so keep their place.
"""

import numpy as np
from numpy.typing import NDArray

SPANS = 12
"""Spans of time, with equal numbers of examples."""
FRAUD_SHARE_MAX = 0.5
"""Of what is replayed."""
GENUINE = -1
"""The kind of an example that is none of fraud."""


def draw(kind: NDArray[np.int64], capacity: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Rows to replay, ascending, at most `capacity`.

    `kind`, shape (n,), in time order: a number per fraud kind, GENUINE for the others.
    """
    if len(kind) <= capacity:
        return np.arange(len(kind))
    span = np.arange(len(kind)) * SPANS // len(kind)
    stratum = (kind + 1) * SPANS + span
    frauds, genuine = np.flatnonzero(kind != GENUINE), np.flatnonzero(kind == GENUINE)
    fraud_capacity = min(len(frauds), max(int(capacity * FRAUD_SHARE_MAX), capacity - len(genuine)))
    drawn = [
        _evenly(frauds, stratum, fraud_capacity, random),
        _evenly(genuine, stratum, capacity - fraud_capacity, random),
    ]
    return np.sort(np.concatenate(drawn))


def compute_quotas(sizes: NDArray[np.int64], capacity: int) -> NDArray[np.int64]:
    """How many to take of strata of these sizes: all alike, small ones whole; their sum is min(capacity, sum of sizes).

    `sizes` (>= 0) and the result have the shape (strata,).
    """
    taken = np.zeros(len(sizes), dtype=np.int64)
    left = min(capacity, int(sizes.sum()))
    while left:
        unfilled = np.flatnonzero(taken < sizes)
        each = left // len(unfilled)
        if each == 0:
            taken[unfilled[:left]] += 1
            break
        grown = np.minimum(taken[unfilled] + each, sizes[unfilled])
        left -= int((grown - taken[unfilled]).sum())
        taken[unfilled] = grown
    return taken


def _evenly(
    rows: NDArray[np.int64], stratum: NDArray[np.int64], capacity: int, random: np.random.Generator
) -> NDArray[np.int64]:
    _, group, sizes = np.unique(stratum[rows], return_inverse=True, return_counts=True)
    wanted = compute_quotas(sizes, capacity)
    shuffled = random.permutation(len(rows))
    by_group = shuffled[np.argsort(group[shuffled], kind="stable")]
    first = np.concatenate(([0], np.cumsum(sizes)[:-1])) if len(sizes) else np.empty(0, dtype=np.int64)
    rank = np.arange(len(rows)) - np.repeat(first, sizes)
    return np.asarray(rows[by_group[rank < np.repeat(wanted, sizes)]], dtype=np.int64)
