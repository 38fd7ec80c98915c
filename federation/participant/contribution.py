"""What a participant gives to a round's sum, of what its learner gave: difference or summary, clipped, with its noise. Pure."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.federation.messages import RoundPlan
from federation.learning.learner import Arrays, Trained
from federation.messages.sealing import RandomBytes
from federation.numeric.masks import Stream
from federation.numeric.tensors import count_summed, flatten, has_clipped_count, mark_places
from federation.plan_parameters import clip_update, compute_noise_share


class Contribution(NamedTuple):
    """What goes into the sum, before noise."""

    values: NDArray[np.float64]
    clipped: bool
    """It had more than clip_norm, and was cut to it."""


def build_contribution(plan: RoundPlan, base: Arrays, result: Trained) -> Contribution:
    """Of shape (count_summed(plan),), L2 norm at most clip_norm; raises ValueError where it is not finite or of other shapes.

    In a training, how far the arrays of weights have moved from `base`; else the summary, of which a norm of 1 is clip_norm.
    """
    if plan.purpose != "training":
        summary = flatten(result.arrays).astype(np.float64) * plan.clip_norm
        if len(summary) != count_summed(plan):
            raise ValueError("the learner gave a summary of another length")
        return Contribution(*clip_update(plan, summary))
    if [array.shape for array in result.arrays] != [array.shape for array in base]:
        raise ValueError("the learner gave arrays of other shapes")
    before, after = flatten(base).astype(np.float64), flatten(result.arrays).astype(np.float64)
    return Contribution(*clip_update(plan, (after - before)[mark_places(plan.shapes, "weights")]))


def weigh_contribution(plan: RoundPlan, given: Contribution, weight: float, random: RandomBytes) -> NDArray[np.float64]:
    """All numbers of a masked sum: the weighted values with their noise, the weight, and whether they were cut where that is counted.

    The shape is (d + 1,), or (d + 2,) with the count; `values` of `given` are (d,).
    """
    values, sigma = given.values * weight, compute_noise_share(plan)
    if sigma:
        values = values + sigma * Stream(random(32)).draw_normal(len(values))
    counted = [plan.weight_max * given.clipped] if has_clipped_count(plan) else []
    return np.concatenate([values, [weight], counted])
