from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.federation.settings import Selection
from federation.coordinator.selection import Candidate, select

NAMES = [f"shop-{number}" for number in range(12)]
EVERYONE = [Candidate(name, stratum=str(number % 3), reputation=1.0) for number, name in enumerate(NAMES)]
WAYS: list[Selection] = ["random", "stratified", "reputation"]


def drawn(
    how: Selection, count: int = 6, round_number: int = 1, candidates: list[Candidate] = EVERYONE
) -> tuple[str, ...]:
    return select(candidates, count, how, seed=7, round_number=round_number, attempt=0)


@pytest.mark.parametrize("how", WAYS)
def test_a_draw_repeats_whatever_the_order_of_the_roster(how: Selection) -> None:
    assert drawn(how) == drawn(how, candidates=EVERYONE[::-1])


@pytest.mark.parametrize("how", WAYS)
def test_rounds_and_attempts_draw_afresh(how: Selection) -> None:
    rounds = {drawn(how, round_number=number) for number in range(10)}
    attempts = {select(EVERYONE, 6, how, seed=7, round_number=1, attempt=number) for number in range(10)}
    assert len(rounds) > 5
    assert len(attempts) > 5


@given(st.sampled_from(WAYS), st.integers(0, 20), st.integers(0, 2**31))
def test_exactly_as_many_as_there_are_or_are_wanted_are_drawn_once_each(how: Selection, count: int, seed: int) -> None:
    chosen = select(EVERYONE, count, how, seed=seed, round_number=1, attempt=0)
    assert len(chosen) == len(set(chosen)) == min(count, len(EVERYONE))
    assert set(chosen) <= set(NAMES)


def test_a_random_draw_favours_nobody() -> None:
    often = Counter(name for number in range(1_000) for name in drawn("random", round_number=number))
    assert all(420 < often[name] < 580 for name in NAMES)


def test_a_stratified_draw_takes_from_every_stratum() -> None:
    strata = {name: str(number % 3) for number, name in enumerate(NAMES)}
    for number in range(50):
        assert Counter(strata[name] for name in drawn("stratified", round_number=number)) == {"0": 2, "1": 2, "2": 2}


def test_a_small_stratum_leaves_its_places_to_the_others() -> None:
    lopsided = [Candidate("rare", "rare"), *(Candidate(name, "many") for name in NAMES)]
    for number in range(20):
        chosen = drawn("stratified", count=4, round_number=number, candidates=lopsided)
        assert "rare" in chosen
        assert len(chosen) == 4


def test_reputation_draws_in_proportion_and_never_shuts_anyone_out() -> None:
    mixed = [Candidate(name, reputation=0.0 if number == 0 else 1.0) for number, name in enumerate(NAMES)]
    often = Counter(
        name for number in range(2_000) for name in drawn("reputation", count=3, round_number=number, candidates=mixed)
    )
    assert 0 < often[NAMES[0]] < 0.2 * often[NAMES[1]]
