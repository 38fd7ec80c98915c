"""Average precision under weights, and how sure a difference is, against plain loops. Without weights, tests/conformance compares it with
scikit-learn, which takes seconds to import."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.statistics import ranking
from contract.statistics.ranking import Ranking, auc, average_precision, draw_counts, estimate_win_share

FRAUD = np.arange(400) % 20 == 0
GOOD, WEAK = (FRAUD * signal + np.random.default_rng(3).normal(size=400) for signal in (4.0, 1.0))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 3)), min_size=2, max_size=60))
def test_weights_count_as_repetitions_of_a_row_do(rows: list[tuple[int, bool, int]]) -> None:
    score = np.array([value / 9 for value, _, _ in rows])
    fraud = np.array([kind for _, kind, _ in rows])
    weight = np.array([times for _, _, times in rows])
    fraud[0], weight[0] = True, max(weight[0], 1)
    expected = average_precision(np.repeat(score, weight), np.repeat(fraud, weight))
    assert Ranking(score, fraud).average_precision(weight.astype(float)) == pytest.approx(expected)


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 3)), max_size=12))
def test_the_auc_is_the_chance_that_a_fraud_scores_above_a_genuine_row_with_ties_half(
    rows: list[tuple[int, bool, int]],
) -> None:
    rows = [*rows, (2, True, 1), (2, False, 2)]
    pairs = [
        (one * other, 1.0 if above > below else 0.5 if above == below else 0.0)
        for above, fraud, one in rows
        if fraud
        for below, genuine, other in rows
        if not genuine
    ]
    expected = sum(times * won for times, won in pairs) / sum(times for times, _ in pairs)
    score, weight = np.array([row[0] / 4 for row in rows]), np.array([float(row[2]) for row in rows])
    assert Ranking(score, np.array([row[1] for row in rows])).auc(weight) == pytest.approx(expected)


def test_without_weights_each_row_counts_once_and_of_one_kind_alone_nothing_can_be_said() -> None:
    score, fraud = np.array([0.9, 0.8, 0.5, 0.1]), np.array([True, False, True, False])
    assert auc(score, fraud) == pytest.approx(0.75)
    assert average_precision(score, fraud) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(score, fraud, np.array([1.0, 0.0, 1.0, 1.0])) == 1.0
    for kind in (True, False):
        assert np.isnan(auc(score, np.full(4, kind)))
    assert np.isnan(average_precision(score, np.zeros(4, dtype=bool)))
    assert average_precision(score, np.ones(4, dtype=bool)) == 1.0


def test_many_samples_at_once_give_what_each_gives_alone() -> None:
    weights = np.random.default_rng(1).integers(0, 3, (7, 400)).astype(float)
    together = Ranking(WEAK, FRAUD).average_precisions(weights)
    assert together == pytest.approx([Ranking(WEAK, FRAUD).average_precision(each) for each in weights])


def test_a_sample_draws_as_many_frauds_and_as_many_genuine_ones_as_there_are() -> None:
    times = draw_counts(FRAUD, np.random.default_rng(2), 50)
    assert (times[:, FRAUD].sum(axis=1) == FRAUD.sum()).all()
    assert (times[:, ~FRAUD].sum(axis=1) == (~FRAUD).sum()).all()
    assert times.max() > 1
    assert times.sum(axis=0).min() > 0, "every row can be drawn"


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


@pytest.mark.parametrize("drawn_at_once", [100, 1_200, 500_000])
def test_who_wins_in_every_sample_wins_in_all_of_them(monkeypatch: pytest.MonkeyPatch, drawn_at_once: int) -> None:
    monkeypatch.setattr(ranking, "DRAWN_AT_ONCE", drawn_at_once)
    assert estimate_win_share(FRAUD * 1.0, FRAUD * -1.0, FRAUD, seed=1, samples=10) == 1.0


def test_rows_of_little_weight_decide_nothing() -> None:
    first = np.arange(400) < 200
    mixed = np.where(first, GOOD, -GOOD)
    assert estimate_win_share(mixed, WEAK, FRAUD, seed=1, weight=np.where(first, 1, 1e-9)) > 0.95
    assert estimate_win_share(mixed, WEAK, FRAUD, seed=1, weight=np.where(first, 1e-9, 1)) < 0.05


def test_nothing_is_better_where_nothing_is_fraud() -> None:
    assert estimate_win_share(GOOD, WEAK, np.zeros(400, dtype=bool), seed=1) == 0.0


@pytest.mark.parametrize("fraud", [True, False])
def test_where_there_is_one_kind_alone_all_are_drawn_of_it(fraud: bool) -> None:
    times = draw_counts(np.full(5, fraud), np.random.default_rng(1), 3)
    assert times.shape == (3, 5)
    assert (times.sum(axis=1) == 5).all()
