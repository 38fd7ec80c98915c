"""Average precision under weights, and how sure a difference is, against scikit-learn and plain loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from contract.statistics import ranking
from contract.statistics.ranking import Ranking, draw_counts, estimate_win_share

FRAUD = np.arange(400) % 20 == 0
GOOD, WEAK = (FRAUD * signal + np.random.default_rng(3).normal(size=400) for signal in (4.0, 1.0))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 3)), min_size=2, max_size=60))
def test_weights_count_as_repetitions_of_a_row_do(rows: list[tuple[int, bool, int]]) -> None:
    score = np.array([value / 9 for value, _, _ in rows])
    fraud = np.array([kind for _, kind, _ in rows])
    weight = np.array([times for _, _, times in rows])
    fraud[0], weight[0] = True, max(weight[0], 1)
    expected = average_precision_score(np.repeat(fraud, weight), np.repeat(score, weight))
    assert Ranking(score, fraud).average_precision(weight.astype(float)) == pytest.approx(expected)


def test_many_samples_at_once_give_what_each_gives_alone() -> None:
    weights = np.random.default_rng(1).integers(0, 3, (7, 400)).astype(float)
    together = Ranking(WEAK, FRAUD).average_precisions(weights)
    assert together == pytest.approx([Ranking(WEAK, FRAUD).average_precision(each) for each in weights])


def test_a_sample_draws_as_many_frauds_and_as_many_genuine_ones_as_there_are() -> None:
    times = draw_counts(FRAUD, np.random.default_rng(2), 50)
    assert (times[:, FRAUD].sum(axis=1) == FRAUD.sum()).all()
    assert (times[:, ~FRAUD].sum(axis=1) == (~FRAUD).sum()).all()
    assert times.max() > 1


def test_the_better_model_is_surely_better_and_the_same_is_not() -> None:
    assert estimate_win_share(GOOD, WEAK, FRAUD, seed=1) > 0.99
    assert estimate_win_share(WEAK, GOOD, FRAUD, seed=1) < 0.01
    assert estimate_win_share(GOOD, GOOD, FRAUD, seed=1) == 0.0


def test_among_few_frauds_less_is_sure() -> None:
    random = np.random.default_rng(3)
    better, worse = (FRAUD * signal + random.normal(size=400) for signal in (2.0, 1.2))
    few = ~FRAUD | (np.arange(400) < 80)
    assert estimate_win_share(better, worse, FRAUD, seed=1) > 0.95
    assert 0.5 < estimate_win_share(better[few], worse[few], FRAUD[few], seed=1) < 0.95


def test_samples_taken_in_small_lots_are_as_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = WEAK + 0.6 * FRAUD
    at_once = estimate_win_share(noisy, WEAK, FRAUD, seed=1)
    monkeypatch.setattr(ranking, "DRAWN_AT_ONCE", 1_000)
    assert estimate_win_share(noisy, WEAK, FRAUD, seed=1) == pytest.approx(at_once, abs=0.05)


def test_rows_of_little_weight_decide_nothing() -> None:
    first = np.arange(400) < 200
    mixed = np.where(first, GOOD, -GOOD)
    assert estimate_win_share(mixed, WEAK, FRAUD, seed=1, weight=np.where(first, 1, 1e-9)) > 0.95
    assert estimate_win_share(mixed, WEAK, FRAUD, seed=1, weight=np.where(first, 1e-9, 1)) < 0.05


def test_nothing_is_better_where_nothing_is_fraud() -> None:
    assert estimate_win_share(GOOD, WEAK, np.zeros(400, dtype=bool), seed=1) == 0.0
