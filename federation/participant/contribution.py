"""What a participant gives to a round's sum, of what its learner gave: difference or summary, clipped, with its noise. Pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.federation.messages import RoundPlan
from federation.learning.learner import Arrays, Trained
from federation.messages.sealing import RandomBytes
from federation.numeric.masks import Stream
from federation.numeric.tensors import counts_clipped, flatten, places_of, summed_size
from federation.plan_parameters import clipped, noise_share


class Contribution(NamedTuple):
    """What goes into the sum, before noise."""

    values: NDArray[np.float64]
    clipped: bool
    """It had more than clip_norm, and was cut to it."""


def of(plan: RoundPlan, base: Arrays, result: Trained) -> Contribution:
    """Of shape (summed_size(plan),), L2 norm at most clip_norm; raises ValueError where it is not finite or of other shapes.

    In a training, how far the arrays of weights have moved from `base`; else the summary, of which a norm of 1 is clip_norm.
    """
    if plan.purpose != "training":
        summary = flatten(result.arrays).astype(np.float64) * plan.clip_norm
        if len(summary) != summed_size(plan):
            raise ValueError("the learner gave a summary of another length")
        return Contribution(*clipped(plan, summary))
    if [array.shape for array in result.arrays] != [array.shape for array in base]:
        raise ValueError("the learner gave arrays of other shapes")
    before, after = flatten(base).astype(np.float64), flatten(result.arrays).astype(np.float64)
    return Contribution(*clipped(plan, (after - before)[places_of(plan.shapes, "weights")]))


def weighted(plan: RoundPlan, given: Contribution, weight: float, random: RandomBytes) -> NDArray[np.float64]:
    """All numbers of a masked sum: the weighted values with their noise, the weight, and whether they were cut where that is counted.

    The shape is (d + 1,), or (d + 2,) with the count; `values` of `given` are (d,).
    """
    values, sigma = given.values * weight, noise_share(plan)
    if sigma:
        values = values + sigma * Stream(random(32)).normal(len(values))
    counted = [plan.weight_max * given.clipped] if counts_clipped(plan) else []
    return np.concatenate([values, [weight], counted])
