"""Resolutions and expiry: the next revision, once, with a label; never two that disagree."""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import InvariantError
from contract.events import Label
from scoring.ports import Case, EventResult, StoreUnavailableError
from support.workbench import START, Workbench, dead_letter_of, record, resolution, transaction, verdict_of

HELD = transaction(1, amount_minor=40_000)
BLOCKED = transaction(2, amount_minor=70_000)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    bench = Workbench(tmp_path)
    bench.score(HELD, BLOCKED, transaction(3))
    return bench


def label_of(outcome: EventResult) -> Label:
    (label,) = outcome.labels
    return msgspec.json.decode(label, type=Label)


@pytest.mark.parametrize(
    ("outcome", "decision", "fraud", "source"),
    [
        ("step_up_passed", "allow", False, "step_up"),
        ("step_up_failed", "block", True, "step_up"),
        ("approved", "allow", False, "analyst"),
        ("rejected", "block", True, "analyst"),
    ],
)
def test_a_resolution_gives_the_next_revision_and_a_label(
    bench: Workbench, outcome: str, decision: str, fraud: bool, source: str
) -> None:
    bench.clock.advance(30)
    (answer,) = bench.resolver.resolve([resolution("t-1", outcome)])
    verdict, label = verdict_of(answer), label_of(answer)
    assert (verdict.revision, verdict.decision, verdict.outcome) == (2, decision, outcome)
    assert (verdict.hold_until, verdict.degraded) == (None, False)
    assert verdict.reasons[0].code == f"policy:{outcome}"
    assert verdict.reasons[1].code == "group:amount"
    assert verdict.scored_at == bench.clock.now()
    assert verdict.latency_ms == 90_000
    assert (label.fraud, label.source, label.transaction_id) == (fraud, source, "t-1")
    assert label.label_time == START + timedelta(minutes=5)
    assert (answer.key, answer.complete) == (b"t-1", True)


def test_a_resolution_keeps_score_and_versions(bench: Workbench) -> None:
    before = msgspec.json.decode(bench.cases.newest["t-1"].verdict)
    (answer,) = bench.resolver.resolve([resolution("t-1")])
    after = msgspec.json.decode(answer.verdict or b"")
    for name in ("score", "model_version", "rules_version", "event_time", "late"):
        assert after[name] == before[name]


def test_a_resolution_that_is_read_again_gives_the_same_bytes(bench: Workbench) -> None:
    (first,) = bench.resolver.resolve([resolution("t-1")])
    bench.clock.advance(500)
    (again,) = bench.resolver.resolve([resolution("t-1")])
    assert again == first


def test_another_resolution_after_the_first_is_a_conflict(bench: Workbench) -> None:
    bench.resolver.resolve([resolution("t-1", "approved", "r-1")])
    (answer,) = bench.resolver.resolve([resolution("t-1", "rejected", "r-2")])
    assert dead_letter_of(answer).reason == "conflict"
    assert answer.labels == []
    assert bench.cases.newest["t-1"].revision == 2


@pytest.mark.parametrize("transaction_id", ["t-3", "t-never-seen"])
def test_what_was_allowed_or_never_seen_is_not_resolvable(bench: Workbench, transaction_id: str) -> None:
    (answer,) = bench.resolver.resolve([resolution(transaction_id)])
    letter = dead_letter_of(answer)
    assert (letter.reason, letter.key) == ("not_resolvable", transaction_id)
    assert bench.count("tillguard_scoring_dead_letters_total", reason="not_resolvable") == 1


def test_a_resolution_of_another_retailer_is_refused(bench: Workbench) -> None:
    (answer,) = bench.resolver.resolve([resolution("t-1", retailer="other")])
    assert dead_letter_of(answer).reason == "retailer_mismatch"


@pytest.mark.parametrize(
    ("resolved_at", "reason"),
    [(START + timedelta(days=2), "time_future"), (START - timedelta(days=20_000), "time_too_old")],
)
def test_a_resolution_of_a_time_that_cannot_be_is_refused_since_its_label_would_never_count(
    bench: Workbench, resolved_at: datetime, reason: str
) -> None:
    (answer,) = bench.resolver.resolve([resolution("t-1", resolved_at=resolved_at)])
    assert (dead_letter_of(answer).reason, answer.verdict, answer.labels) == (reason, None, [])


def test_without_the_store_a_resolution_waits(bench: Workbench) -> None:
    bench.cases.broken = True
    (answer,) = bench.resolver.resolve([resolution("t-1")])
    assert (answer.complete, answer.verdict, answer.dead_letter, answer.labels) == (False, None, None, [])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.none() | st.binary(max_size=120), max_size=5))
def test_any_bytes_on_the_resolutions_topic_are_dead_letters(bench: Workbench, values: list[bytes | None]) -> None:
    outcomes = bench.resolver.resolve([record(value, offset) for offset, value in enumerate(values)])
    assert len(outcomes) == len(values)
    assert all(outcome.dead_letter is not None for outcome in outcomes)


