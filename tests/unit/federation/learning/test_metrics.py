"""Measures of scores against labels."""

import math

import numpy as np
import pytest

from federation.learning.metrics import compute_accuracy, compute_probabilities, log_loss, measure

LABELS = np.array([True, False, True, False])
SCORES = np.array([0.9, 0.5, 0.4, 0.1])


def test_the_loss_is_the_mean_negative_log_likelihood_and_stays_finite() -> None:
    expected = -(math.log(0.9) + math.log(0.5) + math.log(0.4) + math.log(0.9)) / 4
    assert log_loss(SCORES, LABELS) == pytest.approx(expected)
    assert log_loss(np.array([1.0, 0.0]), np.array([False, True])) == pytest.approx(-math.log(1e-7), rel=1e-6)


def test_accuracy_takes_one_half_for_fraud() -> None:
    assert compute_accuracy(SCORES, LABELS) == 0.5


def test_probabilities_are_those_of_logits_and_never_0_or_1() -> None:
    found = compute_probabilities(np.array([0.0, math.log(3), -1e9, 1e9]))
    assert found[:2] == pytest.approx([0.5, 0.75])
    assert found[2] == pytest.approx(math.exp(-60), rel=1e-9)
    assert found[3] <= 1.0


def test_what_is_not_defined_is_left_out() -> None:
    assert measure(SCORES[:0], LABELS[:0]) == {}
    assert set(measure(SCORES, np.zeros(4, dtype=bool))) == {"accuracy", "loss"}
    found = measure(SCORES, LABELS)
    assert set(found) == {"auc", "ap", "accuracy", "loss"}
    assert [found["auc"], found["ap"]] == pytest.approx([0.75, (1 + 2 / 3) / 2])
