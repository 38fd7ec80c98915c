"""Many updates to one that a few liars cannot move: mode `robust`. Pure.

Whatever the rule, norms are clipped and weights capped first, so that a liar's pull is bounded even where the rule fails.

    mean               weighted mean; no defence of its own beyond the clipping
    median             per parameter (Yin et al., ICML 2018); fewer than half may lie; weights do not count
    compute_trimmed_mean       per parameter, f highest and f lowest left out (Yin et al. 2018); n > 2f; weights do not count
    krum               the update closest to its n - f - 2 nearest (Blanchard et al., NeurIPS 2017); n >= 2f + 3
    multi_krum         weighted mean of the n - f - 2 best by that score (Blanchard et al. 2017); n >= 2f + 3
    compute_geometric_median   weighted, by the smoothed Weiszfeld algorithm (Pillutla et al., RFA, IEEE TSP 2022); fewer than half the weight

A weight is what a participant says of itself, so the rules that rank do not look at it.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from federation.refusals import UpdateRefusedError

Rule = Literal["mean", "median", "trimmed_mean", "krum", "multi_krum", "geometric_median"]
Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

_COLUMNS = 65_536
"""Sorted at once: bounds memory, and stays in a cache."""
_WEISZFELD_STEPS_MAX = 100
_WEISZFELD_TOLERANCE = 1e-7
_SMOOTHING = 1e-6
"""Of distances, as a share of the median distance: keeps the weights finite where an update is the median itself."""


class Aggregate(NamedTuple):
    """The combined update, and what was done on the way."""

    update: Vector
    clipped: tuple[int, ...]
    """Rows whose norm was above the bound."""
    capped: tuple[int, ...]
    """Rows whose weight was above its share."""
    used: tuple[int, ...]
    """Rows that the result rests on."""


def combine(
    rule: Rule,
    updates: NDArray[np.floating],
    weights: NDArray[np.floating],
    *,
    clip_norm: float,
    weight_max: float = 1.0,
    byzantine_max: int = 0,
) -> Aggregate:
    """One update from `updates` (shape (n, d), finite) by `rule`; `weights` of shape (n,), >= 0, not all 0.

    `clip_norm` bounds each row's L2 norm, `weight_max` each row's share of the weight in (0, 1], `byzantine_max` is f.
    Raises UpdateRefusedError where the rule's promise needs more updates than there are.
    """
    rows = np.asarray(updates, dtype=np.float64)
    _check(rows, weights)
    objection = describe_shortage(rule, len(rows), byzantine_max)
    if objection:
        raise UpdateRefusedError("length", objection)
    rows, clipped = clip_norms(rows, clip_norm)
    shares, capped = cap_weights(np.asarray(weights, dtype=np.float64), weight_max)
    everyone = tuple(range(len(rows)))
    if rule == "mean":
        return Aggregate(shares @ rows, clipped, capped, everyone)
    if rule == "median":
        return Aggregate(compute_median(rows), clipped, capped, everyone)
    if rule == "trimmed_mean":
        return Aggregate(compute_trimmed_mean(rows, byzantine_max), clipped, capped, everyone)
    if rule == "geometric_median":
        return Aggregate(compute_geometric_median(rows, shares), clipped, capped, everyone)
    best = rank_by_krum(rows, byzantine_max)
    if rule == "krum":
        return Aggregate(rows[best[0]].copy(), clipped, capped, (int(best[0]),))
    chosen = np.sort(best[: max(len(rows) - byzantine_max - 2, 1)])
    picked = shares[chosen]
    total = picked.sum()
    even = np.full(len(chosen), 1 / len(chosen))
    return Aggregate(
        (picked / total if total > 0 else even) @ rows[chosen], clipped, capped, tuple(int(row) for row in chosen)
    )


def describe_shortage(rule: Rule, updates: int, byzantine_max: int) -> str | None:
    """Why `rule` cannot promise anything with this many updates and liars, in words; None where it can."""
    least = {
        "mean": 1,
        "median": 2 * byzantine_max + 1,
        "trimmed_mean": 2 * byzantine_max + 1,
        "krum": 2 * byzantine_max + 3,
        "multi_krum": 2 * byzantine_max + 3,
        "geometric_median": 2 * byzantine_max + 1,
    }[rule]
    if updates >= least:
        return None
    return f"{rule} against {byzantine_max} liars needs {least} updates, there are {updates}"


def _check(rows: Matrix, weights: NDArray[np.floating]) -> None:
    if rows.ndim != 2 or not rows.size or weights.shape != (len(rows),):
        raise UpdateRefusedError("shape", "updates of shape (n, d) and weights of shape (n,), none of them empty")
    if not (np.isfinite(rows).all() and np.isfinite(weights).all()):
        raise UpdateRefusedError("not_finite", "every value and weight is finite")
    if (weights < 0).any() or not weights.any():
        raise UpdateRefusedError("length", "weights are not negative, and not all zero")


def clip_norms(rows: Matrix, norm: float) -> tuple[Matrix, tuple[int, ...]]:
    """Each row scaled to an L2 norm of at most `norm`, and which rows had more. `rows` and the result: (n, d)."""
    norms = np.linalg.norm(rows, axis=1)
    over = norms > norm
    if not over.any():
        return rows, ()
    factors = np.where(over, norm / np.where(over, norms, 1.0), 1.0)
    return rows * factors[:, np.newaxis], tuple(int(row) for row in np.flatnonzero(over))


def cap_weights(weights: Vector, share_max: float) -> tuple[Vector, tuple[int, ...]]:
    """Shares of the whole (sum 1), none above `share_max`, and which were; what is cut off goes to the others in proportion.

    Where fewer than 1 / share_max have any weight, the bound cannot hold and those share evenly.

    `weights` (>= 0, not all 0) and the shares have the shape (n,); `share_max` is within (0, 1].
    """
    shares = weights / weights.sum()
    positive = shares > 0
    if positive.sum() * share_max <= 1:
        even = positive / positive.sum()
        return even, tuple(int(row) for row in np.flatnonzero(shares > even + 1e-12))
    capped = np.zeros(len(shares), dtype=bool)
    for _ in range(len(shares)):
        over = (shares > share_max * (1 + 1e-12)) & ~capped
        if not over.any():
            break
        capped |= over
        rest = weights * ~capped
        shares = np.where(capped, share_max, rest / rest.sum() * (1 - share_max * capped.sum()))
    return shares, tuple(int(row) for row in np.flatnonzero(capped))


def compute_median(rows: Matrix) -> Vector:
    """The middle value of each column. From (n, d) to (d,)."""
    blocks = range(0, rows.shape[1], _COLUMNS)
    return np.concatenate([np.median(rows[:, start : start + _COLUMNS], axis=0) for start in blocks])


def compute_trimmed_mean(rows: Matrix, trim: int) -> Vector:
    """The mean of each column without its `trim` highest and lowest values.

    From (n, d) to (d,); n is above 2 * `trim`.
    """
    blocks = []
    for start in range(0, rows.shape[1], _COLUMNS):
        ordered = np.sort(rows[:, start : start + _COLUMNS], axis=0)
        blocks.append(ordered[trim : len(rows) - trim].mean(axis=0))
    return np.concatenate(blocks)


def rank_by_krum(rows: Matrix, byzantine_max: int) -> NDArray[np.intp]:
    """Rows from the most to the least central: by the sum of squared distances to their n - f - 2 nearest others.

    From (n, d) to row numbers (n,); f is `byzantine_max`.
    """
    centred = rows - rows.mean(axis=0)  # distances stay, and lose fewer digits to cancellation
    squares = np.einsum("ij,ij->i", centred, centred)
    distances = np.maximum(squares[:, np.newaxis] + squares - 2 * centred @ centred.T, 0.0)
    np.fill_diagonal(distances, np.inf)
    nearest = max(len(rows) - byzantine_max - 2, 1)
    scores = np.sort(distances, axis=1)[:, :nearest].sum(axis=1)
    return np.argsort(scores, kind="stable")


def compute_geometric_median(rows: Matrix, shares: Vector) -> Vector:
    """The point of least weighted distance to all rows; `shares` of shape (n,), sum 1."""
    point = shares @ rows
    for _ in range(_WEISZFELD_STEPS_MAX):
        distances = np.linalg.norm(rows - point, axis=1)
        least = _SMOOTHING * float(np.median(distances))
        if least == 0.0:  # at least half of the rows are this point
            least = _SMOOTHING * float(distances.max())
        if least == 0.0:
            return point
        pulls = shares / np.maximum(distances, least)
        moved = pulls @ rows / pulls.sum()
        step = float(np.linalg.norm(moved - point))
        point = moved
        if step <= _WEISZFELD_TOLERANCE * max(float(np.linalg.norm(point)), least):
            break
    return point
