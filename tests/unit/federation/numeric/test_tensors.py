"""A model's arrays and its vector are the same numbers, and nothing that does not fit is used."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from contract.federation.messages import TensorShape
from federation.numeric.calibration import SUMMED
from federation.numeric.tensors import (
    PARAMETERS_MAX,
    check_shapes,
    check_vector,
    count_summed,
    count_values,
    find_role,
    flatten,
    has_clipped_count,
    mark_places,
    unflatten,
)
from federation.refusals import UpdateRefusedError
from support.robust_round import robust_plan

MODEL = {
    "dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "dense/bias": np.array([7, 8, 9], dtype=np.float32),
    "temperature": np.array(0.5, dtype=np.float32),
}


def shapes_of(model: dict[str, np.ndarray]) -> tuple[TensorShape, ...]:
    return tuple(TensorShape(name=name, shape=array.shape) for name, array in model.items())


SHAPES = shapes_of(MODEL)


def test_arrays_come_back_as_they_went_in() -> None:
    vector = flatten(list(MODEL.values()))
    assert vector.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9, 0.5]
    assert count_values(SHAPES) == 10
    back = unflatten(SHAPES, vector.tobytes())
    for array, wanted in zip(back, MODEL.values(), strict=True):
        np.testing.assert_array_equal(array, wanted)
        assert array.shape == wanted.shape
    np.testing.assert_array_equal(flatten(back), vector)


@given(st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=4))
def test_any_shapes_come_back(dimensions: list[list[int]]) -> None:
    model = {f"w{i}": np.random.default_rng(i).normal(size=shape).astype("<f4") for i, shape in enumerate(dimensions)}
    shapes = shapes_of(model)
    back = unflatten(shapes, flatten(list(model.values())).tobytes())
    for array, wanted in zip(back, model.values(), strict=True):
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "length"),
        (bytes(39), "length"),
        (bytes(44), "length"),
        (np.full(10, np.inf, "<f4").tobytes(), "not_finite"),
        (np.full(10, np.nan, "<f4").tobytes(), "not_finite"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(UpdateRefusedError) as error:
        unflatten(SHAPES, payload)
    assert error.value.reason == reason


def test_a_value_beyond_float32_is_refused() -> None:
    with pytest.raises(UpdateRefusedError, match="not_finite"):
        check_vector(np.array([1, 1e39, 2]), 3)


def test_a_vector_of_another_shape_is_refused() -> None:
    with pytest.raises(UpdateRefusedError, match="length"):
        check_vector(np.zeros((2, 5)), 10)


def test_models_that_cannot_be_sent_are_refused() -> None:
    check_shapes(SHAPES)
    for shapes in ((SHAPES[0], SHAPES[0]), (), (TensorShape(name="w", shape=(PARAMETERS_MAX + 1,)),)):
        with pytest.raises(UpdateRefusedError, match="schema"):
            check_shapes(shapes)


PARTED = (
    TensorShape(name="w", shape=(2,)),
    TensorShape(name="a/statistics", shape=(3,), role="statistics"),
    TensorShape(name="a/calibration", shape=(1,), role="calibration"),
)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("statistics", "statistics"),
        ("a/b/statistics", "statistics"),
        ("calibration", "calibration"),
        ("a/calibration", "calibration"),
        ("a/statistics/w", "weights"),
        ("w", "weights"),
    ],
)
def test_the_last_part_of_a_name_says_what_an_array_is(name: str, role: str) -> None:
    assert find_role(name) == role


def test_each_number_of_a_model_has_one_role() -> None:
    assert mark_places(PARTED, "weights").tolist() == [True, True, False, False, False, False]
    assert mark_places(PARTED, "statistics").tolist() == [False, False, True, True, True, False]
    assert mark_places(PARTED, "calibration").tolist() == [False] * 5 + [True]


@pytest.mark.parametrize(("purpose", "count"), [("training", 2), ("statistics", 3), ("calibration", SUMMED)])
def test_what_a_participant_gives_depends_on_the_purpose(purpose: str, count: int) -> None:
    assert count_summed(robust_plan(shapes=PARTED, purpose=purpose)) == count


def test_how_many_were_cut_is_counted_in_masked_trainings_without_privacy_alone() -> None:
    plan = robust_plan(mode="masked", counts_clipped=True)
    private = replace(plan.privacy, level="client", noise_multiplier=1.0)
    assert has_clipped_count(plan)
    changes: list[dict[str, Any]] = [
        {"counts_clipped": False}, {"mode": "robust"}, {"purpose": "statistics"}, {"privacy": private},
    ]  # fmt: skip
    assert not any(has_clipped_count(replace(plan, **each)) for each in changes)


def test_a_model_of_one_number_and_one_of_the_most_may_be_sent() -> None:
    check_shapes((TensorShape(name="w", shape=(1,)),))
    check_shapes((TensorShape(name="w", shape=(2**13, 2**13)),))
    assert flatten([np.array([1.5]), np.array([[2.5]])]).dtype == np.float32
