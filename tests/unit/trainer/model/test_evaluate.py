"""Measures of a model at its thresholds."""

import numpy as np
import pytest

from contract.models import Thresholds
from trainer.model.evaluate import compute_calibration_error, measure

NEVER = 1.000001


def test_precision_recall_and_shares_are_of_everything_from_the_threshold_on() -> None:
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99], dtype=np.float32)
    fraud = np.array([0, 0, 0, 1, 0, 1, 0, 1, 1, 1], dtype=bool)
    measures = measure(score, fraud, Thresholds(flag=0.5, hold=0.75, block=0.93))
    assert measures["share_flag"] == 0.6
    assert measures["recall_flag"] == pytest.approx(4 / 5)
    assert measures["precision_hold"] == pytest.approx(3 / 4)
    assert measures["precision_block"] == 1.0
    decided = [measures[f"decided_{name}"] for name in ("allow", "flag", "hold", "block")]
    assert decided == pytest.approx([0.4, 0.2, 0.2, 0.2])


def test_a_precision_that_cannot_be_measured_is_left_out_and_the_rest_is_finite() -> None:
    measures = measure(np.array([0.1, 0.9]), np.array([False, True]), Thresholds(flag=0.5, hold=NEVER, block=NEVER))
    assert "precision_hold" not in measures
    assert all(np.isfinite(value) for value in measures.values())
    assert measures["recall_block"] == 0.0


def test_scores_that_are_the_share_of_frauds_have_no_calibration_error_and_others_have() -> None:
    fraud = np.tile([True, False, False, False], 250)
    assert compute_calibration_error(np.full(1000, 0.25), fraud) < 0.01
    assert compute_calibration_error(np.full(1000, 0.75), fraud) == pytest.approx(0.5, abs=0.01)


def test_every_measure_is_told_by_its_name() -> None:
    score, fraud = np.array([0.9, 0.5, 0.2, 0.0]), np.array([True, False, True, False])
    found = measure(score, fraud, Thresholds(flag=0.5, hold=0.9, block=0.95))
    assert (found["transactions"], found["frauds"]) == (4.0, 2.0)
    assert found["brier"] == pytest.approx((0.01 + 0.25 + 0.64) / 4)
    assert found["auc_roc"] == pytest.approx(0.75)
    assert found["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["calibration_error"] == compute_calibration_error(score, fraud)
    assert (found["share_flag"], found["share_hold"], found["share_block"]) == (0.5, 0.25, 0.0), "from the threshold on"
