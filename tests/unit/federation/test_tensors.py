"""A model's arrays and its vector are the same numbers, and nothing that does not fit is used."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.federation import TensorShape
from federation.refusals import UpdateRefusedError
from federation.tensors import (
    PARAMETERS_MAX,
    check_shapes,
    check_vector,
    flatten,
    flatten_named,
    schema_hash,
    shapes_of,
    size_of,
    unflatten,
)

MODEL = {
    "dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3),
    "dense/bias": np.array([7, 8, 9], dtype=np.float32),
    "temperature": np.array(0.5, dtype=np.float32),
}
SHAPES = shapes_of(MODEL)


def test_arrays_come_back_as_they_went_in() -> None:
    vector = flatten_named(MODEL, SHAPES)
    assert vector.tolist() == [0, 1, 2, 3, 4, 5, 7, 8, 9, 0.5]
    assert size_of(SHAPES) == 10
    back = unflatten(SHAPES, vector.tobytes())
    for array, wanted in zip(back, MODEL.values(), strict=True):
        np.testing.assert_array_equal(array, wanted)
        assert array.shape == wanted.shape
    np.testing.assert_array_equal(flatten(back), vector)


@given(st.lists(st.lists(st.integers(1, 4), max_size=3), min_size=1, max_size=4))
def test_any_shapes_come_back(dimensions: list[list[int]]) -> None:
    model = {f"w{i}": np.random.default_rng(i).normal(size=shape).astype("<f4") for i, shape in enumerate(dimensions)}
    shapes = shapes_of(model)
    back = unflatten(shapes, flatten_named(model, shapes).tobytes())
    for array, wanted in zip(back, model.values(), strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_the_schema_hash_tells_names_shapes_and_order() -> None:
    other_name = (TensorShape(name="x", shape=(2, 3)), *SHAPES[1:])
    other_shape = (TensorShape(name="dense/kernel", shape=(3, 2)), *SHAPES[1:])
    hashes = {schema_hash(shapes) for shapes in (SHAPES, SHAPES[::-1], other_name, other_shape)}
    assert len(hashes) == 4
    assert schema_hash(SHAPES) == schema_hash(shapes_of(MODEL))
    assert schema_hash(SHAPES) == "5fbba780fd4952af8ca9db040dbba8e3fd79c6813fabdb1c8e9037ac8665ab5c"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dense/bias": np.zeros(4)}, "shape"),
        ({"dense/bias": np.zeros((3, 1))}, "shape"),
        ({"more": np.zeros(1)}, "schema"),
        ({"dense/bias": np.array([1, np.nan, 2])}, "not_finite"),
        ({"dense/bias": np.array([1, 1e39, 2])}, "not_finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes: dict[str, np.ndarray], reason: str) -> None:
    with np.errstate(over="ignore"), pytest.raises(UpdateRefusedError) as error:
        flatten_named(MODEL | changes, SHAPES)
    assert error.value.reason == reason


def test_a_missing_array_is_refused() -> None:
    with pytest.raises(UpdateRefusedError, match="schema"):
        flatten_named({"dense/kernel": MODEL["dense/kernel"]}, SHAPES)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "length"),
        (bytes(39), "length"),
        (bytes(44), "length"),
        (np.full(10, np.inf, "<f4").tobytes(), "not_finite"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(UpdateRefusedError) as error:
        unflatten(SHAPES, payload)
    assert error.value.reason == reason


def test_a_vector_of_another_shape_is_refused() -> None:
    with pytest.raises(UpdateRefusedError, match="length"):
        check_vector(np.zeros((2, 5)), 10)


def test_models_that_cannot_be_sent_are_refused() -> None:
    check_shapes(SHAPES)
    for shapes in ((SHAPES[0], SHAPES[0]), (), (TensorShape(name="w", shape=(PARAMETERS_MAX + 1,)),)):
        with pytest.raises(UpdateRefusedError, match="schema"):
            check_shapes(shapes)
