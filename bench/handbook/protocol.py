"""The protocol of the Fraud Detection Handbook (Le Borgne et al., 2022, chapters 5 to 7). Pure.

A fold: a week of training, a week until its labels are known, a week of test. From each test day those customers are left out
whose compromise was known by then. Days are UTC days since 1970-01-01; all rows are in time order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.windows import DAY_MS

TRAIN_DAYS = DELAY_DAYS = TEST_DAYS = 7
FOLDS = 4
FIRST_FOLD = date(2018, 7, 25)
CARDS_A_DAY = 100
"""That investigators can look at."""
SCENARIOS = {1: "amount above 220", 2: "compromised terminal", 3: "leaked credentials"}
TERMINAL_COMPROMISED = 2
COMPROMISE_DAYS = 28
_EPOCH = date(1970, 1, 1)
_TIME_SPAN = 1 << 43
"""Milliseconds; above every time of this millennium's first centuries, so that (terminal, time) is one number in order."""


class Quality(NamedTuple):
    """Of the scores of one test week, or the mean of several."""

    auc_roc: float
    average_precision: float
    card_precision: float


class Counts(NamedTuple):
    """What a fold holds."""

    test_transactions: int
    test_frauds: int


PUBLISHED = {
    "logistic regression": Quality(0.868, 0.623, 0.297),
    "decision tree": Quality(0.797, 0.579, 0.284),
    "random forest": Quality(0.870, 0.678, 0.299),
    "XGBoost": Quality(0.869, 0.687, 0.303),
    "neural network": Quality(0.876, 0.675, 0.303),
    "LSTM": Quality(0.876, 0.665, 0.297),
    "best of any": Quality(0.879, 0.687, 0.305),
}
"""Means over the four folds, from the book."""
TRAIN_COUNTS = (67_240, 598)
"""Transactions and frauds of the first training week, from the book."""
TEST_COUNTS = (Counts(58_264, 385), Counts(57_937, 387), Counts(58_337, 408), Counts(57_604, 422))
"""Of the four test weeks of the book."""


