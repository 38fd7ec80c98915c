"""What leaves a participant: clipped, weighted, with its share of the noise."""

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from numpy.typing import NDArray

from contract.federation.messages import LocalTraining, MaskingTerms, PrivacyTerms, RoundPlan, TensorShape
from federation.learning.learner import Trained
from federation.participant.contribution import Contribution, build_contribution, weigh_contribution

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


def trained(*arrays: Any) -> Trained:
    return Trained(arrays=[np.array(array, dtype=np.float32) for array in arrays], examples=10, frauds=1)


def arrays(*values: Any) -> list[NDArray[np.float32]]:
    return [np.array(value, dtype=np.float32) for value in values]


@pytest.mark.parametrize(
    ("after", "values", "clipped"),
    [
        (([4.0, 5.0], [1.0]), [3.0, 4.0, 0.0], False),  # a norm of just clip_norm stays
        (([7.0, 9.0], [1.0]), [3.0, 4.0, 0.0], True),
    ],
)
def test_a_training_gives_how_far_the_weights_have_moved_and_no_further_than_the_clip_norm(
    after: Any, values: list[float], clipped: bool
) -> None:
    given = build_contribution(PLAN, arrays([1.0, 1.0], [1.0]), trained(*after))
    assert given.values == pytest.approx(values)
    assert given.clipped is clipped


def test_arrays_of_other_shapes_and_values_that_are_not_finite_are_refused() -> None:
    base = arrays([1.0, 1.0], [1.0])
    with pytest.raises(ValueError, match="other shapes"):
        build_contribution(PLAN, base, trained([1.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match="finite"):
        build_contribution(PLAN, base, trained([1.0, float("inf")], [1.0]))


def test_a_summary_of_norm_one_is_the_clip_norm_and_one_of_another_length_is_refused() -> None:
    shapes = (*PLAN.shapes, TensorShape(name="statistics", shape=(2,), role="statistics"))
    plan = replace(PLAN, purpose="statistics", shapes=shapes)
    given = build_contribution(plan, [], trained([0.6, 0.0]))
    assert (given.values.tolist(), given.clipped) == (pytest.approx([3.0, 0.0]), False)
    assert build_contribution(plan, [], trained([0.6, 1.6])).clipped
    with pytest.raises(ValueError, match="another length"):
        build_contribution(plan, [], trained([0.6, 0.0, 0.0]))


def test_the_sum_has_the_weighted_values_and_the_weight() -> None:
    given = Contribution(np.array([1.0, 2.0, 3.0]), False)
    found = weigh_contribution(PLAN, given, 0.5, lambda _: pytest.fail("no noise is asked for"))
    assert found.tolist() == [0.5, 1.0, 1.5, 0.5]


@pytest.mark.parametrize(("clipped", "counted"), [(True, 3.0), (False, 0.0)])
def test_whether_it_was_cut_is_one_more_number_where_that_is_counted(clipped: bool, counted: float) -> None:
    plan = replace(PLAN, counts_clipped=True)
    found = weigh_contribution(plan, Contribution(np.array([1.0, 2.0, 3.0]), clipped), 0.5, bytes)
    assert found.tolist() == [0.5, 1.0, 1.5, 0.5, counted]


def test_noise_is_on_the_values_alone_and_as_wide_as_the_plan_says() -> None:
    plan = replace(PLAN, privacy=NOISY)
    given = Contribution(np.zeros(40_000), False)
    found = weigh_contribution(plan, given, 3.0, lambda count: bytes(range(count)))
    assert found[-1] == 3.0
    assert len(found) == 40_001
    assert found[:-1].std() == pytest.approx(
        2.0 * 5.0 * 3.0 / 2, rel=0.02
    )  # of four: half of noise x clip_norm x weight_max
    other = weigh_contribution(plan, given, 3.0, bytes)
    assert not np.array_equal(found, other)
