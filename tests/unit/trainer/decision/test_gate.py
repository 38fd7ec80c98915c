"""When a new model may take the place of the one that serves."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from trainer.decision import gate
from trainer.decision.gate import (
    FRAUDS_MIN,
    Comparison,
    Side,
    Skill,
    compare,
    find_lack_of_skill,
    find_refusal,
    measure_skill,
    select_unseen,
)

FRAUD = np.arange(100) % 10 == 0


def test_only_what_the_serving_model_never_saw_is_compared_on_where_it_holds_enough_frauds() -> None:
    times = np.arange(100)
    assert select_unseen(times, FRAUD, 49).sum() == 50
    assert select_unseen(times, FRAUD, 99 - 10 * (FRAUDS_MIN - 1)).all()
    assert select_unseen(times, FRAUD, 1_000).all()
    assert select_unseen(times, FRAUD, 49, frauds_min=5).sum() == 50
    assert select_unseen(times, FRAUD, 49, frauds_min=6).all()
    assert select_unseen(times, np.arange(100) >= 50, 49).all()  # nothing genuine among the newer ones


def sides(new: np.ndarray, old: np.ndarray, new_cost: float = 1.0, old_cost: float = 1.0) -> tuple[Side, Side]:
    return Side(new, np.full(len(new), new_cost)), Side(old, np.full(len(old), old_cost))


def noisy(fraud: np.ndarray, signal: float, seed: int) -> np.ndarray:
    return signal * fraud + np.random.default_rng(seed).normal(size=len(fraud))


MANY = np.arange(5_000) % 50 == 0


def test_a_clearly_better_model_passes() -> None:
    found = compare(*sides(noisy(MANY, 3.0, 1), noisy(MANY, 1.5, 2)), MANY, fraud_share=0.02, seed=1)
    assert found.new > found.old
    assert found.surely_better > 0.99
    assert find_refusal(found, confidence=0.95, frauds_min=10) is None


def test_the_same_model_is_not_better_than_itself() -> None:
    same = noisy(MANY, 2.0, 1)
    found = compare(*sides(same, same), MANY, fraud_share=0.02, seed=1)
    assert found.surely_better == 0.0
    assert found.surely_costlier == 0.0
    sentence = find_refusal(found, confidence=0.95, frauds_min=10)
    assert sentence is not None
    assert "better in 0% of resamplings, 95% are needed" in sentence
    assert "5,000 trusted transactions, 100 of them frauds" in sentence


def test_a_model_that_loses_in_every_sample_is_surely_worse_and_one_that_always_costs_more_surely_costlier() -> None:
    best, worst = FRAUD * 1.0, FRAUD * -1.0
    lost = compare(*sides(worst, best, 2.0, 1.0), FRAUD, fraud_share=0.1, seed=1, samples=5)
    assert (lost.surely_better, lost.surely_worse, lost.surely_costlier) == (0.0, 1.0, 1.0)
    won = compare(*sides(best, worst, 1.0, 2.0), FRAUD, fraud_share=0.1, seed=1, samples=5)
    assert (won.surely_better, won.surely_worse, won.surely_costlier) == (1.0, 0.0, 0.0)
    even = compare(*sides(best, best, 1.0, 1.0), FRAUD, fraud_share=0.1, seed=1, samples=5)
    assert (even.surely_better, even.surely_worse, even.surely_costlier) == (0.0, 0.0, 0.0)


def test_what_just_reaches_the_settings_passes() -> None:
    found = Comparison(
        transactions=100, frauds=10, new=0.5, old=0.4, surely_better=0.9, surely_worse=0.0, new_cost=2.0, old_cost=1.0,
        surely_costlier=0.9,
    )  # fmt: skip
    assert find_refusal(found, confidence=0.9, frauds_min=10) is None
    for changes in ({"frauds": 9}, {"surely_better": 0.89}, {"surely_costlier": 0.91}):
        assert find_refusal(replace(found, **changes), confidence=0.9, frauds_min=10) is not None
    skill = Skill(transactions=100, frauds=10, auc=0.7, average_precision=0.3, chance=0.125)
    assert find_lack_of_skill(skill, 0.875) is None
    assert find_lack_of_skill(replace(skill, chance=0.126), 0.875) is not None


@pytest.mark.parametrize("digits", [0, 1, 8])
@pytest.mark.parametrize("seed", range(4))
def test_the_chance_of_a_first_model_is_that_of_mann_and_whitney(digits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    fraud = random.permutation(np.arange(30) < 9)
    score = (random.normal(size=30) + 0.5 * fraud).round(digits)
    known = mannwhitneyu(score[fraud], score[~fraud], alternative="greater", use_continuity=False, method="asymptotic")
    assert measure_skill(score, fraud).chance == pytest.approx(known.pvalue)


def test_luck_is_seldom_mistaken_for_progress() -> None:
    fraud = np.arange(1_000) % 50 == 0
    passed = 0
    for seed in range(40):
        pair = sides(noisy(fraud, 2.0, 2 * seed), noisy(fraud, 2.0, 2 * seed + 1))
        found = compare(*pair, fraud, fraud_share=0.02, seed=1, samples=100)
        passed += find_refusal(found, confidence=0.95, frauds_min=10) is None
    assert passed <= 5  # 2 of 40 are to be expected, 5 or fewer in 98.6% of such runs


def test_a_better_ranking_that_costs_more_is_refused() -> None:
    pair = sides(noisy(MANY, 3.0, 1), noisy(MANY, 1.5, 2), new_cost=1.2)
    found = compare(*pair, MANY, fraud_share=0.02, seed=1)
    sentence = find_refusal(found, confidence=0.95, frauds_min=10)
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
    sentence = find_refusal(found, confidence=0.95, frauds_min=10)
    assert sentence is not None
    assert "10 frauds are needed" in sentence


def test_a_comparison_repeats_and_many_genuine_ones_are_thinned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "GENUINE_MAX", 1_000)
    pair = sides(noisy(MANY, 3.0, 1), noisy(MANY, 2.5, 2))
    found = compare(*pair, MANY, fraud_share=0.02, seed=1, samples=100)
    assert found == compare(*pair, MANY, fraud_share=0.02, seed=1, samples=100)
    assert (found.frauds, found.transactions) == (100, 1_080)
    assert set(found.to_values()) >= {"average_precision", "average_precision_serving", "surely_better", "cost"}


def test_a_first_model_with_skill_passes_and_its_numbers_are_told() -> None:
    found = measure_skill(noisy(MANY, 1.0, 1), MANY)
    assert found.auc > 0.7
    assert found.chance < 0.001
    assert find_lack_of_skill(found, 0.95) is None
    assert set(found.to_values()) == {"transactions", "frauds", "auc_roc", "average_precision", "chance"}


def test_a_first_model_without_skill_passes_as_seldom_as_the_confidence_says() -> None:
    passed = 0
    for seed in range(300):
        fraud = np.random.default_rng(seed).random(400) < 0.05
        passed += find_lack_of_skill(measure_skill(noisy(fraud, 0.0, 1_000 + seed), fraud), 0.95) is None
    assert passed <= 300 * 0.05 + 12  # three standard deviations above


def test_a_score_without_skill_is_refused_with_its_numbers() -> None:
    score = np.arange(1_000) % 7 * 1.0
    sentence = find_lack_of_skill(measure_skill(score, np.arange(1_000) % 10 == 0), 0.95)
    assert sentence is not None
    assert "no skill: AUC 0." in sentence
    assert "guessing gives 0.100" in sentence
    assert "newest 1,000 trusted transactions, 100 of them frauds" in sentence


def test_a_score_that_is_the_same_for_all_has_no_skill_and_two_frauds_must_both_rank_high() -> None:
    fraud = np.arange(200) < 2
    assert find_lack_of_skill(measure_skill(np.ones(200), fraud), 0.95) is not None
    assert find_lack_of_skill(measure_skill(fraud * 1.0, fraud), 0.95) is None
    half = np.where(np.arange(200) == 0, 9.0, np.arange(200) / 200)  # the other ranks near the end
    assert find_lack_of_skill(measure_skill(half, fraud), 0.95) is not None


def test_ties_make_an_auc_rarer_as_exchanging_all_labels_shows() -> None:
    random = np.random.default_rng(3)
    score, fraud = random.integers(0, 3, 60) * 1.0, np.arange(60) < 15
    found = measure_skill(score, fraud)
    shuffled = [measure_skill(score, random.permutation(fraud)).auc for _ in range(1_500)]
    assert found.chance == pytest.approx(np.mean(np.array(shuffled) >= found.auc - 1e-9), abs=0.05)
