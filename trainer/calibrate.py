"""Platt scaling: from a model's logit to a probability of fraud. Pure.

J. Platt, Probabilistic Outputs for Support Vector Machines (1999), with his smoothed targets; fitted by Newton's method
as in Lin, Lin and Weng (2007).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ITERATIONS_MAX = 100
SLOPE_MIN = 0.05
"""A slope at or below zero would turn the order of scores around."""


class Platt(NamedTuple):
    """probability = 1 / (1 + exp(-(slope * logit + offset))), slope > 0."""

    slope: float
    offset: float

    def probability(self, logit: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities in [0, 1] for logits of any shape."""
        return sigmoid(self.slope * logit.astype(np.float64) + self.offset)


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), dtype=np.float64)


def fit_platt(
    logit: NDArray[np.floating], fraud: NDArray[np.bool_], weight: NDArray[np.floating] | None = None
) -> Platt:
    """The scaling under which `fraud` (shape (n,), both kinds present) is most likely given `logit` (shape (n,)).

    `weight`, shape (n,), > 0: how many examples each row stands for; None: one each.
    """
    x = logit.astype(np.float64)
    counts: NDArray[np.float64] = np.ones(len(x)) if weight is None else weight.astype(np.float64)
    frauds = float(counts[fraud].sum())
    genuine = float(counts[~fraud].sum())
    target = np.where(fraud, (frauds + 1) / (frauds + 2), 1 / (genuine + 2))
    slope, offset = 1.0, float(np.log((frauds + 1) / (genuine + 1)) - np.average(x, weights=counts))
    loss = _loss(slope * x + offset, target, counts)
    for _ in range(ITERATIONS_MAX):
        step_slope, step_offset = _newton_step(x, target, counts, slope, offset)
        size = 1.0
        while size > 1e-10:
            trial = _loss((slope + size * step_slope) * x + offset + size * step_offset, target, counts)
            if trial < loss:
                break
            size /= 2
        else:
            break  # no step makes it better: this is the minimum
        gain, loss = loss - trial, trial
        slope, offset = slope + size * step_slope, offset + size * step_offset
        if gain < 1e-12 * len(x):
            break
    return Platt(max(slope, SLOPE_MIN), offset)


def _newton_step(
    x: NDArray[np.float64], target: NDArray[np.float64], share: NDArray[np.float64], slope: float, offset: float
) -> tuple[float, float]:
    probability = sigmoid(slope * x + offset)
    error = share * (target - probability)
    weight = share * probability * (1 - probability)
    a, b, c = float(weight @ (x * x)) + 1e-9, float(weight @ x), float(weight.sum()) + 1e-9
    u, v = float(error @ x), float(error.sum())
    determinant = a * c - b * b
    return (c * u - b * v) / determinant, (a * v - b * u) / determinant


def _loss(z: NDArray[np.float64], target: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """Weighted cross-entropy of logit z, summed: log(1 + exp(z)) - target * z."""
    return float(np.sum(weight * (np.logaddexp(0.0, z) - target * z)))
