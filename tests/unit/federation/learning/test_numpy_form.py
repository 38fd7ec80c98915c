"""Inputs are normalised by the moments that all participants have together."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from federation.learning.learner import Arrays
from federation.learning.numpy_form import VALUE_MAX, make_empty, normalise, read_scaling, split_arrays, summarise
from federation.numeric.calibration import PARAMETERS

FEATURES: NDArray[np.float32] = (
    np.random.default_rng(1).normal(size=(500, 3)) * [1.0, 50.0, 0.1] + [0.0, 20.0, 5.0]
).astype(np.float32)


def test_a_model_with_two_vectors_at_its_end_has_a_form() -> None:
    layers: Arrays = [np.zeros((3, 2), np.float32), np.zeros(2, np.float32)]
    assert split_arrays(layers) == (layers, [])
    form = make_empty(3)
    assert [array.shape for array in form] == [(6,), (PARAMETERS,)]
    parted = split_arrays([*layers, *form])
    assert len(parted.layers) == 2
    assert parted.form[0] is form[0]


def test_a_summary_has_a_norm_of_at_most_one_however_large_the_values() -> None:
    assert np.linalg.norm(summarise(np.full((4, 3), 3e38, dtype=np.float32))) == pytest.approx(1.0)
    assert summarise(np.zeros((4, 3), dtype=np.float32)).tolist() == [0.0] * 6
    one = summarise(np.full((2, 1), math.e - 1, dtype=np.float32))
    assert one == pytest.approx(np.array([1 / VALUE_MAX, 1 / VALUE_MAX**2]) / math.sqrt(2))


def test_what_was_summed_up_over_all_normalises_to_mean_0_and_deviation_1() -> None:
    form = [summarise(FEATURES), np.zeros(PARAMETERS, np.float32)]
    found = normalise(form, FEATURES)
    assert found.mean(axis=0) == pytest.approx([0.0] * 3, abs=0.01)
    assert found.std(axis=0) == pytest.approx([1.0] * 3, rel=0.02)
    negative = normalise(form, -FEATURES)
    assert not np.allclose(found, negative)


def test_where_nothing_was_measured_features_stay_as_they_are_and_a_constant_does_not_divide_by_nothing() -> None:
    assert normalise([], FEATURES) is FEATURES
    assert normalise(make_empty(3), FEATURES) is FEATURES
    same = np.full((5, 1), 2.0, dtype=np.float32)
    assert np.all(np.isfinite(normalise([summarise(same), np.zeros(PARAMETERS, np.float32)], same)))


def test_a_calibration_is_one_as_soon_as_its_slope_is_above_zero() -> None:
    assert read_scaling([]) is None
    assert read_scaling(make_empty(3)) is None
    calibration = np.arange(1, PARAMETERS + 1, dtype=np.float32)
    found = read_scaling([np.zeros(6, np.float32), calibration])
    assert found is not None
    assert list(found) == calibration.tolist()
