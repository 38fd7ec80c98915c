"""The breaker: a bad model cannot close the shop, what was told stays told, and a person is told once."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.alarms import ALARMS, Alarm
from contract.events import Origin
from contract.metrics import Metrics
from contract.policies import BreakerSettings
from scoring.decision.breaker import CLOSES_AFTER_MS, Limits, Occurrence, build_alarm
from scoring.ports import EventResult, StoreUnavailableError
from scoring.worker.breaker_alarms import BreakerWatch
from support.breaker import Breaker
from support.tiny_model import tiny_package
from support.workbench import START, Workbench, features_of, records, resolution, transaction, verdict_of

BAD = tiny_package("bad", bias=4.0)
"""Blocks whatever comes."""
TIGHT = {"scoring": {"breaker": {"per_minute_max": 3, "share_max": "off"}}}
HISTORY = Origin(connector="orders", phase="snapshot", source="shop.orders", position="1")


def limits(**changes: Any) -> Limits:
    return Limits.from_settings(BreakerSettings(**changes))


def admitted(breaker: Breaker, now_ms: int, count: int) -> int:
    return sum(breaker.admits(now_ms) for _ in range(count))


def test_limits_are_those_of_the_settings_in_milliseconds() -> None:
    found = limits(per_minute_max=3, share_max=0.5, share_window_s=100, share_min_transactions=7)
    assert found == Limits(3, 0.5, 100_000, 7)
    assert (found.on, found.bucket_ms) == (True, 5_000)
    off = limits(per_minute_max="off", share_max="off")
    assert not off.on
    assert Limits(None, 0.5, 10, 1).bucket_ms == 1, "never shorter than the clock can tell"


def test_of_any_minute_no_more_stops_are_granted_than_the_limit() -> None:
    breaker = Breaker(limits(per_minute_max=3, share_max="off"))
    assert admitted(breaker, 0, 2) == 2
    assert admitted(breaker, 30_000, 2) == 1
    assert admitted(breaker, 59_999, 1) == 0
    assert admitted(breaker, 60_000, 5) == 2
    assert admitted(breaker, 90_000, 5) == 1


def test_refused_stops_do_not_count_so_there_is_always_room_again() -> None:
    breaker = Breaker(limits(per_minute_max=2, share_max="off"))
    granted = [now_ms for now_ms in range(0, 600_000, 1000) if breaker.admits(now_ms)]
    assert len(granted) == 20


def test_a_share_of_the_window_s_transactions_is_granted_once_there_are_enough_of_them() -> None:
    breaker = Breaker(limits(per_minute_max="off", share_max=0.1, share_window_s=100, share_min_transactions=50))
    breaker.passed(49, 0)
    assert admitted(breaker, 0, 30) == 30
    breaker.passed(951, 1_000)
    assert admitted(breaker, 1_000, 100) == 70
    assert (
        admitted(breaker, 106_000, 30) == 30
    )  # all of it has left the window, and too few are in it for the share to count


def test_a_limit_of_nothing_stops_nothing_and_no_limit_everything() -> None:
    assert admitted(Breaker(limits(per_minute_max=0)), 0, 9) == 0
    none = limits(per_minute_max="off", share_max="off")
    assert admitted(Breaker(none), 0, 9_999) == 9_999
    assert not none.on
    assert limits().on


def test_it_opens_and_closes_once_per_occurrence() -> None:
    breaker = Breaker(limits(per_minute_max=1, share_max="off"))
    for now_ms in (0, 1_000, 2_000):
        breaker.admits(now_ms)
    assert breaker.look(2_000 + CLOSES_AFTER_MS - 1)
    assert not breaker.look(2_000 + CLOSES_AFTER_MS)
    assert not breaker.look(900_000)
    assert breaker.occurrences == [
        Occurrence("open", 1_000, 1_000, "per_minute", 1, 0),
        Occurrence("closed", 1_000, 62_000, "per_minute", 2, 0),
    ]
    breaker.admits(1_000_000)
    breaker.admits(1_000_000)
    breaker.admits(2_000_000)
    breaker.admits(2_000_000)  # nobody looked in between
    assert [found.kind for found in breaker.occurrences[2:]] == ["open", "closed", "open"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Occurrence("open", 7, 7, "per_minute", 600, 0), "more than 600 holds and blocks within a minute"),
        (Occurrence("open", 7, 7, "share", 20, 100), "20 holds and blocks among the last 100 transactions"),
        (Occurrence("closed", 7, 99, "share", 12, 0), "12 transactions were flagged"),
    ],
)
def test_an_alarm_says_what_is_the_matter_and_what_to_do(found: Occurrence, words: str) -> None:
    raised = build_alarm(found, limits(), "shop")
    assert raised.kind in ALARMS
    assert words in raised.text
    assert raised.remedy
    assert msgspec.json.decode(msgspec.json.encode(raised), type=Alarm) == raised
    assert raised.alarm_id == f"breaker_{found.kind}-7"


def test_that_the_breaker_opened_is_urgent_and_that_it_closed_is_news_of_what_was_flagged_meanwhile() -> None:
    opened = build_alarm(Occurrence("open", 7, 7, "share", 20, 100), limits(), "shop")
    closed = build_alarm(Occurrence("closed", 7, 99, "share", 12, 0), limits(), "shop")
    assert (opened.severity, opened.values) == ("critical", {"stops": 20.0, "transactions": 100.0})
    assert (closed.severity, closed.values) == ("info", {"flagged": 12.0})
    assert "rollback" in opened.remedy
    assert "flagged" in closed.remedy


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path, model=BAD, version="bad", document=TIGHT)


def decisions(outcomes: Sequence[EventResult]) -> list[str]:
    return [verdict_of(outcome).decision for outcome in outcomes]


def test_beyond_the_limit_what_would_be_stopped_is_flagged_and_says_why(bench: Workbench) -> None:
    outcomes = bench.score(*(transaction(number) for number in range(5)))
    assert decisions(outcomes) == ["block"] * 3 + ["flag"] * 2
    verdict = verdict_of(outcomes[4])
    assert verdict.reasons[0].code == "policy:breaker"
    assert len(verdict.reasons) > 1  # and why the model would have stopped it
    assert verdict.hold_until is None
    assert features_of(outcomes[4]).decision == "flag"
    assert not features_of(outcomes[4]).control
    assert bench.count("tillguard_scoring_breaker_flagged_total") == 2
    assert bench.count("tillguard_scoring_verdicts_total", decision="flag", degraded="false") == 2


def test_a_bad_model_cannot_close_the_shop(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, model=BAD, version="bad")
    outcomes: list[EventResult] = []
    for batch in range(20):
        numbers = range(50 * batch, 50 * batch + 50)
        outcomes += bench.score(*(transaction(number, event_time=START) for number in numbers))
        bench.clock.advance(1)
    assert decisions(outcomes).count("block") == 1000 * 0.2


@pytest.mark.parametrize("crash", [False, True])
def test_what_was_told_is_told_again_to_the_bit_after_the_breaker_has_closed(bench: Workbench, crash: bool) -> None:
    events = records([transaction(number) for number in range(5)])
    first = bench.score_events(events)
    bench.clock.advance(180)
    assert bench.cases.breaker is not None
    bench.cases.breaker.look(10**15)
    if crash:
        bench.restart()
    again = bench.score_events(events)
    assert [(one.verdict, one.features) for one in again] == [(one.verdict, one.features) for one in first]
    assert decisions(bench.score(transaction(200, event_time=bench.clock.now()))) == ["block"]


def test_what_was_told_is_told_again_though_an_analyst_has_decided_meanwhile(bench: Workbench) -> None:
    events = records([transaction(number) for number in range(5)])
    first = bench.score_events(events)
    bench.resolver.resolve([resolution("t-4"), resolution("t-0", "rejected", "r-2")])
    bench.clock.advance(180)
    again = bench.score_events(events)
    assert [(one.verdict, one.features) for one in again] == [(one.verdict, one.features) for one in first]


def test_a_stop_on_the_limit_s_edge_stays_when_it_comes_again_behind_others(bench: Workbench) -> None:
    assert decisions(bench.score(*(transaction(number) for number in range(3)))) == ["block"] * 3
    assert decisions(bench.score(transaction(2), transaction(3))) == ["block", "flag"]


def test_an_answer_that_was_never_given_is_asked_for_once_more(bench: Workbench) -> None:
    """The windows were applied, then the worker lost the store or its life: nobody was told, so the breaker may say either."""
    bench.cases.broken = True
    lost = bench.score(*(transaction(number) for number in range(3)))
    assert [verdict_of(outcome).degraded for outcome in lost] == [True] * 3
    bench.cases.broken = False
    bench.score(*(transaction(number) for number in range(10, 12)))
    bench.restart()
    outcomes = bench.engine.retry(records([transaction(number) for number in range(3)]))
    assert decisions(outcomes) == ["block", "flag", "flag"]


def test_late_transactions_and_history_neither_count_nor_are_stopped(bench: Workbench) -> None:
    old = [transaction(number, event_time=START - timedelta(seconds=900)) for number in range(5)]
    history = [transaction(number, origin=HISTORY) for number in range(5, 10)]
    assert decisions(bench.score(*old, *history)) == ["block"] * 10
    assert decisions(bench.score(*(transaction(number) for number in range(10, 14)))) == ["block"] * 3 + ["flag"]
    assert bench.cases.breaker is not None
    assert not bench.cases.breaker.buckets.get(0)


def test_a_person_s_deny_list_is_neither_counted_nor_softened(bench: Workbench) -> None:
    bench.store.marks["card", "k1:stolen"] = "deny"
    listed = [transaction(number, card="k1:stolen") for number in range(5)]
    others = [transaction(number) for number in range(5, 9)]
    assert decisions(bench.score(*listed, *others)) == ["block"] * 8 + ["flag"]
    assert decisions(bench.score(transaction(20, card="k1:stolen"))) == ["block"]


def test_rules_are_kept_within_the_limits_too(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, document=TIGHT)
    gifts = [transaction(number, category="giftcard", amount_minor=10_000) for number in range(5)]
    assert decisions(bench.score(*gifts)) == ["hold"] * 3 + ["flag"] * 2


def test_the_traffic_is_told_after_the_answers_and_at_most_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Workbench(tmp_path)
    counted: list[int] = []
    monkeypatch.setattr(bench.cases, "count_passed", counted.append)
    bench.score(*(transaction(number) for number in range(4)), transaction(0))
    assert counted == []
    bench.engine.run_deferred()
    bench.score(*(transaction(number) for number in range(4, 6)))
    bench.engine.run_deferred()
    assert counted == [4]
    bench.clock.advance(1)
    bench.engine.run_deferred()
    assert counted == [4, 2]


def test_traffic_that_the_store_did_not_take_is_told_later(tmp_path: Path) -> None:
    bench = Workbench(tmp_path)
    bench.score(transaction(1))
    bench.cases.broken = True
    bench.engine.run_deferred()
    bench.cases.broken = False
    bench.clock.advance(1)
    bench.engine.run_deferred()
    assert bench.cases.breaker is not None
    assert sum(counts[0] for counts in bench.cases.breaker.buckets.values()) == 1


def test_answers_that_could_not_be_put_on_record_are_counted_when_they_are_given(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, model=BAD, version="bad")
    events = [transaction(number) for number in range(3)]
    bench.cases.broken = True
    bench.score(*events)
    bench.cases.broken = False
    bench.engine.retry(records(events))
    assert bench.cases.breaker is not None
    assert sum(counts[0] for counts in bench.cases.breaker.buckets.values()) == 3


class State:
    """A BreakerState that has something to tell."""

    def __init__(self) -> None:
        self.is_open = False
        self.untold: list[Occurrence] = []
        self.broken = False

    def look(self) -> tuple[bool, list[Occurrence]]:
        if self.broken:
            raise StoreUnavailableError
        return self.is_open, list(self.untold)

    def note_told(self, occurrences: Sequence[Occurrence]) -> None:
        if self.broken:
            raise StoreUnavailableError
        for found in occurrences:
            self.untold.remove(found)


class MemoryPublisher:
    def __init__(self) -> None:
        self.outcomes: list[EventResult] = []
        self.waiting: list[Callable[[], None]] = []

    def publish(self, outcomes: Sequence[EventResult], delivered: Callable[[], None]) -> None:
        self.outcomes.extend(outcomes)
        self.waiting.append(delivered)

    def serve(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()

    def flush(self, timeout_s: float) -> bool:
        return True


def test_an_occurrence_is_told_until_its_alarm_is_delivered() -> None:
    state, publisher, metrics = State(), MemoryPublisher(), Metrics()
    watch = BreakerWatch(state, lambda: publisher, limits(), metrics, retailer="shop")

    def is_open() -> float | None:
        return metrics.registry.get_sample_value("tillguard_scoring_breaker_open_info", {"retailer": "shop"})

    watch.take_turn()
    assert (publisher.outcomes, is_open()) == ([], 0)
    state.is_open, state.untold = True, [Occurrence("open", 7, 7, "share", 20, 100)]
    watch.take_turn()
    (outcome,) = publisher.outcomes
    assert (outcome.key, is_open(), len(state.untold)) == (b"breaker_open-7", 1, 1)
    assert msgspec.json.decode(outcome.alarm or b"", type=Alarm).severity == "critical"
    state.broken = True
    watch.take_turn()  # delivered, but it cannot be noted
    assert len(state.untold) == 1
    state.broken = False
    watch.take_turn()
    watch.take_turn()
    assert [one.alarm for one in publisher.outcomes] == [outcome.alarm] * 2
    assert state.untold == []