@dataclass(frozen=True, slots=True)
class Payments:
    """n card payments in time order, and the truth of each. Arrays of shape (n,)."""

    time_ms: NDArray[np.int64]
    customer: NDArray[np.int64]
    terminal: NDArray[np.int64]
    amount_minor: NDArray[np.int64]
    fraud: NDArray[np.bool_]
    scenario: NDArray[np.int64]
    """0 for genuine ones."""

    def __len__(self) -> int:
        return len(self.time_ms)

    @property
    def day(self) -> NDArray[np.int64]:
        """Shape (n,)."""
        return self.time_ms // DAY_MS

    def find_days(self, first: int, end: int) -> slice:
        """The rows of the days from `first` to before `end`."""
        found = np.searchsorted(self.time_ms, np.array([first, end]) * DAY_MS, side="left")
        return slice(int(found[0]), int(found[1]))

    def select(self, rows: slice | NDArray[np.int64]) -> "Payments":
        """Those of `rows`, ascending. `rows`: a slice, or row numbers of shape (k,)."""
        return Payments(
            self.time_ms[rows], self.customer[rows], self.terminal[rows],
            self.amount_minor[rows], self.fraud[rows], self.scenario[rows],
        )  # fmt: skip

    def thin(self, rows_max: int) -> "Payments":
        """Only every k-th customer and all of theirs, about `rows_max` payments."""
        step = max(1, -(-len(self) // rows_max))
        return self.select(np.flatnonzero(self.customer % step == 0))


@dataclass(frozen=True, slots=True)
class Fold:
    """One training week and its test week; days since 1970-01-01."""

    train_from: int

    @property
    def known_until(self) -> int:
        """The day from which on no label is known when the test begins."""
        return self.train_from + TRAIN_DAYS

    @property
    def test_from(self) -> int:
        """The first day of test."""
        return self.known_until + DELAY_DAYS

    @property
    def test_until(self) -> int:
        """The first day after it."""
        return self.test_from + TEST_DAYS

    def __str__(self) -> str:
        return (_EPOCH + timedelta(days=self.train_from)).isoformat()


def build_folds(first: date, count: int = FOLDS) -> list[Fold]:
    """`count` folds, a week apart."""
    start = (first - _EPOCH).days
    return [Fold(start + TEST_DAYS * number) for number in range(count)]


def select_learned(payments: Payments, fold: Fold, history_days: int | None) -> slice:
    """Rows whose labels may be learned from: the last `history_days` days before `fold.known_until`; None: all of them."""
    first = 0 if history_days is None else fold.known_until - history_days
    return payments.find_days(first, fold.known_until)


def select_test_days(payments: Payments, fold: Fold) -> list[NDArray[np.int64]]:
    """Rows of each test day, without the customers known as compromised by then.

    Known on day d are the frauds of the training week and of every later day up to d - DELAY_DAYS - 1.

    For each day row numbers of shape (n,), ascending.
    """
    found = []
    for day in range(fold.test_from, fold.test_until):
        known_until = max(fold.known_until, day - DELAY_DAYS)
        known = payments.find_days(fold.train_from, known_until)
        compromised = np.unique(payments.customer[known][payments.fraud[known]])
        of_day = payments.find_days(day, day + 1)
        rows = np.arange(of_day.start, of_day.stop)
        found.append(rows[~np.isin(payments.customer[rows], compromised)])
    return found


def count_test_week(payments: Payments, fold: Fold) -> Counts:
    """How large the test week is."""
    rows = np.concatenate(select_test_days(payments, fold))
    return Counts(len(rows), int(payments.fraud[rows].sum()))


def compute_card_precision(
    payments: Payments,
    days: Sequence[NDArray[np.int64]],
    scores: Sequence[NDArray[np.floating]],
    cards_a_day: int = CARDS_A_DAY,
) -> float:
    """Mean over the days of the share of frauds among the `cards_a_day` customers with the highest scores.

    A customer's score is the highest of the day, and one is compromised if any payment of the day is a fraud; who was caught
    is not counted on a later day, nor in its way. `days` are rows, `scores` theirs; ties go by the customer's number.

    For each day rows and scores have one shape, (n,), n its number of payments.
    """
    caught: NDArray[np.int64] = np.empty(0, dtype=np.int64)
    reached = []
    for rows, score in zip(days, scores, strict=True):
        free = ~np.isin(payments.customer[rows], caught)
        customers, place = np.unique(payments.customer[rows[free]], return_inverse=True)
        highest = np.full(len(customers), -np.inf)
        np.maximum.at(highest, place, score[free])
        compromised = np.zeros(len(customers), dtype=np.bool_)
        np.logical_or.at(compromised, place, payments.fraud[rows[free]])
        looked_at = np.argsort(-highest, kind="stable")[:cards_a_day]
        hits = customers[looked_at[compromised[looked_at]]]
        caught = np.union1d(caught, hits)
        reached.append(len(hits) / cards_a_day)
    return float(np.mean(reached))


def find_unforeseeable(payments: Payments, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of `rows`, shape (n,), are frauds at a compromised terminal of which no such fraud could be known yet.

    A compromise lasts COMPROMISE_DAYS and begins at a terminal drawn by chance: nothing in the data announces it.
    """
    compromises = np.flatnonzero(payments.scenario == TERMINAL_COMPROMISED)
    order = np.lexsort((payments.time_ms[compromises], payments.terminal[compromises]))
    terminal, time_ms = payments.terminal[compromises][order], payments.time_ms[compromises][order]
    place = terminal * _TIME_SPAN + time_ms
    oldest = payments.terminal[rows] * _TIME_SPAN + payments.time_ms[rows] - COMPROMISE_DAYS * DAY_MS
    newest = payments.terminal[rows] * _TIME_SPAN + payments.time_ms[rows] - DELAY_DAYS * DAY_MS
    known = np.searchsorted(place, newest, side="right") > np.searchsorted(place, oldest, side="left")
    return np.asarray((payments.scenario[rows] == TERMINAL_COMPROMISED) & ~known, dtype=np.bool_)


def find_differences(payments: Payments, known: Sequence[Fold]) -> list[str]:
    """Where the four folds of the book differ from what the book counts; empty where it is the same data."""
    week = payments.find_days(known[0].train_from, known[0].known_until)
    found = (week.stop - week.start, int(payments.fraud[week].sum()))
    faults = [] if found == TRAIN_COUNTS else [_fault(f"training week {known[0]}", found, TRAIN_COUNTS)]
    for fold, expected in zip(known, TEST_COUNTS, strict=True):
        if (counted := count_test_week(payments, fold)) != expected:
            faults.append(_fault(f"test week of {fold}", counted, expected))
    return faults


def _fault(where: str, found: tuple[int, int], expected: tuple[int, int]) -> str:
    return f"{where}: {found[0]:,} transactions and {found[1]:,} frauds instead of {expected[0]:,} and {expected[1]:,}"
