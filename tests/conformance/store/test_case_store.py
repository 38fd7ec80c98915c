"""Cases over memory and Redis."""

from datetime import UTC, datetime, timedelta

import pytest

from scoring.ports import Case, CaseStore, NewCase, RevisionConflictError
from support.cases import answer, new_case

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def held(transaction_id: str, minutes: int = 0) -> NewCase:
    return new_case(transaction_id, f"held {transaction_id}", NOW + timedelta(minutes=minutes))


def test_a_case_is_remembered_as_it_was(cases: CaseStore) -> None:
    cases.open([held("a"), new_case("b", "\x00\xff")])
    assert cases.get("a") == Case("a", 1, answer("held a").verdict, NOW)
    assert cases.get("b") == Case("b", 1, answer("\x00\xff").verdict, None)
    assert cases.get("unknown") is None
    assert cases.open([]) == []


def test_a_case_that_is_opened_again_stays_as_it_is(cases: CaseStore) -> None:
    cases.open([new_case("a", "one")])
    cases.open([new_case("a", "other", NOW)])
    assert cases.get("a") == Case("a", 1, answer("one").verdict, None)
    assert cases.list_expired(NOW, 10) == []


def test_opening_gives_the_answers_that_stand_as_they_were_first_however_often_they_were_resolved(
    cases: CaseStore,
) -> None:
    blocked = answer("blocked", "block")
    assert cases.open([held("a"), NewCase("b", blocked)]) == [answer("held a"), blocked]
    assert cases.open([new_case("b", "other"), held("c")]) == [blocked, answer("held c")]
    cases.close(Case("b", 2, b"released", None), expected_revision=1, cause_id="r-1")
    cases.close(Case("b", 3, b"blocked again", None), expected_revision=2, cause_id="r-2")
    assert cases.open([new_case("b", "other", otherwise="flagged"), held("a")]) == [blocked, answer("held a")]
    assert cases.get("b") == Case("b", 3, b"blocked again", None)


def test_closing_stores_the_next_revision_once_per_cause(cases: CaseStore) -> None:
    cases.open([held("a")])
    assert cases.close(Case("a", 2, b"released", None), expected_revision=1, cause_id="r-1") == b"released"
    assert cases.close(Case("a", 2, b"computed again", None), expected_revision=1, cause_id="r-1") == b"released"
    assert cases.get("a") == Case("a", 2, b"released", None)


def test_a_cause_gets_its_verdict_even_after_a_later_one(cases: CaseStore) -> None:
    cases.open([held("a")])
    cases.close(Case("a", 2, b"two", None), expected_revision=1, cause_id="r-1")
    cases.close(Case("a", 3, b"three", None), expected_revision=2, cause_id="r-2")
    assert cases.close(Case("a", 4, b"four", None), expected_revision=3, cause_id="r-1") == b"two"
    assert cases.get("a") == Case("a", 3, b"three", None)


def test_the_second_of_two_causes_is_a_conflict(cases: CaseStore) -> None:
    cases.open([held("a")])
    cases.close(Case("a", 2, b"released", None), expected_revision=1, cause_id="r-1")
    with pytest.raises(RevisionConflictError):
        cases.close(Case("a", 2, b"blocked", None), expected_revision=1, cause_id="expiry")


def test_an_unknown_case_cannot_be_closed(cases: CaseStore) -> None:
    with pytest.raises(RevisionConflictError):
        cases.close(Case("nobody", 2, b"x", None), expected_revision=1, cause_id="r-1")


def test_holds_expire_oldest_first_and_not_before_their_time(cases: CaseStore) -> None:
    cases.open([held("young", 5), held("old", 1), held("middle", 3), new_case("blocked", "x")])
    assert cases.list_expired(NOW, 10) == []
    assert [case.transaction_id for case in cases.list_expired(NOW + timedelta(minutes=3), 10)] == ["old", "middle"]
    assert [case.transaction_id for case in cases.list_expired(NOW + timedelta(minutes=9), 2)] == ["old", "middle"]


def test_a_closed_hold_expires_no_more_unless_it_says_so(cases: CaseStore) -> None:
    cases.open([held("a"), held("b")])
    cases.close(Case("a", 2, b"released", None), expected_revision=1, cause_id="r-1")
    cases.close(Case("b", 2, b"blocked", NOW + timedelta(minutes=1)), expected_revision=1, cause_id="expiry")
    assert cases.list_expired(NOW, 10) == []
    assert cases.list_expired(NOW + timedelta(minutes=1), 10) == [Case("b", 2, b"blocked", NOW + timedelta(minutes=1))]
