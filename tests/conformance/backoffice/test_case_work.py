"""Locks, decisions and notes over every database."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from backoffice.audit.trail import AuditTrail
from backoffice.cases.decisions import FIRST_SEND, RESEND_MAX, CaseDecisions
from backoffice.cases.locks import LOCK_FOR, LOCKS_MAX
from backoffice.cases.marks import ListEntry, Snooze
from backoffice.cases.wishes import Wish
from backoffice.cases.work import CaseWork
from backoffice.database import open_database
from backoffice.projection.results import Entity
from backoffice.refusals import StateConflictError
from contract.clock import ManualClock
from runtime.database import Database
from support.desk import ANN, BOB, NOW, person

CARD = Entity("card", "k1.card")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def trail(database: Database, clock: ManualClock) -> AuditTrail:
    return AuditTrail(database, clock)


@pytest.fixture
def work(database: Database, trail: AuditTrail, clock: ManualClock) -> CaseWork:
    return CaseWork(database, trail, clock)


@pytest.fixture
def decisions(database: Database, trail: AuditTrail, clock: ManualClock) -> CaseDecisions:
    return CaseDecisions(database, trail, clock)


def test_two_people_never_have_the_same_case(work: CaseWork, clock: ManualClock) -> None:
    assert work.take(ANN, "meadow", "a").by == "ann"
    with pytest.raises(StateConflictError, match="ann has this case until 12:10:00 UTC"):
        work.take(BOB, "meadow", "a")
    clock.advance(LOCK_FOR.total_seconds())
    assert work.take(BOB, "meadow", "a").by == "bob"
    assert work.find_locks("meadow", ["a", "b"])["a"].by == "bob"


def test_a_race_for_one_case_has_one_winner(work: CaseWork) -> None:
    def take(number: int) -> bool:
        try:
            work.take(person(f"p{number}"), "meadow", "a")
        except StateConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(16))) == 1


def test_taking_again_extends_and_keeps_when_it_was_taken(work: CaseWork, clock: ManualClock) -> None:
    first = work.take(ANN, "meadow", "a")
    clock.advance(300)
    again = work.take(ANN, "meadow", "a")
    assert (again.taken_at, again.until) == (first.taken_at, first.until + timedelta(seconds=300))
    clock.advance(LOCK_FOR.total_seconds())
    assert work.take(ANN, "meadow", "a").taken_at == clock.now()


def test_a_released_case_is_free_and_only_its_holder_releases_it(work: CaseWork) -> None:
    work.take(ANN, "meadow", "a")
    assert not work.release(BOB, "meadow", "a")
    assert work.release(ANN, "meadow", "a")
    assert not work.release(ANN, "meadow", "a")
    assert work.take(BOB, "meadow", "a").by == "bob"


def test_the_same_id_at_another_retailer_is_another_case(work: CaseWork, decisions: CaseDecisions) -> None:
    work.take(ANN, "meadow", "a")
    assert work.take(BOB, "harbour", "a").by == "bob"
    work.note(ANN, "meadow", "a", "asked")
    decisions.decide(ANN, "meadow", Wish("a", "approved"))
    assert work.list_notes("harbour", "a") == ()
    assert decisions.list_of_case("harbour", "a") == ()
    assert decisions.find_standing("harbour", ["a"]) == {}
    assert decisions.list_due("harbour", NOW + timedelta(days=1), 10) == []


def test_nobody_hoards_cases(work: CaseWork) -> None:
    for number in range(LOCKS_MAX):
        work.take(ANN, "meadow", f"t{number}")
    with pytest.raises(StateConflictError, match="decide or release"):
        work.take(ANN, "meadow", "one more")
    assert work.take(BOB, "meadow", "one more").by == "bob"


def test_a_decision_keeps_note_snooze_and_list_and_frees_the_case(
    work: CaseWork, decisions: CaseDecisions, trail: AuditTrail
) -> None:
    snooze = Snooze(rule="amount-high", entity=CARD, until=NOW + timedelta(days=1), by="ann", comment="asked")
    entry = ListEntry(entity=CARD, list="watch", expires_at=NOW + timedelta(days=2), by="ann", reason="new card")
    work.take(ANN, "meadow", "a")
    decision = decisions.decide(ANN, "meadow", Wish("a", "approved", "she is at the phone", snooze, entry))
    assert (decision.state, decision.by, decision.resolution_id) == ("pending", "ann", f"desk-{decision.decision_id}")
    assert [each.text for each in work.list_notes("meadow", "a")] == ["she is at the phone"]
    marks = decisions.list_pending_marks("meadow", 10, decision_id=decision.decision_id)
    assert {(each.snooze, each.entry) for each in marks} == {(snooze, None), (None, entry)}
    assert work.find_locks("meadow", ["a"]) == {}
    written = [(each.action, each.object, each.who_name) for each in trail.list_entries("meadow")]
    assert sorted(written[:3]) == [
        ("cases.decide", "case:a", "ann"),
        ("lists.set", "card:k1.card", "ann"),
        ("snoozes.set", "card:k1.card", "ann"),
    ]
    assert trail.verify("meadow").holds


def test_a_case_is_decided_once_and_the_second_learns_by_whom(work: CaseWork, decisions: CaseDecisions) -> None:
    work.take(ANN, "meadow", "a")
    with pytest.raises(StateConflictError, match="ann has this case"):
        decisions.decide(BOB, "meadow", Wish("a", "rejected"))
    first = decisions.decide(ANN, "meadow", Wish("a", "approved", request_key="k"))
    with pytest.raises(StateConflictError, match="ann decided this case: approved at 12:00:00 UTC"):
        decisions.decide(BOB, "meadow", Wish("a", "rejected", note="no"))
    assert work.list_notes("meadow", "a") == ()
    work.take(BOB, "meadow", "a")
    assert decisions.find_again(ANN, "meadow", "a", "k") == first
    assert decisions.find_again(BOB, "meadow", "a", "k") is None
    assert decisions.find_again(ANN, "meadow", "a", None) is None


def test_a_race_of_decisions_has_one_winner(decisions: CaseDecisions) -> None:
    def decide(number: int) -> bool:
        try:
            decisions.decide(person(f"p{number}"), "meadow", Wish("a", "approved"))
        except StateConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(decide, range(16))) == 1


def test_a_refused_decision_makes_room_for_another(decisions: CaseDecisions) -> None:
    first = decisions.decide(ANN, "meadow", Wish("a", "approved"))
    refused = decisions.settle("meadow", first, refusal=("conflict", "another resolution came first"))
    assert (refused.state, refused.reason) == ("refused", "conflict")
    second = decisions.decide(BOB, "meadow", Wish("a", "rejected"))
    assert second.resolution_id != first.resolution_id
    assert [each.state for each in decisions.list_of_case("meadow", "a")] == ["refused", "pending"]


def test_what_is_settled_stays_so(decisions: CaseDecisions) -> None:
    made = decisions.decide(ANN, "meadow", Wish("a", "approved"))
    applied = decisions.settle("meadow", made, revision=2)
    assert (applied.state, applied.revision) == ("applied", 2)
    assert decisions.settle("meadow", made, refusal=("conflict", "too late")) == applied


def test_a_decision_without_an_answer_is_due_again_later_and_later(
    decisions: CaseDecisions, clock: ManualClock
) -> None:
    made = decisions.decide(ANN, "meadow", Wish("a", "approved"))
    assert decisions.list_due("meadow", clock.now(), 10) == []
    waits = []
    for _ in range(8):
        before = clock.now()
        while not decisions.list_due("meadow", clock.now(), 10):
            clock.advance(5)
        waits.append(clock.now() - before)
        decisions.note_send("meadow", made)
    assert waits[:3] == [FIRST_SEND, FIRST_SEND, 2 * FIRST_SEND]
    assert waits[-1] == RESEND_MAX
    decisions.settle("meadow", made, revision=2)
    assert decisions.list_due("meadow", clock.now() + timedelta(days=1), 10) == []


def test_a_mark_is_pending_until_it_is_settled(decisions: CaseDecisions) -> None:
    entry = ListEntry(entity=CARD, list="deny", expires_at=None, by="ann", reason="ring")
    decisions.decide(ANN, "meadow", Wish("a", "rejected", entry=entry))
    [mark] = decisions.list_pending_marks("meadow", 10, made_before=NOW)
    assert decisions.list_pending_marks("meadow", 10, made_before=NOW - timedelta(seconds=1)) == ()
    decisions.settle_mark("meadow", mark, "no room")
    assert decisions.list_pending_marks("meadow", 10) == ()
    assert [(each.state, each.detail) for each in decisions.list_marks("meadow", "a")] == [("refused", "no room")]
