"""What both sides must work out alike from a signed plan: weights, clipping, noise, and the fixed point of masked sums. Pure."""

import math

import numpy as np
from numpy.typing import NDArray

from contract.federation.messages import RoundPlan
from federation.numeric import calibration
from federation.numeric.fixed_point import FixedPoint
from federation.privacy import accounting
from federation.secagg.masked_sum import build_masking_plan, check_overflow

FRAUD_IS_WORTH = 100
"""Examples: frauds are some one in a hundred, and it is they that a participant has to teach."""
NOISE_SIGMAS = 8.0
"""Room in the fixed point for a participant's noise; one value in 10^15 lies beyond."""


def compute_weight(plan: RoundPlan, examples: int, frauds: int) -> float:
    """A participant's weight in [0, weight_max].

    With privacy of either level everyone weighs the same: weights by exact counts, and their sum, would tell of single
    examples what no noise covers, and the noise of sums is measured for equal ones.
    """
    if plan.privacy.level != "none":
        return plan.weight_max
    mixed = (1 - plan.frauds_weight) * examples + plan.frauds_weight * FRAUD_IS_WORTH * frauds
    return min(mixed / plan.weight_unit, 1.0) * plan.weight_max


def clip_update(plan: RoundPlan, update: NDArray[np.float64]) -> tuple[NDArray[np.float64], bool]:
    """`update` of L2 norm at most clip_norm, and whether it had more; raises ValueError where it is not finite.

    From (d,) to (d,).
    """
    norm = float(np.linalg.norm(update))
    if not math.isfinite(norm):
        raise ValueError("an update must be finite")
    if norm <= plan.clip_norm:
        return update, False
    return update * (plan.clip_norm / norm), True


def compute_noise_share(plan: RoundPlan) -> float:
    """Standard deviation of the noise that each participant adds to each number of its weighted part of a masked sum; 0 without.

    The sum of any `updates_min` of them has at least noise_multiplier * clip_norm * weight_max. At sample level the summaries of
    statistics and calibration are means over at least examples_min examples, of which one moves its participant's by twice
    its own part over examples_min at most; a training's noise is in it already. In mode robust the coordinator adds what is promised.
    """
    if plan.mode != "masked":
        return 0.0
    if plan.privacy.level == "sample" and plan.purpose != "training":
        part = plan.clip_norm * (calibration.EXAMPLE_NORM_MAX if plan.purpose == "calibration" else 1.0)
        moved = accounting.compute_sensitivity(2 * part / plan.privacy.examples_min, plan.weight_max)
    elif plan.privacy.level == "client":
        moved = accounting.compute_sensitivity(plan.clip_norm, plan.weight_max)
    else:
        return 0.0
    return accounting.compute_noise_share(plan.privacy.noise_multiplier, moved, plan.updates_min)


def compute_value_bound(plan: RoundPlan) -> float:
    """The largest absolute value that one participant puts into a masked sum."""
    return plan.weight_max * max(plan.clip_norm, 1.0) + NOISE_SIGMAS * compute_noise_share(plan)


def choose_fixed_point(federation: str, plan: RoundPlan) -> FixedPoint:
    """How values travel; raises MaskingRefusedError where the cohort's sum could leave the ring."""
    scale = plan.masking.scale if plan.masking is not None else 0.0
    return check_overflow(build_masking_plan(federation, plan), scale, compute_value_bound(plan))
