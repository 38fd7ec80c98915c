"""Confidence-based performance estimation: precision and recall without labels, from calibrated scores alone. Pure.

Where a score p is the probability of fraud, a transaction that is flagged is a true positive with probability p and a false one
with 1 - p; one that is not is a missed fraud with probability p. So, over the transactions of a window,

    precision = sum of p over flagged / number flagged        recall = sum of p over flagged / sum of p over all

and average precision is the sum of precision times gain of recall over descending scores, with expected frauds instead of
counted ones. Source: J. Bialek, W. Kuberski, N. Perrakis, A. Bifet, Estimating Model Performance Under Covariate Shift Without
Labels (2024), section 3; for ratios the ratio of expectations is taken, which is right to order 1 / n.

Assumption: scores are calibrated on the *present* transactions, which holds where only the mix of transactions changes (covariate
shift) and fails where the same transaction has become more or less likely a fraud (concept shift): a new kind of fraud
that looks genuine to the model leaves this estimate as it was. Only labels show that.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.models import Thresholds
from trainer.decision.costing import decide

DRAWS = 200
INTERVAL = (2.5, 97.5)
FRAUDS_MIN = 10.0
"""Fewer expected frauds than this in a window estimate nothing."""
NAMES = ("precision_flag", "recall_flag", "precision_hold", "recall_hold", "precision_block", "recall_block",
         "average_precision")  # fmt: skip


class Estimate(NamedTuple):
    """One estimated measure with the middle 95% of what the window's size alone makes of it (bootstrap)."""

    value: float
    low: float
    high: float


def estimate(
    score: NDArray[np.float64], thresholds: Thresholds, weight: NDArray[np.float64] | None = None
) -> dict[str, float]:
    """The measures of NAMES that can be estimated; `score` in [0, 1], shape (n,), `weight` likewise shaped or all 1."""
    return _estimate(score, decide(score, thresholds), np.argsort(score)[::-1], _weights(score, weight))


def count_expected_frauds(score: NDArray[np.float64]) -> float:
    """How many frauds the scores promise. `score`: (n,), calibrated probabilities within [0, 1]."""
    return float(score.sum())


def estimate_with_intervals(score: NDArray[np.float64], thresholds: Thresholds, seed: int = 7) -> dict[str, Estimate]:
    """The same with intervals; equal input and seed give equal numbers. Measures that most draws lack are left out.

    `score`: (n,), calibrated probabilities within [0, 1].
    """
    decided, order, n = decide(score, thresholds), np.argsort(score)[::-1], len(score)
    whole = _estimate(score, decided, order, np.ones(n))
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in whole}
    for _ in range(DRAWS if n else 0):
        weight = np.bincount(random.integers(0, n, n), minlength=n).astype(np.float64)
        for name, value in _estimate(score, decided, order, weight).items():
            drawn[name].append(value)
    return {
        name: Estimate(whole[name], *(float(end) for end in np.percentile(values, INTERVAL)))
        for name, values in drawn.items()
        if len(values) >= DRAWS / 2
    }


def _estimate(
    score: NDArray[np.float64], decided: NDArray[np.int64], order: NDArray[np.int64], weight: NDArray[np.float64]
) -> dict[str, float]:
    frauds = weight * score
    total = float(frauds.sum())
    found: dict[str, float] = {}
    for at, name in enumerate(("flag", "hold", "block"), 1):
        reached = decided >= at
        caught, flagged = float(frauds[reached].sum()), float(weight[reached].sum())
        if flagged > 0:
            found[f"precision_{name}"] = caught / flagged
        if total > 0:
            found[f"recall_{name}"] = caught / total
    if total > 0:
        caught_so_far, seen = np.cumsum(frauds[order]), np.cumsum(weight[order])
        precision = np.divide(caught_so_far, seen, out=np.zeros_like(seen), where=seen > 0)
        found["average_precision"] = float(precision @ frauds[order]) / total
    return found


def _weights(score: NDArray[np.float64], weight: NDArray[np.float64] | None) -> NDArray[np.float64]:
    return np.ones(len(score)) if weight is None else weight
