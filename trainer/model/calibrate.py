"""Platt scaling: from a model's logit to a probability of fraud. Pure.

J. Platt, Probabilistic Outputs for Support Vector Machines (1999), with his smoothed targets (contract.statistics.platt fits them).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.statistics.platt import SLOPE_MIN, fit_sigmoid, sigmoid


class Platt(NamedTuple):
    """probability = 1 / (1 + exp(-(slope * logit + offset))), slope > 0."""

    slope: float
    offset: float

    def compute_probability(self, logit: NDArray[np.floating]) -> NDArray[np.float64]:
        """Probabilities in [0, 1] for logits of any shape."""
        return sigmoid(self.slope * logit.astype(np.float64) + self.offset)


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
    begin = float(np.log((frauds + 1) / (genuine + 1)) - np.average(x, weights=counts))
    slope, offset = fit_sigmoid(x, target, counts, offset=begin, gain_min=1e-12 * len(x))
    return Platt(max(slope, SLOPE_MIN), offset)
