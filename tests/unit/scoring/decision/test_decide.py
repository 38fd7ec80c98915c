"""Decisions: thresholds, the precedence of lists over rules over the model, and the fallback."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.models import Thresholds
from scoring.decision.decide import (
    ALLOW,
    BLOCK,
    FLAG,
    HOLD,
    apply_marks,
    decide_by_model,
    decide_severities,
    round_scores,
    silence_snoozed,
)
from scoring.ports import ListHit, SnoozeHit

THRESHOLDS = Thresholds(flag=0.3, hold=0.6, block=0.9)
DENY, ALLOWED, WATCH = ListHit("card", "deny"), ListHit("customer", "allow"), ListHit("ip", "watch")


@pytest.mark.parametrize(
    ("score", "severity"),
    [(0.0, ALLOW), (0.299999, ALLOW), (0.3, FLAG), (0.6, HOLD), (0.899999, HOLD), (0.9, BLOCK), (1.0, BLOCK)],
)
def test_a_decision_applies_from_its_threshold_on(score: float, severity: int) -> None:
    assert decide_by_model(np.array([score]), THRESHOLDS).tolist() == [severity]


def test_a_threshold_above_one_is_never_reached() -> None:
    never = Thresholds(flag=0.5, hold=1.000001, block=1.000001)
    assert decide_by_model(np.array([1.0]), never).tolist() == [FLAG]


def decided(model: int, fired: dict[int, int], marks: tuple[ListHit, ...] = ()) -> int:
    """`fired` gives per rule its severity and whether it fired."""
    hits = np.array([[bool(hit) for _, hit in fired.items()]])
    found = decide_severities(np.array([model], dtype=np.int8), hits, np.array(list(fired), dtype=np.int8), [marks])
    return int(found[0])


@pytest.mark.parametrize(
    ("model", "fired", "expected"),
    [
        (ALLOW, {}, ALLOW),
        (HOLD, {}, HOLD),
        (ALLOW, {FLAG: 1, BLOCK: 0}, FLAG),
        (ALLOW, {FLAG: 1, BLOCK: 1}, BLOCK),
        (BLOCK, {FLAG: 1}, BLOCK),
        (BLOCK, {ALLOW: 1}, ALLOW),
        (BLOCK, {ALLOW: 0, FLAG: 0}, BLOCK),
        (HOLD, {ALLOW: 1, FLAG: 1}, HOLD),
        (ALLOW, {ALLOW: 1, HOLD: 1}, HOLD),
    ],
)
def test_the_most_severe_of_model_and_rules_holds_and_an_allowing_rule_alone_silences_the_model(
    model: int, fired: dict[int, int], expected: int
) -> None:
    assert decided(model, fired) == expected


@pytest.mark.parametrize(
    ("model", "fired", "marks", "expected"),
    [
        (ALLOW, {ALLOW: 1}, (DENY,), BLOCK),
        (ALLOW, {}, (DENY, ALLOWED, WATCH), BLOCK),
        (BLOCK, {BLOCK: 1}, (ALLOWED,), ALLOW),
        (BLOCK, {}, (ALLOWED, WATCH), ALLOW),
        (ALLOW, {}, (WATCH,), FLAG),
        (HOLD, {}, (WATCH,), HOLD),
    ],
)
def test_deny_beats_allow_and_allow_beats_rules_and_model(
    model: int, fired: dict[int, int], marks: tuple[ListHit, ...], expected: int
) -> None:
    assert decided(model, fired, marks) == expected


@given(st.integers(0, 3), st.permutations([DENY, ALLOWED, WATCH]), st.integers(0, 3))
def test_the_order_of_marks_is_irrelevant(severity: int, marks: list[ListHit], count: int) -> None:
    assert apply_marks(severity, marks[:count]) == apply_marks(severity, sorted(marks[:count]))


def test_without_a_mark_the_decision_stays() -> None:
    assert [apply_marks(severity, []) for severity in range(4)] == [ALLOW, FLAG, HOLD, BLOCK]


def test_marks_concern_their_own_row_only() -> None:
    fired = np.zeros((3, 1), dtype=bool)
    found = decide_severities(
        np.array([0, 3, 0], dtype=np.int8), fired, np.array([2], dtype=np.int8), [(), (ALLOWED,), (DENY,)]
    )
    assert found.tolist() == [ALLOW, ALLOW, BLOCK]


def test_a_rule_that_fires_concerns_its_own_row_only() -> None:
    fired = np.array([[True], [False]])
    found = decide_severities(np.array([0, 0], dtype=np.int8), fired, np.array([2], dtype=np.int8), [(), ()])
    assert found.tolist() == [HOLD, ALLOW]


def test_scores_are_rounded_to_six_digits_before_anything_sees_them() -> None:
    noisy = np.array([0.3, np.nextafter(np.float32(0.3), np.float32(1))], dtype=np.float32)
    assert round_scores(noisy).tolist() == [0.3, 0.3]


def test_a_snoozed_rule_does_not_count_and_is_named_where_it_matched() -> None:
    fired = np.array([[True, True], [True, False], [False, True], [True, True]])
    snoozes = [
        (SnoozeHit("card", "a"),),
        (),
        (SnoozeHit("card", "a"), SnoozeHit("ip", "gone")),
        (SnoozeHit("card", "a"), SnoozeHit("device", "a")),
    ]
    counting, silenced = silence_snoozed(fired, ("a", "b"), snoozes)
    assert counting.tolist() == [[False, True], [True, False], [False, True], [False, True]]
    assert silenced == {0: [SnoozeHit("card", "a")], 3: [SnoozeHit("card", "a"), SnoozeHit("device", "a")]}
    assert fired[0, 0], "what matched is another's and stays as it was"
