"""Thresholds from costs."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.models import SCORE_DIGITS, Thresholds
from contract.package import THRESHOLD_NEVER, are_thresholds_ordered
from contract.sections.models import CapacitySettings
from contract.settings import CostSettings
from trainer.decision.thresholds import (
    BLOCK_PRECISION_MIN,
    FLAG_SHARE_MAX,
    HOLD_SHARE_MAX,
    NO_LIMITS,
    Limits,
    choose,
    compute_costs,
    derive_limits,
)

COSTS = CostSettings()


def total(
    score: np.ndarray, fraud: np.ndarray, amount: np.ndarray, thresholds: Thresholds, costs: CostSettings
) -> float:
    table = compute_costs(fraud, amount, costs)
    decided = np.select(
        [score >= thresholds.block, score >= thresholds.hold, score >= thresholds.flag],
        [table.block, table.hold, table.flag],
        table.allow,
    )
    return float(decided.sum())


def test_the_cost_table_is_the_documented_one() -> None:
    costs = compute_costs(np.array([True, False]), np.array([100.0, 100.0]), COSTS)
    assert costs.allow.tolist() == [115.0, 0.0]
    assert costs.flag == pytest.approx([3 + 0.3 * 115, 3])
    assert costs.hold == pytest.approx([1 + 0.1 * 115, 1 + 0.15 * 30])
    assert costs.block.tolist() == [0.0, 30.0]


def cases() -> st.SearchStrategy[list[tuple[float, bool, float]]]:
    one = st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]), st.booleans(), st.sampled_from([1.0, 40.0, 900.0]))
    return st.lists(one, min_size=1, max_size=9)


LIMITS = st.builds(Limits, st.sampled_from([0.0, 0.2, 0.34, 1.0]), st.sampled_from([0.0, 0.2, 0.34, 1.0]))


def bands(score: np.ndarray, thresholds: Thresholds) -> tuple[float, float]:
    """Shares that are flagged, and held."""
    flagged = (score >= thresholds.flag) & (score < thresholds.hold)
    held = (score >= thresholds.hold) & (score < thresholds.block)
    return float(flagged.mean()), float(held.mean())


@given(cases(), st.one_of(st.just(NO_LIMITS), LIMITS))
def test_no_other_thresholds_within_the_bounds_are_cheaper(
    rows: list[tuple[float, bool, float]], limits: Limits
) -> None:
    score, fraud, amount = (np.array(column) for column in zip(*rows, strict=True))
    chosen = choose(score, fraud, amount, COSTS, limits)
    assert are_thresholds_ordered(chosen)
    flagged, held = bands(score, chosen)
    assert flagged <= limits.flagged + 1e-9
    assert held <= limits.held + 1e-9
    cuts = [*np.unique(score), THRESHOLD_NEVER]
    for flag, hold, block in itertools.combinations_with_replacement(cuts, 3):
        share_flag, share_hold = float(np.mean(score >= flag)), float(np.mean(score >= hold))
        blocked = score >= block
        within = (
            share_flag <= max(FLAG_SHARE_MAX, 2 * fraud.mean()) + 1e-12
            and share_hold <= max(HOLD_SHARE_MAX, fraud.mean()) + 1e-12
            and fraud[blocked].sum() >= BLOCK_PRECISION_MIN * blocked.sum()
            and all(
                share <= most + 1e-9
                for share, most in zip(bands(score, Thresholds(flag=flag, hold=hold, block=block)), limits, strict=True)
            )
        )
        if within:
            other = total(score, fraud, amount, Thresholds(flag=flag, hold=hold, block=block), COSTS)
            assert total(score, fraud, amount, chosen, COSTS) <= other + 1e-6


def test_where_every_decision_but_allow_costs_more_nothing_is_ever_stopped() -> None:
    dear = CostSettings(review_cost=1e6, step_up_cost=1e6, lost_sale_share=1e6, fraud_loss_share=0, fraud_fee=1)
    score = np.linspace(0, 1, 200)
    chosen = choose(score, np.arange(200) % 50 == 0, np.ones(200), dear)
    assert chosen == Thresholds(flag=THRESHOLD_NEVER, hold=THRESHOLD_NEVER, block=THRESHOLD_NEVER)


def test_however_much_a_fraud_costs_only_a_few_percent_are_stopped() -> None:
    random = np.random.default_rng(3)
    score, fraud = random.random(5000), random.random(5000) < 0.01
    chosen = choose(score, fraud, np.full(5000, 1e5), COSTS)
    assert np.mean(score >= chosen.hold) <= HOLD_SHARE_MAX
    assert np.mean(score >= chosen.flag) <= FLAG_SHARE_MAX


@pytest.mark.parametrize(
    ("frauds", "flagged", "held"),
    [(list(range(0, 200, 10)), 40, 20), ([20, 40, 184, 194], 16, 6), ([20, 40, 183, 193], 7, 0)],
)
def test_at_most_twice_the_share_of_frauds_is_stopped_and_half_of_that_held_or_the_fixed_shares(
    frauds: list[int], flagged: int, held: int
) -> None:
    # Nothing but the bounds keeps these costs from stopping every fraud: to look costs nothing, and to hold stops it for certain.
    settings = CostSettings(
        review_cost=0, review_saves_share=0.5, step_up_cost=0, step_up_stops_share=1, step_up_abandon_share=0
    )
    score = np.arange(200) / 200
    found = choose(score, np.isin(np.arange(200), frauds), np.full(200, 100.0), settings)
    assert ((score >= found.flag).sum(), (score >= found.hold).sum()) == (flagged, held)
    if flagged:
        assert found.flag == pytest.approx(score[-flagged] - 0.0025), "halfway between neighbours"


def test_what_is_blocked_is_mostly_fraud() -> None:
    random = np.random.default_rng(4)
    fraud = random.random(5000) < 0.02
    score = np.clip(0.3 * fraud + random.random(5000) * 0.5, 0, 1)
    chosen = choose(score, fraud, random.exponential(80, 5000), CostSettings(lost_sale_share=0.0))
    blocked = score >= chosen.block
    assert blocked.any()
    assert fraud[blocked].mean() >= BLOCK_PRECISION_MIN


def test_thresholds_have_as_many_digits_as_the_scores_that_serving_compares_with_them() -> None:
    random = np.random.default_rng(6)
    for _ in range(20):
        fraud = random.random(400) < 0.1
        score = np.clip(0.4 * fraud + random.random(400) * 0.6, 0, 1)
        chosen = choose(score, fraud, random.exponential(80, 400), COSTS)
        assert all(value == round(value, SCORE_DIGITS) for value in (chosen.flag, chosen.hold, chosen.block))


def test_neighbours_in_the_last_digit_are_told_apart_by_a_threshold() -> None:
    score = np.repeat([0.123456, 0.123457], 50)
    free = CostSettings(lost_sale_share=0.0)
    assert choose(score, score > 0.1234565, np.full(100, 90.0), free).block == 0.123457


def test_scores_that_serving_rounds_to_one_get_one_decision() -> None:
    score = np.repeat([0.1234561, 0.1234564], 50)
    chosen = choose(score, score > 0.1234562, np.full(100, 90.0), CostSettings(lost_sale_share=0.0))
    assert all(value <= 0.123456 or value == THRESHOLD_NEVER for value in (chosen.flag, chosen.hold, chosen.block))


def test_equal_scores_get_equal_decisions() -> None:
    score = np.full(100, 0.25)
    chosen = choose(score, np.arange(100) < 50, np.full(100, 10.0), COSTS)
    assert len({float(value) <= 0.25 for value in (chosen.flag,)}) == 1
    assert all(value <= 0.25 or value == THRESHOLD_NEVER for value in (chosen.flag, chosen.hold, chosen.block))


def test_capacity_a_day_becomes_a_share_of_the_traffic() -> None:
    assert derive_limits(CapacitySettings(), 1_000) == NO_LIMITS
    assert derive_limits(CapacitySettings(reviews_per_day=20, step_ups_per_day=5_000), 1_000) == Limits(0.02, 1.0)
    assert derive_limits(CapacitySettings(reviews_per_day=0), 1_000).flagged == 0.0


def test_fewer_analysts_mean_fewer_reviews_and_no_lower_cost() -> None:
    random = np.random.default_rng(8)
    fraud = random.random(4000) < 0.02
    score = np.clip(0.2 * fraud + random.random(4000) * 0.5, 0, 1)
    amount = random.exponential(900, 4000)
    no_step_ups = CostSettings(step_up_cost=1e5, lost_sale_share=9.0)
    reviewed, cost = [], []
    for limit in (1.0, 0.02, 0.005, 0.0):
        chosen = choose(score, fraud, amount, no_step_ups, Limits(flagged=limit))
        reviewed.append(bands(score.round(SCORE_DIGITS), chosen)[0])
        cost.append(total(score.round(SCORE_DIGITS), fraud, amount, chosen, no_step_ups))
    assert reviewed[0] > 0.02
    assert all(share <= limit for share, limit in zip(reviewed[1:], (0.02, 0.005, 0.0), strict=True))
    assert cost == sorted(cost)
    assert cost[-1] > cost[0]
