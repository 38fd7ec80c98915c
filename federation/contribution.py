"""What a participant gives to a round's sum, of what its learner gave: difference or summary, clipped, with its noise. Pure."""

import numpy as np
from numpy.typing import NDArray

from contract.federation import RoundPlan
from federation.learner import Arrays, Trained
from federation.masks import Stream
from federation.sealing import RandomBytes
from federation.tensors import flatten, places_of, summed_size
from federation.terms import clipped, noise_share


def of(plan: RoundPlan, base: Arrays, result: Trained) -> NDArray[np.float64]:
    """Shape (summed_size(plan),), L2 norm at most clip_norm; raises ValueError where it is not finite or of other shapes.

    In a training, how far the arrays of weights have moved from `base`; else the summary, of which a norm of 1 is clip_norm.
    """
    if plan.purpose != "training":
        summary = flatten(result.arrays).astype(np.float64) * plan.clip_norm
        if len(summary) != summed_size(plan):
            raise ValueError("the learner gave a summary of another length")
        return clipped(plan, summary)[0]
    if [array.shape for array in result.arrays] != [array.shape for array in base]:
        raise ValueError("the learner gave arrays of other shapes")
    before, after = flatten(base).astype(np.float64), flatten(result.arrays).astype(np.float64)
    return clipped(plan, (after - before)[places_of(plan.shapes, "weights")])[0]


def noised(plan: RoundPlan, values: NDArray[np.float64], random: RandomBytes) -> NDArray[np.float64]:
    """`values` with this participant's share of the noise, where it is for participants to add."""
    sigma = noise_share(plan)
    return values + sigma * Stream(random(32)).normal(len(values)) if sigma else values
