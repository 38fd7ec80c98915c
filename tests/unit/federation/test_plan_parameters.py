"""What both sides work out of a plan: weights, and the noise that makes whole what was promised."""

from typing import Any

import pytest
from msgspec.structs import replace

from contract.federation.messages import LocalTraining, MaskingTerms, PrivacyTerms, RoundPlan, TensorShape
from federation.numeric.calibration import EXAMPLE_NORM_MAX
from federation.plan_parameters import choose_fixed_point, compute_noise_share, compute_value_bound, compute_weight
from federation.refusals import MaskingRefusedError

NONE = PrivacyTerms(
    level="none", noise_multiplier=0.0, delta=1e-5, epsilon_before=0.0, epsilon_after=0.0, examples_min=50
)
NOISY = replace(NONE, level="client", noise_multiplier=2.0)
PLAN = RoundPlan(
    round=3, attempt=0, mode="masked", cohort=("alma", "berta", "carl", "dora"), updates_min=4, base_version=2,
    shapes=(TensorShape(name="w", shape=(2,)), TensorShape(name="b", shape=(1,))),
    training=LocalTraining(epochs=1, batch_size=8, learning_rate=0.1, prior_offset=False, proximal_mu=0.0),
    clip_norm=5.0, frauds_weight=0.5, weight_unit=1_000.0, weight_max=3.0, privacy=NONE, bits=32,
    masking=MaskingTerms(ring_bits=32, neighbours=32, threshold=3, scale=100.0), seed=1, roster_version=1,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({}, 0.0),
        ({"privacy": NOISY, "mode": "robust"}, 0.0),
        ({"privacy": NOISY}, 15.0),
        ({"privacy": replace(NOISY, level="sample")}, 0.0),  # a training's noise is in it already
        ({"privacy": replace(NOISY, level="sample"), "purpose": "statistics"}, 2.0 * 2 * 5.0 / 50 * 3.0 / 2),
    ],
)
def test_a_share_of_the_noise_makes_whole_what_was_promised(changes: dict[str, Any], share: float) -> None:
    plan = replace(PLAN, **changes)
    assert compute_noise_share(plan) == pytest.approx(share)
    assert compute_value_bound(plan) == pytest.approx(15.0 + 8 * share)


def test_an_example_moves_a_histogram_by_no_more_than_its_own_norm() -> None:
    sums = replace(PLAN, privacy=replace(NOISY, level="sample"), purpose="statistics")
    histogram = compute_noise_share(replace(sums, purpose="calibration"))
    assert histogram == pytest.approx(compute_noise_share(sums) * EXAMPLE_NORM_MAX)


def test_the_fixed_point_is_that_of_the_plan_and_none_is_chosen_without_masks_or_where_a_sum_could_overflow() -> None:
    assert choose_fixed_point("shops", PLAN).scale == 100.0
    for masking in (None, MaskingTerms(ring_bits=32, neighbours=32, threshold=3, scale=1e9)):
        with pytest.raises(MaskingRefusedError):
            choose_fixed_point("shops", replace(PLAN, masking=masking))


def test_a_value_is_bounded_by_the_weight_too_where_updates_are_shorter_than_one() -> None:
    assert compute_value_bound(replace(PLAN, clip_norm=0.1)) == 3.0


@pytest.mark.parametrize(
    ("examples", "frauds", "weight"), [(0, 0, 0.0), (1_000, 0, 1.5), (0, 10, 1.5), (500, 5, 1.5), (10_000, 100, 3.0)]
)
def test_a_fraud_weighs_as_a_hundred_examples_and_nobody_more_than_the_most(
    examples: int, frauds: int, weight: float
) -> None:
    assert compute_weight(PLAN, examples, frauds) == pytest.approx(weight)
    assert compute_weight(replace(PLAN, privacy=NOISY), examples, frauds) == 3.0
    assert compute_weight(replace(PLAN, privacy=replace(NOISY, level="sample")), examples, frauds) == 3.0
