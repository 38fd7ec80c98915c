"""Platt scaling: the slope and offset under which logits tell probabilities. Pure.

J. Platt, Probabilistic Outputs for Support Vector Machines (1999); fitted by Newton's method as in Lin, Lin and Weng (2007).
A retailer calibrates on its own examples with it, a federation on what all have summed up.
"""

import numpy as np
from numpy.typing import NDArray

ITERATIONS_MAX = 100
SLOPE_MIN = 0.05
"""A slope at or below zero would turn the order of scores around."""


def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / (1 + exp(-x)) without overflow. `x` of any shape, float64; the result has the same shape, within [0, 1]."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)), dtype=np.float64)


def fit_sigmoid(
    x: NDArray[np.float64], target: NDArray[np.float64], counts: NDArray[np.float64], *, offset: float, gain_min: float
) -> tuple[float, float]:
    """Slope and offset with the least cross-entropy of sigmoid(slope * x + offset), which is convex in both; the slope may be below 0.

    Args:
        x: logits, shape (n,).
        target: the probability that each should get, shape (n,), in [0, 1].
        counts: how many examples each stands for, shape (n,), >= 0.
        offset: where to begin; the slope begins at 1.
        gain_min: a step that wins less is the last one.
    """
    slope = 1.0
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
        if gain < gain_min:
            break
    return slope, offset


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
