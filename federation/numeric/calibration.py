"""Platt scaling from one masked sum: a histogram of logits by label on public knots. Pure.

Each example is divided between the two knots around its logit, so that its mean stays right (linear binning; Jones and Lotwick
1983). The sum of all participants' histograms then stands for the pooled examples: J. Platt's fit (1999, with his smoothed
targets) on the knots is close to the one on the examples themselves.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.statistics.platt import SLOPE_MIN, fit_sigmoid, sigmoid
from federation.refusals import UpdateRefusedError

LOGIT_MAX = 12.0
"""Logits beyond are taken for this: a probability of 6e-6 from certainty."""
KNOTS = np.linspace(-LOGIT_MAX, LOGIT_MAX, 129)
SUMMED = 2 * len(KNOTS)
"""Numbers in the sum: genuine by knot, then frauds by knot."""
PARAMETERS = 3
FRAUDS_SCALE = 10.0
"""Frauds travel so much larger: they are some one in a hundred, and noise comes to every number alike."""
_PART_MAX = math.sqrt(2)
"""Norm of a histogram whose genuine part and scaled fraud part are both as long as they can be."""
EXAMPLE_NORM_MAX = FRAUDS_SCALE / _PART_MAX
"""Of a single example's part, which is a fraud's."""
SLOPE_MAX = 20.0


class Scaling(NamedTuple):
    """probability = sigmoid(slope * logit + offset) among pooled examples, slope > 0."""

    slope: float
    offset: float
    log_odds: float
    """Of frauds among pooled examples: a retailer with other odds adds the difference of the logarithms to the offset."""


def compute_histogram(
    logits: NDArray[np.floating], fraud: NDArray[np.bool_], weight: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Shape (SUMMED,), L2 norm at most 1 while frauds are less than one in FRAUDS_SCALE; logits finite, shape (n,), n > 0."""
    counts = np.ones(len(logits)) if weight is None else weight.astype(np.float64)
    spacing = KNOTS[1] - KNOTS[0]
    place = (np.clip(logits.astype(np.float64), -LOGIT_MAX, LOGIT_MAX) + LOGIT_MAX) / spacing
    below = np.minimum(place.astype(np.int64), len(KNOTS) - 2)
    above = place - below
    parts = []
    for label, scale in ((False, 1.0), (True, FRAUDS_SCALE)):
        chosen = fraud == label
        part = np.zeros(len(KNOTS))
        np.add.at(part, below[chosen], (counts * (1 - above))[chosen])
        np.add.at(part, below[chosen] + 1, (counts * above)[chosen])
        parts.append(scale * part)
    return np.asarray(np.concatenate(parts) / (counts.sum() * _PART_MAX), dtype=np.float64)


def fit(pooled: NDArray[np.floating], examples: float) -> Scaling:
    """The scaling of pooled histograms (shape (SUMMED,), their mean) that stand for this many `examples`.

    Counts below 0, which noise can make, count as none. Raises UpdateRefusedError(length) where a label has no example left.
    """
    genuine, frauds = np.maximum(pooled.astype(np.float64), 0).reshape(2, -1) * _PART_MAX * examples
    frauds = frauds / FRAUDS_SCALE
    if genuine.sum() <= 0 or frauds.sum() <= 0:
        raise UpdateRefusedError("length", "calibration needs frauds and genuine examples, and one of them is missing")
    log_odds = math.log(frauds.sum() / genuine.sum())
    counts = genuine + frauds
    low, high = 1 / (genuine.sum() + 2), (frauds.sum() + 1) / (frauds.sum() + 2)
    target = (genuine * low + frauds * high) / np.maximum(counts, 1e-300)
    begin = log_odds - float(np.average(KNOTS, weights=counts))
    slope, offset = fit_sigmoid(KNOTS, target, counts, offset=begin, gain_min=1e-12 * counts.sum())
    return Scaling(min(max(slope, SLOPE_MIN), SLOPE_MAX), offset, log_odds)


def compute_probability(
    scaling: Scaling, logits: NDArray[np.floating], log_odds: float | None = None
) -> NDArray[np.float64]:
    """Of fraud; `log_odds`: of frauds where these logits come from, if others than among pooled examples.

    From log odds of any shape to probabilities of the same shape.
    """
    moved = 0.0 if log_odds is None else log_odds - scaling.log_odds
    return sigmoid(scaling.slope * logits.astype(np.float64) + scaling.offset + moved)
