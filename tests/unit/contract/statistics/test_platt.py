"""Platt scaling finds the slope and the offset that the targets were made with, wherever it begins."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.statistics.platt import fit_sigmoid, sigmoid

X = np.array([-3.0, -1.0, 0.0, 0.5, 2.0])
ONCE = np.ones(5)


def test_the_sigmoid_is_one_over_one_plus_exp_and_does_not_overflow() -> None:
    assert sigmoid(np.array([0.0, math.log(3), -math.log(3)])) == pytest.approx([0.5, 0.75, 0.25])
    assert sigmoid(np.array([[-1e9], [1e9]])).tolist() == [[0.0], [1.0]]


@pytest.mark.parametrize(("slope", "offset"), [(2.0, -1.0), (0.3, 4.0), (-0.7, 0.5), (1.0, 0.0)])
@pytest.mark.parametrize("begin", [-5.0, 0.0, 5.0])
def test_the_slope_and_the_offset_of_the_targets_are_found(slope: float, offset: float, begin: float) -> None:
    found = fit_sigmoid(X, sigmoid(slope * X + offset), ONCE, offset=begin, gain_min=0.0)
    assert found == pytest.approx((slope, offset), abs=1e-5)


def test_a_count_is_as_many_examples_and_one_of_none_is_not_there() -> None:
    target = np.array([0.1, 0.2, 0.9, 0.4, 0.8])
    counts = np.array([1.0, 2.0, 0.0, 3.0, 1.0])
    repeated = np.repeat(np.arange(5), counts.astype(int))
    by_count = fit_sigmoid(X, target, counts, offset=0.0, gain_min=0.0)
    one_by_one = fit_sigmoid(X[repeated], target[repeated], np.ones(7), offset=0.0, gain_min=0.0)
    assert by_count == pytest.approx(one_by_one, abs=1e-6)


def after_steps(count: int, target: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slope and offset after so many steps of Newton's method from (1, 0), none of them shortened."""
    place, columns = np.array([1.0, 0.0]), np.stack([X, np.ones(5)], axis=1)
    for _ in range(count):
        told = 1 / (1 + np.exp(-columns @ place))
        curvature = (columns.T * (counts * told * (1 - told))) @ columns
        place = place + np.linalg.solve(curvature, columns.T @ (counts * (target - told)))
    return place


def test_a_step_is_newton_s_and_the_first_that_wins_too_little_is_the_last() -> None:
    target, counts = sigmoid(2.0 * X - 1.0), np.array([1.0, 2.0, 1.0, 3.0, 1.0])

    def fitted(gain_min: float) -> tuple[float, float]:
        return fit_sigmoid(X, target, counts, offset=0.0, gain_min=gain_min)

    def loss(place: NDArray[np.float64]) -> float:
        z = place[0] * X + place[1]
        return float(np.sum(counts * (np.logaddexp(0.0, z) - target * z)))

    places = [after_steps(count, target, counts) for count in range(4)]
    gains = [loss(before) - loss(after) for before, after in itertools.pairwise(places)]
    assert fitted(gains[0] * 1.01) == pytest.approx(places[1].tolist(), abs=1e-6)
    assert fitted(gains[0] * 0.99) == pytest.approx(places[2].tolist(), abs=1e-6)
    assert fitted(gains[1] * 0.99) == pytest.approx(places[3].tolist(), abs=1e-6)


def test_steps_end_where_one_wins_less_than_is_asked_for() -> None:
    target = sigmoid(2.0 * X - 1.0)
    first = fit_sigmoid(X, target, ONCE, offset=0.0, gain_min=1e9)
    assert first != pytest.approx((1.0, 0.0)), "the step itself still counts"
    assert first != pytest.approx((2.0, -1.0), abs=1e-3)
    near = fit_sigmoid(X, target, ONCE, offset=0.0, gain_min=1e-6)
    assert near == pytest.approx((2.0, -1.0), abs=0.01)


def test_logits_that_tell_all_alike_leave_the_slope_where_it_begins() -> None:
    slope, offset = fit_sigmoid(np.zeros(4), np.full(4, 0.75), np.ones(4), offset=0.0, gain_min=0.0)
    assert slope == pytest.approx(1.0)
    assert offset == pytest.approx(math.log(3))
