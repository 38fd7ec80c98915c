"""Accounting gives the published values, the ledger refuses before a round runs, and the noise is as large as promised."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from federation.numeric.masks import Stream
from federation.privacy.accounting import (
    PrivacyLedger,
    Release,
    build_training_release,
    compute_epsilon,
    compute_noise_share,
    compute_sensitivity,
    find_noise_multiplier,
)
from federation.refusals import FederationRefusedError, PrivacyBudgetError


@pytest.mark.parametrize(("noise", "rounds", "known"), [(1.0, 10, 17.857), (4.0, 20, 4.983), (8.0, 50, 3.797)])
def test_epsilon_of_everyone_in_every_round_is_as_known(noise: float, rounds: int, known: float) -> None:
    assert compute_epsilon([Release(noise_multiplier=noise, steps=rounds)], 1e-5) == pytest.approx(known, abs=5e-4)
    assert compute_epsilon([Release(noise_multiplier=noise)] * rounds, 1e-5) == pytest.approx(known, abs=5e-4)


def test_epsilon_with_sampling_is_as_known() -> None:
    assert compute_epsilon([Release(noise_multiplier=1.0, sampling=0.3, steps=20)], 1e-5) == pytest.approx(
        9.517, abs=5e-4
    )


def test_epsilon_of_a_training_with_noise_is_as_known() -> None:
    release = build_training_release(1.0, examples=100_000, batch_size=256, epochs=10)
    assert (release.sampling, release.steps) == (0.00256, 3907)
    assert compute_epsilon([release], 1e-6) == pytest.approx(0.949, abs=5e-4)


def test_a_training_on_fewer_examples_than_a_batch_sees_all_of_them_in_every_step() -> None:
    assert build_training_release(1.0, 100, 200, 2.5) == Release(noise_multiplier=1.0, sampling=1.0, steps=3)
    assert build_training_release(1.0, 300, 100, 1) == Release(noise_multiplier=1.0, sampling=1 / 3, steps=3)


@pytest.mark.parametrize(("wanted", "known"), [(1.0, 16.684), (3.0, 6.219), (10.0, 2.236)])
def test_the_noise_for_a_wanted_epsilon_is_as_known(wanted: float, known: float) -> None:
    noise = find_noise_multiplier(wanted, 1e-5, steps=20)
    assert noise == pytest.approx(known, abs=5e-4)
    assert compute_epsilon([Release(noise_multiplier=noise, steps=20)], 1e-5) <= wanted


@pytest.mark.parametrize(
    ("wanted", "sampling", "steps"),
    [
        (0.2, 0.3, 5),
        pytest.param(0.8, 0.1, 5, marks=pytest.mark.slow),
        pytest.param(0.8, 0.02, 40, marks=pytest.mark.slow),
    ],
)
def test_with_sampling_less_noise_does_and_the_wanted_epsilon_holds(wanted: float, sampling: float, steps: int) -> None:
    noise = find_noise_multiplier(wanted, 1e-5, steps=steps, sampling=sampling)
    assert noise < 0.6 * find_noise_multiplier(wanted, 1e-5, steps=steps)
    reached = compute_epsilon([Release(noise_multiplier=noise, sampling=sampling, steps=steps)], 1e-5)
    assert 0.99 * wanted < reached <= wanted


@pytest.mark.slow
def test_the_noise_of_a_sampled_round_is_as_known() -> None:
    assert find_noise_multiplier(9.5172, 1e-5, steps=20, sampling=0.3) == pytest.approx(1.0, rel=2e-3)


def test_the_exact_formula_agrees_with_the_loss_distribution() -> None:
    # Not quite 1, so that the other way of accounting is taken.
    near = compute_epsilon([Release(noise_multiplier=4.0, sampling=1 - 1e-12, steps=20)], 1e-5)
    assert near == pytest.approx(compute_epsilon([Release(noise_multiplier=4.0, steps=20)], 1e-5), abs=1e-3)


def test_sampled_and_full_releases_add_up() -> None:
    full, sampled = Release(noise_multiplier=4.0, steps=2), Release(noise_multiplier=4.0, sampling=0.1, steps=2)
    both = compute_epsilon([full, sampled], 1e-5)
    assert max(compute_epsilon([full], 1e-5), compute_epsilon([sampled], 1e-5)) < both
    assert both < compute_epsilon([full], 5e-6) + compute_epsilon([sampled], 5e-6)


@given(st.floats(0.5, 50), st.integers(1, 100), st.integers(1, 100))
def test_more_releases_or_less_noise_never_cost_less(noise: float, steps: int, more: int) -> None:
    base = compute_epsilon([Release(noise_multiplier=noise, steps=steps)], 1e-5)
    assert compute_epsilon([Release(noise_multiplier=noise, steps=steps + more)], 1e-5) >= base
    assert compute_epsilon([Release(noise_multiplier=noise * 1.5, steps=steps)], 1e-5) <= base
    assert compute_epsilon([], 1e-5) == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"noise_multiplier": 0.0},
        {"noise_multiplier": -1.0},
        {"noise_multiplier": math.nan},
        {"noise_multiplier": math.inf},
        {"noise_multiplier": 1.0, "sampling": 0.0},
        {"noise_multiplier": 1.0, "sampling": 1.1},
        {"noise_multiplier": 1.0, "steps": 0},
        {"noise_multiplier": 1.0, "steps": 10**9},
    ],
)
def test_what_is_not_accounted_for_is_refused_by_name(fields: dict[str, float]) -> None:
    with pytest.raises(FederationRefusedError, match="noise_multiplier"):
        Release(**fields)  # type: ignore[arg-type]


def test_wrong_questions_are_refused() -> None:
    for delta in (0.0, 1.0, -1.0):
        with pytest.raises(FederationRefusedError, match="delta"):
            compute_epsilon([Release(noise_multiplier=1.0)], delta)
    for wanted in (0.0, math.inf, math.nan):
        with pytest.raises(FederationRefusedError, match="epsilon"):
            find_noise_multiplier(wanted, 1e-5, steps=1)


# The ledger

ROUND = Release(noise_multiplier=4.0)


def ledger(epsilon_max: float = 5.0) -> PrivacyLedger:
    return PrivacyLedger(level="client", delta=1e-5, epsilon_max=epsilon_max)


def filled(rounds: int, epsilon_max: float = 5.0) -> PrivacyLedger:
    book = ledger(epsilon_max)
    for number in range(rounds):
        book = book.admit(ROUND, round_number=number, attempt=0, at_ms=number)
    return book


def test_rounds_are_admitted_until_the_budget_and_the_next_is_refused_with_the_numbers() -> None:
    book = filled(20)
    assert book.compute_epsilon() == pytest.approx(4.983, abs=5e-4)
    assert book.compute_epsilon() == pytest.approx(book.epsilon_max - 0.017, abs=5e-4)
    with pytest.raises(PrivacyBudgetError, match=r"from 4\.983 to 5\.127 at delta 1e-05, above 5") as error:
        book.admit(ROUND, round_number=20, attempt=0, at_ms=20)
    assert error.value.epsilon_before == pytest.approx(4.983, abs=5e-4)
    assert error.value.epsilon_after > error.value.epsilon_max == 5.0
    assert len(book.spends) == 20


def test_the_ledger_never_goes_down_and_a_failed_attempt_stays_in_it() -> None:
    book, last = ledger(), 0.0
    for number in range(5):
        for attempt in range(2):
            book = book.admit(ROUND, round_number=number, attempt=attempt, at_ms=0)
            assert book.compute_epsilon() > last
            last = book.compute_epsilon()
    assert book.compute_epsilon() == filled(10).compute_epsilon()


def test_a_replayed_attempt_is_not_written_twice() -> None:
    book = filled(2)
    assert book.has(1, 0)
    assert not book.has(1, 1)
    with pytest.raises(FederationRefusedError, match="is in the ledger already"):
        book.admit(ROUND, round_number=1, attempt=0, at_ms=9)


def test_a_stored_ledger_reads_back_the_same() -> None:
    book = filled(3)
    assert msgspec.json.decode(msgspec.json.encode(book), type=PrivacyLedger) == book


def test_the_rounds_that_are_left_can_be_asked_for() -> None:
    assert ledger().count_rounds_left(ROUND) == 20
    assert filled(7).count_rounds_left(ROUND) == 13
    assert ledger(0.01).count_rounds_left(ROUND) == 0
    assert ledger().count_rounds_left(Release(noise_multiplier=1e5), at_most=50) == 50
    assert ledger(compute_epsilon([ROUND] * 3, 1e-5)).count_rounds_left(ROUND) == 3, "a budget may be spent to the end"


def test_the_rounds_that_are_left_are_more_where_few_take_part() -> None:
    sampled = Release(noise_multiplier=4.0, sampling=0.1, steps=2)
    budget = (compute_epsilon([ROUND], 1e-5) + compute_epsilon([sampled], 1e-5)) / 2
    assert (ledger(budget).count_rounds_left(ROUND), ledger(budget).count_rounds_left(sampled, at_most=1)) == (0, 1)


# Noise


def test_the_shares_of_the_least_number_of_survivors_add_up_to_the_noise() -> None:
    moved = compute_sensitivity(4.0, 0.5)
    assert moved == 2.0
    share = compute_noise_share(4.0, moved, survivors_min=7)
    total = sum(Stream(bytes([index]) * 32).draw_normal(100_000) * share for index in range(7))
    assert np.std(total) == pytest.approx(8.0, rel=0.01)


def test_unequal_weights_move_the_sum_by_no_more_than_the_sensitivity() -> None:
    generator = np.random.default_rng(0)
    weights = np.array([0.01, 0.2, 1.0])
    updates = generator.normal(size=(3, 40))
    updates *= 2.0 / np.linalg.norm(updates, axis=1, keepdims=True)
    whole = weights @ updates
    moved = [float(np.linalg.norm(whole - np.delete(weights, i) @ np.delete(updates, i, axis=0))) for i in range(3)]
    assert max(moved) == pytest.approx(compute_sensitivity(2.0, 1.0))
    # Measured by the mean weight, the noise would be less than half of what the largest participant needs.
    assert weights.mean() * 2.0 < 0.5 * max(moved)