def test_a_hold_expires_by_policy_when_its_time_is_over(bench: Workbench) -> None:
    assert bench.resolver.expire(10) == []
    bench.clock.advance(900)
    (answer,) = bench.resolver.expire(10)
    verdict = verdict_of(answer)
    assert (answer.key, verdict.revision, verdict.decision, verdict.outcome) == (b"t-1", 2, "block", "expired")
    assert answer.labels == []
    assert bench.count("tillguard_scoring_holds_expired_total") == 1


@pytest.mark.parametrize("policy", ["allow", "flag", "block"])
def test_the_policy_is_a_setting(tmp_path: Path, policy: str) -> None:
    bench = Workbench(tmp_path, document={"scoring": {"hold": {"on_expiry": policy, "expires_after_s": 5}}})
    bench.score(HELD)
    bench.clock.advance(5)
    assert verdict_of(bench.resolver.expire(10)[0]).decision == policy


def test_an_expiry_that_was_published_does_not_come_again(bench: Workbench) -> None:
    bench.clock.advance(900)
    bench.resolver.confirm(bench.resolver.expire(10))
    bench.clock.advance(86_400)
    assert bench.resolver.expire(10) == []


def test_an_expiry_whose_worker_died_before_publishing_comes_again_the_same(bench: Workbench) -> None:
    bench.clock.advance(900)
    (lost,) = bench.resolver.expire(10)
    bench.restart()
    assert bench.resolver.expire(10) == []
    for seconds in (61, 122, 244, 3601):
        bench.clock.advance(seconds)
        assert [answer.verdict for answer in bench.resolver.expire(10)] == [lost.verdict]
    assert bench.count("tillguard_scoring_holds_expired_total") == 0


def test_an_expiry_that_nobody_confirms_comes_again_every_hour_in_the_end(bench: Workbench) -> None:
    bench.clock.advance(900)
    (lost,) = bench.resolver.expire(10)
    for _ in range(3):
        bench.clock.advance(36_000)
        assert [answer.verdict for answer in bench.resolver.expire(10)] == [lost.verdict]
        bench.clock.advance(3_599)
        assert bench.resolver.expire(10) == []
        bench.clock.advance(2)
        assert [answer.verdict for answer in bench.resolver.expire(10)] == [lost.verdict]


def test_a_resolved_hold_does_not_expire(bench: Workbench) -> None:
    bench.resolver.resolve([resolution("t-1")])
    bench.clock.advance(900)
    assert bench.resolver.expire(10) == []


def test_an_expired_hold_can_still_be_resolved_and_that_is_the_last_word(bench: Workbench) -> None:
    bench.clock.advance(900)
    expired = bench.resolver.expire(10)
    (answer,) = bench.resolver.resolve([resolution("t-1", "step_up_passed")])
    assert (verdict_of(answer).revision, verdict_of(answer).decision) == (3, "allow")
    bench.resolver.confirm(expired)
    assert bench.cases.newest["t-1"].verdict == answer.verdict
    bench.clock.advance(86_400)
    assert bench.resolver.expire(10) == []


def test_an_expiry_that_cannot_be_confirmed_comes_again(bench: Workbench) -> None:
    bench.clock.advance(900)
    answers = bench.resolver.expire(10)
    bench.cases.broken = True
    bench.resolver.confirm(answers)
    bench.cases.broken = False
    bench.clock.advance(61)
    assert [one.verdict for one in bench.resolver.expire(10)] == [one.verdict for one in answers]


def test_a_resolution_that_comes_between_reading_and_expiring_a_hold_wins(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.clock.advance(900)
    due = bench.cases.list_expired(bench.clock.now(), 10)
    bench.resolver.resolve([resolution("t-1")])
    monkeypatch.setattr(bench.cases, "list_expired", lambda _now, _limit: due)
    assert bench.resolver.expire(10) == []
    assert verdict_of(bench.resolver.resolve([resolution("t-1")])[0]).decision == "allow"


def test_a_resolution_that_comes_while_an_expiry_is_confirmed_wins(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.clock.advance(900)
    answers = bench.resolver.expire(10)
    before = bench.cases.newest["t-1"]
    bench.resolver.resolve([resolution("t-1")])
    resolved = bench.cases.newest["t-1"]
    monkeypatch.setattr(bench.cases, "get", lambda _transaction_id: before)
    bench.resolver.confirm(answers)
    assert bench.cases.newest["t-1"] == resolved


def test_a_case_that_holds_no_verdict_is_a_broken_invariant(bench: Workbench) -> None:
    bench.cases.newest["t-1"] = Case("t-1", 1, b"?", None)
    with pytest.raises(InvariantError):
        bench.resolver.resolve([resolution("t-1")])


def test_expiry_takes_as_many_as_asked_for_the_oldest_first(bench: Workbench) -> None:
    bench.clock.advance(10)
    bench.score(transaction(10, amount_minor=40_000))
    bench.clock.advance(1000)
    assert [answer.key for answer in bench.resolver.expire(1)] == [b"t-1"]
    assert [answer.key for answer in bench.resolver.expire(5)] == [b"t-10"]


def test_without_the_store_expiry_says_so(bench: Workbench) -> None:
    bench.cases.broken = True
    with pytest.raises(StoreUnavailableError):
        bench.resolver.expire(10)
