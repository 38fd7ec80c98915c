import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.statistics.platt import SLOPE_MIN
from federation.numeric import calibration
from federation.refusals import UpdateRefusedError
from trainer.model.calibrate import fit_platt


def drawn(seed: int, examples: int = 20_000, share: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    fraud = random.random(examples) < share
    return random.normal(np.where(fraud, 1.5, -1.5), 1.8), fraud


@pytest.mark.parametrize("share", [0.005, 0.02, 0.09])
def test_the_fit_on_pooled_histograms_is_close_to_the_one_on_the_examples(share: float, seed: int) -> None:
    logits, fraud = drawn(seed, share=share)
    parts = np.array_split(np.arange(len(logits)), 5)
    pooled = np.mean([calibration.compute_histogram(logits[part], fraud[part]) for part in parts], axis=0)
    scaling = calibration.fit(pooled, len(logits))
    platt = fit_platt(logits, fraud)
    assert scaling.slope == pytest.approx(platt.slope, rel=0.02)
    assert scaling.offset == pytest.approx(platt.offset, abs=0.03)
    np.testing.assert_allclose(
        calibration.compute_probability(scaling, logits), platt.compute_probability(logits), atol=0.01
    )
    assert scaling.log_odds == pytest.approx(math.log(fraud.sum() / (~fraud).sum()))


@given(st.lists(st.tuples(st.floats(-50, 50), st.booleans()), min_size=1, max_size=40))
def test_a_histogram_keeps_counts_and_means_of_both_labels(examples: list[tuple[float, bool]]) -> None:
    logits, fraud = np.array([logit for logit, _ in examples]), np.array([label for _, label in examples])
    found = calibration.compute_histogram(logits, fraud).reshape(2, -1) * math.sqrt(2) * len(examples)
    held = np.clip(logits, -calibration.LOGIT_MAX, calibration.LOGIT_MAX)
    for part, label, scale in zip(found, (False, True), (1, calibration.FRAUDS_SCALE), strict=True):
        assert part.sum() / scale == pytest.approx((fraud == label).sum(), abs=1e-9)
        assert part @ calibration.KNOTS / scale == pytest.approx(held[fraud == label].sum(), abs=1e-6)


@given(st.floats(-50, 50))
def test_no_example_s_part_is_longer_than_the_scale_of_frauds_allows(logit: float) -> None:
    one = np.array([logit])
    assert np.linalg.norm(calibration.compute_histogram(one, np.array([False]))) <= 1 / math.sqrt(2) + 1e-9
    assert np.linalg.norm(calibration.compute_histogram(one, np.array([True]))) <= calibration.EXAMPLE_NORM_MAX + 1e-9


def test_a_retailer_s_own_odds_move_the_probability_and_nothing_else() -> None:
    scaling = calibration.Scaling(1.2, -3.0, -4.0)
    logits = np.array([-1.0, 0.0, 2.0])
    same = calibration.compute_probability(scaling, logits, -4.0)
    np.testing.assert_allclose(same, calibration.compute_probability(scaling, logits))
    other = calibration.compute_probability(scaling, logits, -3.0)
    np.testing.assert_allclose(np.log(other / (1 - other)) - np.log(same / (1 - same)), 1.0)


def test_counts_that_noise_made_negative_count_as_none_and_a_missing_label_is_refused() -> None:
    logits, fraud = drawn(1)
    pooled = calibration.compute_histogram(logits, fraud)
    pooled[0] = -0.01
    assert math.isfinite(calibration.fit(pooled, 100.0).slope)
    with pytest.raises(UpdateRefusedError, match="one of them is missing"):
        calibration.fit(calibration.compute_histogram(logits, np.zeros(len(fraud), np.bool_)), 100.0)


def test_scores_that_tell_nothing_or_the_opposite_keep_the_order_of_scores() -> None:
    logits, fraud = drawn(2)
    assert calibration.fit(calibration.compute_histogram(-logits, fraud), len(fraud)).slope == SLOPE_MIN


def test_on_the_knots_themselves_the_fit_is_the_one_on_the_examples_with_platt_s_targets() -> None:
    at = calibration.KNOTS[[30, 40, 50, 60, 64, 70, 75, 80, 66, 90, 58, 100]]
    fraud = np.array([False] * 7 + [True] * 5)
    scaling = calibration.fit(calibration.compute_histogram(at, fraud), 12)
    platt = fit_platt(at, fraud)
    assert (scaling.slope, scaling.offset) == pytest.approx((platt.slope, platt.offset), rel=1e-4)
    assert scaling.log_odds == pytest.approx(math.log(5 / 7))


def test_a_weight_is_as_many_examples() -> None:
    logits, fraud = drawn(3, examples=60, share=0.3)
    times = np.random.default_rng(1).integers(1, 4, 60)
    weighted = calibration.compute_histogram(logits, fraud, times.astype(np.float64))
    repeated = calibration.compute_histogram(np.repeat(logits, times), np.repeat(fraud, times))
    np.testing.assert_allclose(weighted, repeated)


def test_half_an_example_of_each_kind_is_enough() -> None:
    logits, fraud = np.array([-1.0, 1.0]), np.array([False, True])
    assert calibration.fit(calibration.compute_histogram(logits, fraud), 1).slope > 0
