"""Two numbers that make a shared model's logits honest odds, found from sums over retailers alone. Pure.

Platt's scaling (1999): logit -> slope x logit + offset, by Newton's steps on the mean cross-entropy. In each step a retailer gives five sums over
examples that it kept back; a coordinator needs their totals only, so that they could travel masked. Averaged networks
shrink towards zero where participants know different things, and their odds with them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from federation.learner import Arrays
from federation.numpy_learner import Data, logits

STEPS = 50
RIDGE = 1e-3
"""Of the slope's distance to 1: with few frauds or none, the model's own odds stay."""


class Line(NamedTuple):
    """What is made of a logit."""

    slope: float = 1.0
    offset: float = 0.0


def sums(line: Line, found: NDArray[np.float64], labels: NDArray[np.bool_]) -> NDArray[np.float64]:
    """What one retailer gives for its logits, shape (n,): the gradient's two sums, the Hessian's three."""
    chances = 1 / (1 + np.exp(-np.clip(line.slope * found + line.offset, -60, 60)))
    error, spread = chances - labels, chances * (1 - chances)
    return np.array([error @ found, error.sum(), spread @ found**2, spread @ found, spread.sum()])


def fitted(parts: Sequence[tuple[NDArray[np.float64], NDArray[np.bool_]]]) -> Line:
    """From each retailer's logits and labels."""
    line = Line()
    count = sum(len(labels) for _, labels in parts)
    for _ in range(STEPS):
        slope_pull, offset_pull, both, mixed, spread = np.sum([sums(line, *part) for part in parts], axis=0) / count
        gradient = np.array([slope_pull + RIDGE * (line.slope - 1), offset_pull])
        hessian = np.array([[both + RIDGE, mixed], [mixed, spread + 1e-9]])
        step = np.linalg.solve(hessian, gradient)
        # A long first step could leave the region where the curve is known.
        step *= min(1.0, 1.0 / max(float(np.abs(step).max()), 1e-12))
        line = Line(line.slope - float(step[0]), line.offset - float(step[1]))
        if float(np.abs(step).max()) < 1e-9:
            break
    return line


def calibrated(arrays: Arrays, kept_back: Iterable[Data]) -> list[NDArray[np.float32]]:
    """The same network with its last layer scaled and moved, by what retailers kept back."""
    line = fitted([(logits(arrays, own.features), own.labels) for own in kept_back])
    return [
        *arrays[:-2],
        (arrays[-2] * np.float32(line.slope)).astype(np.float32),
        (arrays[-1] * np.float32(line.slope) + np.float32(line.offset)).astype(np.float32),
    ]
