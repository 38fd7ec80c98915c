"""Contributions are what their definitions say, and reputation follows them slowly and within its bounds."""

import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.coordinator.reputation import (
    count_shapley_evaluations,
    estimate_shapley,
    leave_one_out,
    punish,
    update_reputations,
)

NAMES = ("a", "b", "c", "d")
GAINS = {"a": 0.4, "b": 0.2, "c": 0.1, "d": -0.1}


def additive(members: frozenset[str]) -> float:
    return 0.1 + sum(GAINS[name] for name in members)


def overlapping(members: frozenset[str]) -> float:
    """a and b know the same."""
    return 0.1 + 0.5 * bool(members & {"a", "b"}) + 0.2 * ("c" in members) - 0.05 * ("d" in members)


def exact(value: object) -> dict[str, float]:
    orders = list(permutations(NAMES))
    sums = dict.fromkeys(NAMES, 0.0)
    for order in orders:
        for place, name in enumerate(order):
            sums[name] += value(frozenset(order[: place + 1])) - value(frozenset(order[:place]))  # type: ignore[operator]
    return {name: total / len(orders) for name, total in sums.items()}


def test_leaving_one_out_gives_what_it_alone_adds() -> None:
    found = leave_one_out(additive, NAMES)
    assert found.parts == pytest.approx(GAINS)
    assert found.evaluations == 5
    assert leave_one_out(overlapping, NAMES).parts == pytest.approx({"a": 0, "b": 0, "c": 0.2, "d": -0.05})


def test_shapley_values_share_what_two_know_alike() -> None:
    found = estimate_shapley(overlapping, NAMES, evaluations_max=400, tolerance=0.0, seed=1)
    assert found.parts == pytest.approx(exact(overlapping), abs=0.03)
    assert found.parts["a"] == pytest.approx(0.25, abs=0.03)
    assert sum(found.parts.values()) == pytest.approx(overlapping(frozenset(NAMES)) - overlapping(frozenset()))
    assert found.evaluations <= 16


def test_of_an_additive_value_every_order_says_the_same() -> None:
    assert estimate_shapley(additive, NAMES, evaluations_max=8, tolerance=0.0).parts == pytest.approx(GAINS)


def test_truncation_saves_evaluations_and_loses_no_more_than_the_tolerance() -> None:
    names = [f"p{i}" for i in range(12)]

    def saturating(members: frozenset[str]) -> float:
        return 1 - 0.3 ** len(members)

    whole = estimate_shapley(saturating, names, evaluations_max=24, tolerance=0.0)
    cut = estimate_shapley(saturating, names, evaluations_max=24, tolerance=0.01)
    assert (whole.evaluations, cut.evaluations) == (24, 10)
    assert sum(cut.parts.values()) == pytest.approx(sum(whole.parts.values()), abs=0.01)


@given(st.integers(1, 12), st.integers(0, 60), st.floats(0, 0.2))
def test_no_more_models_are_evaluated_than_are_allowed(count: int, more: int, tolerance: float) -> None:
    names, asked = [f"p{i}" for i in range(count)], set()

    def value(members: frozenset[str]) -> float:
        asked.add(members)
        return math.sqrt(len(members))

    most = count_shapley_evaluations(count) + more
    found = estimate_shapley(value, names, evaluations_max=most, tolerance=tolerance)
    assert found.evaluations == len(asked) <= most
    with pytest.raises(ValueError, match="too few"):
        estimate_shapley(value, names, evaluations_max=count_shapley_evaluations(count) - 1)


def test_the_same_seed_gives_the_same_estimates() -> None:
    one, other = (estimate_shapley(overlapping, NAMES, evaluations_max=12, seed=4) for _ in range(2))
    assert one == other


def test_reputation_moves_slowly_towards_the_rank_and_harm_weighs_most() -> None:
    after = update_reputations(dict.fromkeys(NAMES, 1.0), GAINS)
    assert after["a"] == 1.0 > after["b"] > after["c"] > after["d"] == pytest.approx(0.8)
    for _ in range(20):
        after = update_reputations(after, GAINS)
    assert after["a"] == pytest.approx(1.0)
    assert after["c"] == pytest.approx(0.5, abs=0.02)
    assert after["d"] < 0.02


def test_where_all_help_alike_nobody_loses_and_who_takes_no_part_keeps_its_own() -> None:
    assert update_reputations({"a": 0.9, "z": 0.4}, {"a": 0.1, "b": 0.1}) == pytest.approx(
        {"a": 0.92, "b": 1.0, "z": 0.4}
    )


def test_what_cannot_be_measured_counts_as_no_help() -> None:
    assert update_reputations({"a": 1.0}, {"a": float("nan")}) == pytest.approx({"a": 0.8})


@given(
    st.dictionaries(st.sampled_from(NAMES), st.floats(0, 1)),
    st.dictionaries(st.sampled_from(NAMES), st.floats(allow_nan=True, allow_infinity=True)),
)
def test_reputation_stays_between_0_and_1(before: dict[str, float], parts: dict[str, float]) -> None:
    after = update_reputations(before, parts)
    assert all(0 <= value <= 1 for value in after.values())
    assert after.keys() == before.keys() | parts.keys()


def test_breaking_the_protocol_costs_half() -> None:
    assert punish({"a": 0.8, "b": 0.6}, ["a", "new"]) == {"a": 0.4, "b": 0.6, "new": 0.5}
