"""A sum of words is the sum of the numbers: without bias, within the rounding, and never beyond the ring."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.numeric.fixed_point import FixedPoint, choose_finest
from federation.numeric.masks import RING_TYPES, Stream
from federation.refusals import MaskingRefusedError


@given(
    st.sampled_from([16, 32, 64]),
    st.integers(1, 50),
    st.floats(1e-6, 1e6),
    st.integers(0, 2**32),
)
def test_the_sum_of_the_words_is_the_sum_of_the_numbers(bits: int, addends: int, bound: float, seed: int) -> None:
    point = choose_finest(bits, bound, addends)
    values = np.random.default_rng(seed).uniform(-bound, bound, (addends, 20))
    values[:, 0], values[:, 1] = bound, -bound
    total = np.zeros(20, RING_TYPES[bits])
    for index, row in enumerate(values):
        total += point.encode(row, Stream(bytes([index]) * 32)).words
    error = np.abs(point.decode(total) - values.sum(axis=0))
    assert (error <= addends / point.scale * 1.001 + 1e-12 * addends * bound).all()


@given(st.sampled_from(sorted(RING_TYPES)), st.integers(1, 30), st.floats(1e-3, 1e3))
def test_the_largest_sum_stays_in_the_ring(bits: int, addends: int, bound: float) -> None:
    if 2 ** (bits - 1) - 1 < 2 * addends:
        with pytest.raises(MaskingRefusedError, match="overflow"):
            choose_finest(bits, bound, addends)
        return
    point = choose_finest(bits, bound, addends)
    for edge in (bound, -bound):
        word = point.encode(np.array([edge]), Stream(b"k" * 32)).words
        total = sum(int(word[0]) for _ in range(addends)) % 2**bits
        assert math.copysign(1, point.decode(np.array([total], RING_TYPES[bits]))[0]) == math.copysign(1, edge)


def test_rounding_has_no_bias() -> None:
    point = FixedPoint(bits=32, scale=10.0, bound=1.0, addends=10)
    words = point.encode(np.full(200_000, 0.123), Stream(b"r" * 32)).words
    assert set(np.unique(words)) == {1, 2}
    assert abs(float(point.decode(words).mean()) - 0.123) < 0.0005
    negative = point.encode(np.full(200_000, -0.123), Stream(b"r" * 32)).words
    assert abs(float(point.decode(negative).mean()) + 0.123) < 0.0005


def test_what_lies_beyond_the_bound_is_clipped_and_counted() -> None:
    point = FixedPoint(bits=32, scale=100.0, bound=1.0, addends=3)
    encoded = point.encode(np.array([0.5, 1.0, 1.5, -9.0]), Stream(b"c" * 32))
    assert encoded.clip_rate == 0.5
    np.testing.assert_allclose(point.decode(encoded.words), [0.5, 1, 1, -1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(MaskingRefusedError, match="finite"):
        FixedPoint(bits=32, scale=1.0, bound=1.0, addends=1).encode(np.array([0.0, value]), Stream(bytes(32)))


@pytest.mark.parametrize(
    ("bits", "scale", "bound", "addends"),
    [
        (24, 1.0, 1.0, 1),
        (32, 0.0, 1.0, 1),
        (32, math.inf, 1.0, 1),
        (32, 1.0, math.nan, 1),
        (32, 1.0, -1.0, 1),
        (8, 63.0, 1.0, 2),
    ],
)
def test_a_configuration_that_cannot_hold_the_sum_is_refused(
    bits: int, scale: float, bound: float, addends: int
) -> None:
    with pytest.raises(MaskingRefusedError):
        FixedPoint(bits=bits, scale=scale, bound=bound, addends=addends)


def test_a_ring_without_room_for_all_is_refused() -> None:
    assert choose_finest(8, 1.0, 63).largest_sum <= 127
    with pytest.raises(MaskingRefusedError, match="no room for 64 participants"):
        choose_finest(8, 1.0, 64)
