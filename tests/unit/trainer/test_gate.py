"""When a new model may take the place of the one that serves."""

import numpy as np
import pytest

from trainer import gate
from trainer.gate import FRAUDS_MIN, LOSS_MAX, Side, compare, objection, refusal, unseen

FRAUD = np.arange(100) % 10 == 0
GOOD = FRAUD.astype(float)
BAD = 1.0 - GOOD


def test_a_clearly_worse_model_is_objected_to_with_both_figures() -> None:
    sentence = objection(BAD, GOOD, FRAUD)
    assert sentence is not None
    assert "1.000" in sentence
    assert "newest 100 transactions" in sentence


def test_a_better_or_equal_model_is_not() -> None:
    assert objection(GOOD, BAD, FRAUD) is None
    assert objection(GOOD, GOOD, FRAUD) is None


def test_a_loss_within_the_luck_of_few_frauds_is_not() -> None:
    fraud = np.arange(10_000) < 100
    nearly = fraud.astype(float)
    nearly[99] = -1.0  # one of a hundred frauds ranked last
    assert 0 < 1 / 100 < LOSS_MAX
    assert objection(nearly, fraud.astype(float), fraud) is None


def test_only_what_the_serving_model_never_saw_is_compared_on_where_it_holds_enough_frauds() -> None:
    times = np.arange(100)
    assert unseen(times, FRAUD, 49).sum() == 50
    assert unseen(times, FRAUD, 99 - 10 * (FRAUDS_MIN - 1)).all()
    assert unseen(times, FRAUD, 1_000).all()
    assert unseen(times, FRAUD, 49, frauds_min=5).sum() == 50
    assert unseen(times, FRAUD, 49, frauds_min=6).all()
    assert unseen(times, np.arange(100) >= 50, 49).all()  # nothing genuine among the newer ones


def sides(new: np.ndarray, old: np.ndarray, new_cost: float = 1.0, old_cost: float = 1.0) -> tuple[Side, Side]:
    return Side(new, np.full(len(new), new_cost)), Side(old, np.full(len(old), old_cost))


def noisy(fraud: np.ndarray, signal: float, seed: int) -> np.ndarray:
    return signal * fraud + np.random.default_rng(seed).normal(size=len(fraud))


MANY = np.arange(5_000) % 50 == 0


def test_a_clearly_better_model_passes() -> None:
    found = compare(*sides(noisy(MANY, 3.0, 1), noisy(MANY, 1.5, 2)), MANY, fraud_share=0.02, seed=1)
    assert found.new > found.old
    assert found.surely_better > 0.99
    assert refusal(found, confidence=0.95, frauds_min=10) is None


def test_the_same_model_is_not_better_than_itself() -> None:
    same = noisy(MANY, 2.0, 1)
    found = compare(*sides(same, same), MANY, fraud_share=0.02, seed=1)
    assert found.surely_better == 0.0
    assert found.surely_costlier == 0.0
    sentence = refusal(found, confidence=0.95, frauds_min=10)
    assert sentence is not None
    assert "better in 0% of resamplings, 95% are needed" in sentence
    assert "5,000 trusted transactions, 100 of them frauds" in sentence


def test_luck_is_seldom_mistaken_for_progress() -> None:
    fraud = np.arange(1_000) % 50 == 0
    passed = 0
    for seed in range(60):
        pair = sides(noisy(fraud, 2.0, 2 * seed), noisy(fraud, 2.0, 2 * seed + 1))
        found = compare(*pair, fraud, fraud_share=0.02, seed=1, samples=200)
        passed += refusal(found, confidence=0.95, frauds_min=10) is None
    assert passed <= 6  # 5% of equals, and some luck


def test_a_better_ranking_that_costs_more_is_refused() -> None:
    pair = sides(noisy(MANY, 3.0, 1), noisy(MANY, 1.5, 2), new_cost=1.2)
    found = compare(*pair, MANY, fraud_share=0.02, seed=1)
    sentence = refusal(found, confidence=0.95, frauds_min=10)
    assert sentence is not None
    assert "cost 1.2000 a transaction against 1.0000" in sentence


def test_costs_are_weighed_by_the_true_share_of_frauds() -> None:
    cost = np.where(MANY, 10.0, 1.0)
    found = compare(
        Side(noisy(MANY, 1, 1), cost), Side(noisy(MANY, 1, 2), cost), MANY, fraud_share=0.001, seed=1, samples=1
    )
    assert found.new_cost == pytest.approx(0.001 * 10 + 0.999)


def test_too_few_frauds_say_nothing() -> None:
    fraud = np.arange(1_000) < 9
    found = compare(*sides(fraud * 1.0, 1.0 - fraud), fraud, fraud_share=0.009, seed=1, samples=50)
    sentence = refusal(found, confidence=0.95, frauds_min=10)
    assert sentence is not None
    assert "10 frauds are needed" in sentence


def test_a_comparison_repeats_and_many_genuine_ones_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "GENUINE_MAX", 1_000)
    pair = sides(noisy(MANY, 3.0, 1), noisy(MANY, 2.5, 2))
    found = compare(*pair, MANY, fraud_share=0.02, seed=1, samples=100)
    assert found == compare(*pair, MANY, fraud_share=0.02, seed=1, samples=100)
    assert (found.frauds, found.transactions) == (100, 1_080)
    assert set(found.values()) >= {"average_precision", "average_precision_serving", "surely_better", "cost"}
