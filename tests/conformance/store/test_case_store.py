"""Cases over memory and Redis."""

from datetime import UTC, datetime, timedelta

import pytest

from scoring.ports import Case, CaseStore, RevisionConflictError

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)


def held(transaction_id: str, minutes: int = 0) -> Case:
    return Case(transaction_id, 1, f"held {transaction_id}".encode(), NOW + timedelta(minutes=minutes))


def test_a_case_is_remembered_as_it_was(cases: CaseStore) -> None:
    blocked = Case("b", 1, b"\x00\xff", None)
    cases.open([held("a"), blocked])
    assert cases.get("a") == held("a")
    assert cases.get("b") == blocked
    assert cases.get("unknown") is None
    cases.open([])


def test_an_equal_or_lower_revision_does_not_overwrite(cases: CaseStore) -> None:
    cases.open([Case("a", 1, b"one", None)])
    cases.open([Case("a", 1, b"other", NOW), Case("a", 0, b"zero", NOW)])
    assert cases.get("a") == Case("a", 1, b"one", None)
    cases.open([Case("a", 2, b"two", NOW)])
    assert cases.get("a") == Case("a", 2, b"two", NOW)


def test_opening_gives_the_verdicts_that_stand_as_they_were_first_however_often_they_were_resolved(
    cases: CaseStore,
) -> None:
    assert cases.open([held("a"), Case("b", 1, b"blocked", None)]) == [b"held a", b"blocked"]
    assert cases.open([Case("b", 1, b"other", None), held("c")]) == [b"blocked", b"held c"]
    cases.close(Case("b", 2, b"released", None), expected_revision=1, cause_id="r-1")
    cases.close(Case("b", 3, b"blocked again", None), expected_revision=2, cause_id="r-2")
    assert cases.open([Case("b", 1, b"other", None, b"flagged"), held("a")]) == [b"blocked", b"held a"]
    assert cases.get("b") == Case("b", 3, b"blocked again", None)
    assert cases.open([]) == []


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
    cases.open([held("young", 5), held("old", 1), held("middle", 3), Case("blocked", 1, b"x", None)])
    assert cases.expired(NOW, 10) == []
    assert [case.transaction_id for case in cases.expired(NOW + timedelta(minutes=3), 10)] == ["old", "middle"]
    assert [case.transaction_id for case in cases.expired(NOW + timedelta(minutes=9), 2)] == ["old", "middle"]


def test_a_closed_hold_expires_no_more_unless_it_says_so(cases: CaseStore) -> None:
    cases.open([held("a"), held("b")])
    cases.close(Case("a", 2, b"released", None), expected_revision=1, cause_id="r-1")
    cases.close(Case("b", 2, b"blocked", NOW + timedelta(minutes=1)), expected_revision=1, cause_id="expiry")
    assert cases.expired(NOW, 10) == []
    assert cases.expired(NOW + timedelta(minutes=1), 10) == [Case("b", 2, b"blocked", NOW + timedelta(minutes=1))]
