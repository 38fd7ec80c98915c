"""Platt scaling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.statistics.platt import SLOPE_MIN, _loss, sigmoid
from trainer.model.calibrate import Platt, fit_platt


@settings(max_examples=10)
@given(st.floats(0.3, 3.0), st.floats(-3.0, 1.0), st.integers(0, 2**32 - 1))
def test_the_scaling_that_made_the_labels_is_found_again(slope: float, offset: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    logit = random.normal(size=40_000)
    fraud = random.random(40_000) < sigmoid(slope * logit + offset)
    found = fit_platt(logit, fraud)
    assert found.slope == pytest.approx(slope, abs=0.15)
    assert found.offset == pytest.approx(offset, abs=0.15)


def test_the_fit_is_a_minimum() -> None:
    random = np.random.default_rng(5)
    logit = random.normal(size=2_000) * 4
    fraud = random.random(2_000) < sigmoid(0.5 * logit - 3)
    found = fit_platt(logit, fraud)
    target = np.where(fraud, (fraud.sum() + 1) / (fraud.sum() + 2), 1 / ((~fraud).sum() + 2))
    each = np.ones(len(logit))
    best = _loss(found.slope * logit + found.offset, target, each)
    for slope, offset in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01)):
        assert _loss((found.slope + slope) * logit + found.offset + offset, target, each) > best


def test_a_weight_is_as_many_examples() -> None:
    random = np.random.default_rng(6)
    logit = random.normal(size=500) * 4
    fraud = random.random(500) < sigmoid(0.5 * logit - 1)
    times = random.integers(1, 5, size=500)
    weighted = fit_platt(logit, fraud, times.astype(np.float64))
    repeated = fit_platt(np.repeat(logit, times), np.repeat(fraud, times))
    assert weighted == pytest.approx(repeated, abs=1e-4)


def test_separable_scores_stay_finite() -> None:
    logit = np.array([-5.0] * 50 + [5.0] * 50)
    found = fit_platt(logit, logit > 0)
    assert np.isfinite(found).all()
    low, high = found.compute_probability(np.array([-5.0, 5.0]))
    assert low < 0.1
    assert high > 0.9


def test_the_order_of_scores_is_never_turned_around() -> None:
    logit = np.linspace(-1, 1, 100)
    assert fit_platt(logit, logit < 0).slope == SLOPE_MIN


def test_probabilities_of_extreme_logits_neither_overflow_nor_leave_the_range() -> None:
    assert Platt(1.0, 0.0).compute_probability(np.array([-1e9, 0.0, 1e9])).tolist() == [0.0, 0.5, 1.0]
