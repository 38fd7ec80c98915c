"""The Handbook's protocol, on payments made by hand."""

from datetime import date

import numpy as np
import pytest

from bench.handbook.protocol import (
    DELAY_DAYS,
    FIRST_FOLD,
    Fold,
    Payments,
    build_folds,
    compute_card_precision,
    count_test_week,
    find_differences,
    find_unforeseeable,
    select_learned,
    select_test_days,
)
from contract.windows import DAY_MS, HOUR_MS

FOLD = Fold(100)
"""Training on days 100 to 106, test on days 114 to 120."""


def payments(*rows: tuple[float, int, bool], terminal: int = 1, scenario: int = 1) -> Payments:
    """Rows of (day, customer, fraud), in time order."""
    return Payments(
        time_ms=np.array([round(day * DAY_MS) for day, _, _ in rows], dtype=np.int64),
        customer=np.array([customer for _, customer, _ in rows], dtype=np.int64),
        terminal=np.full(len(rows), terminal),
        amount_minor=np.full(len(rows), 1_000),
        fraud=np.array([fraud for _, _, fraud in rows], dtype=np.bool_),
        scenario=np.array([scenario * fraud for _, _, fraud in rows], dtype=np.int64),
    )


def left_to_test(made: Payments) -> list[list[int]]:
    return [made.customer[rows].tolist() for rows in select_test_days(made, FOLD)]


def test_folds_begin_a_week_apart() -> None:
    assert [str(fold) for fold in build_folds(FIRST_FOLD)] == ["2018-07-25", "2018-08-01", "2018-08-08", "2018-08-15"]
    assert [str(fold) for fold in build_folds(date(2020, 2, 26), 2)] == ["2020-02-26", "2020-03-04"]


def test_a_week_of_training_a_week_of_delay_a_week_of_test() -> None:
    assert (FOLD.known_until, FOLD.test_from, FOLD.test_until) == (107, 114, 121)


def test_a_customer_with_a_fraud_in_the_training_week_is_never_tested() -> None:
    made = payments((100, 7, True), (114, 7, True), (114.5, 8, False), (120.9, 7, False))
    assert left_to_test(made) == [[8], [], [], [], [], [], []]


def test_a_later_fraud_removes_its_customer_only_once_its_delay_has_passed() -> None:
    made = payments((107.5, 7, True), *((day + 0.5, 7, False) for day in range(114, 121)))
    assert left_to_test(made) == [[7], [], [], [], [], [], []]
    made = payments((112.99, 7, True), *((day, 7, False) for day in range(114, 121)))
    assert left_to_test(made) == [[7], [7], [7], [7], [7], [7], []]


def test_what_came_before_the_training_week_removes_nobody() -> None:
    assert left_to_test(payments((99.99, 7, True), (114, 7, False)))[0] == [7]


def test_a_genuine_payment_removes_nobody() -> None:
    assert left_to_test(payments((100, 7, False), (114, 7, False)))[0] == [7]


def test_learning_ends_where_labels_are_known() -> None:
    made = payments(*((day, 1, False) for day in range(90, 121)))
    week, everything = select_learned(made, FOLD, 7), select_learned(made, FOLD, None)
    assert (made.time_ms[week] // DAY_MS).tolist() == list(range(100, 107))
    assert (made.time_ms[everything] // DAY_MS).tolist() == list(range(90, 107))


def test_card_precision_looks_at_the_customers_with_the_highest_scores_of_a_day() -> None:
    made = payments((114, 1, False), (114, 2, True), (114, 3, True), (114, 4, False))
    day = np.arange(4)
    assert compute_card_precision(made, [day], [np.array([0.9, 0.8, 0.1, 0.2])], 2) == 0.5
    assert compute_card_precision(made, [day], [np.array([0.1, 0.8, 0.9, 0.2])], 2) == 1.0


def test_a_customer_counts_once_a_day_by_its_highest_score_and_any_fraud() -> None:
    made = payments((114, 1, True), (114.1, 1, False), (114.2, 2, False), (114.3, 3, True))
    scores = np.array([0.1, 0.9, 0.5, 0.4])  # customer 1 is reached by a genuine payment
    assert compute_card_precision(made, [np.arange(4)], [scores], 1) == 1.0
    assert compute_card_precision(made, [np.arange(4)], [scores], 2) == 0.5


def test_a_caught_card_is_counted_once_and_stands_in_nobodys_way_later() -> None:
    made = payments((114, 1, True), (114.1, 2, False), (115, 1, True), (115.1, 3, True))
    days = [np.array([0, 1]), np.array([2, 3])]
    scores = [np.array([0.9, 0.1]), np.array([0.9, 0.5])]
    assert compute_card_precision(made, days, scores, 1) == 1.0  # customer 3 is looked at on the second day
    assert compute_card_precision(made, days[1:], scores[1:], 2) == 1.0
    assert compute_card_precision(made, days, scores, 2) == pytest.approx((1 / 2 + 1 / 2) / 2)


def test_a_card_that_was_looked_at_in_vain_may_be_looked_at_again() -> None:
    made = payments((114, 1, False), (115, 1, True))
    assert compute_card_precision(made, [np.array([0]), np.array([1])], [np.ones(1), np.ones(1)], 1) == 0.5


def test_a_fraud_at_a_compromised_terminal_can_be_foreseen_from_an_earlier_one_that_is_known() -> None:
    delay = float(DELAY_DAYS)
    made = payments(
        (100, 1, True), (101, 2, True), (100 + delay, 3, True), (128, 4, True), (128.1, 5, True), scenario=2
    )
    # The last two: 28 days after the first, and 28 days and some hours after it, but 27 after the second.
    assert find_unforeseeable(made, np.arange(5)).tolist() == [True, True, False, False, False]
    assert find_unforeseeable(made.select(np.array([0, 4])), np.arange(2)).tolist() == [True, True]


def test_other_scenarios_and_other_terminals_announce_no_compromise() -> None:
    made = payments((100, 1, True), (110, 2, True), (110.1, 3, False), scenario=2)
    made.scenario[0] = 3
    assert find_unforeseeable(made, np.arange(3)).tolist() == [False, True, False]
    made.scenario[0], made.terminal[0] = 2, 9
    assert find_unforeseeable(made, np.arange(3)).tolist() == [True, True, False]


def test_other_data_than_the_books_is_named_with_both_counts() -> None:
    made = payments((FOLD.train_from, 1, True), (FOLD.test_from, 2, True))
    faults = find_differences(made, [Fold(100 + 7 * number) for number in range(4)])
    assert faults[0].endswith("1 transactions and 1 frauds instead of 67,240 and 598")
    assert "instead of 58,264 and 385" in faults[1]
    assert len(faults) == 5


def test_counts_are_those_of_the_test_week_without_known_customers() -> None:
    made = payments((100, 1, True), (114, 1, True), (115, 2, True), (116, 3, False))
    assert count_test_week(made, FOLD) == (2, 1)


def test_thinning_keeps_whole_customers() -> None:
    made = payments(*((114 + number / 24, number % 6, False) for number in range(60)))
    thin = made.thin(30)
    assert sorted(set(thin.customer.tolist())) == [0, 2, 4]
    assert len(thin) == 30
    assert len(made.thin(60)) == 60
    assert thin.time_ms[1] - thin.time_ms[0] == 2 * HOUR_MS
