"""Between read and commit: an event is done when its answer is full and every message of it is delivered."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.clock import ManualClock, to_epoch_ms
from scoring.feeds.pipeline import Pipeline
from scoring.ports import EventResult, RawEvent


class MemoryPublisher:
    """Delivers only when told, in any order."""

    def __init__(self) -> None:
        self.outcomes: list[EventResult] = []
        self.undelivered: list[Callable[[], None]] = []

    def publish(self, outcomes: Sequence[EventResult], delivered: Callable[[], None]) -> None:
        self.outcomes.extend(outcomes)
        self.undelivered.append(delivered)

    def serve(self) -> None:
        self.flush(0)

    def flush(self, timeout_s: float) -> bool:
        while self.undelivered:
            self.undelivered.pop(0)()
        return True


class MemoryScorer:
    """Answers degraded while `store_up` is False."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.event_takes_s = 0.0
        self.store_up = True
        self.open = 0
        self.open_most = 0
        self.tried_again: list[int] = []
        self.publisher: MemoryPublisher | None = None
        self.published_after: list[int] = []

    def submit(self, events: Sequence[RawEvent]) -> list[RawEvent]:
        self.open += 1
        self.open_most = max(self.open_most, self.open)
        return list(events)

    def collect(self, ticket: list[RawEvent]) -> list[EventResult]:
        self.open -= 1
        self.clock.advance(len(ticket) * self.event_takes_s)
        return [
            EventResult(key=b"k", verdict=b"full" if self.store_up else b"degraded", complete=self.store_up)
            for _ in ticket
        ]

    def run_deferred(self) -> None:
        assert self.publisher is not None
        self.published_after.append(len(self.publisher.outcomes))

    def retry(self, events: Sequence[RawEvent]) -> list[EventResult]:
        self.tried_again.extend(event.offset for event in events)
        verdict = b"full" if self.store_up else None
        return [EventResult(key=b"k", verdict=verdict, complete=self.store_up) for _ in events]


class Bench:
    """A pipeline with everything around it in memory."""

    def __init__(self, pending_max: int = 100, batch_max: int = 10, budget_s: float | None = None) -> None:
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.scorer = MemoryScorer(self.clock)
        self.publisher = MemoryPublisher()
        self.scorer.publisher = self.publisher
        self.pipeline = Pipeline(
            self.scorer,
            self.publisher,
            self.clock,
            batch_max=batch_max,
            pending_max=pending_max,
            budget_s=budget_s,
            outstanding_max=1000,
        )
        self.pipeline.tracker.assign([0])
        self.next_offset = 0

    def submit(self, count: int, waited_s: float = 0.0) -> None:
        first, self.next_offset = self.next_offset, self.next_offset + count
        appended_ms = to_epoch_ms(self.clock.now()) - int(waited_s * 1000)
        self.pipeline.submit([RawEvent(b"{}", "t", 0, offset, appended_ms) for offset in range(first, first + count)])

    @property
    def committable(self) -> int | None:
        return self.pipeline.tracker.list_committable().get(0)


def test_an_offset_waits_for_the_delivery_of_its_messages() -> None:
    bench = Bench()
    bench.submit(3)
    bench.pipeline.collect()
    assert bench.committable is None
    bench.publisher.serve()
    assert bench.committable == 3


def test_what_must_not_delay_answers_comes_after_they_are_with_the_publisher() -> None:
    bench = Bench()
    bench.submit(3)
    assert bench.scorer.published_after == []
    bench.pipeline.collect()
    bench.scorer.store_up = False
    bench.submit(2)
    bench.pipeline.collect()
    bench.scorer.store_up = True
    bench.clock.advance(1)
    bench.pipeline.retry()
    assert bench.scorer.published_after == [3, 5, 7]


def test_a_later_batch_that_is_delivered_first_commits_nothing_early() -> None:
    bench = Bench()
    for _ in range(2):
        bench.submit(2)
        bench.pipeline.collect()
    bench.publisher.undelivered.pop(1)()
    assert bench.committable is None
    bench.publisher.undelivered.pop(0)()
    assert bench.committable == 4


def test_at_most_two_batches_are_open() -> None:
    bench = Bench()
    for _ in range(6):
        bench.submit(1)
    assert bench.scorer.open_most == 2
    assert bench.pipeline.open_batches == 2


def test_a_degraded_answer_is_published_at_once_and_keeps_its_offset_until_the_full_one() -> None:
    bench = Bench()
    bench.scorer.store_up = False
    bench.submit(2)
    bench.pipeline.collect()
    bench.publisher.serve()
    assert [outcome.verdict for outcome in bench.publisher.outcomes] == [b"degraded"] * 2
    assert bench.committable is None
    bench.scorer.store_up = True
    bench.clock.advance(5)
    bench.pipeline.retry()
    bench.publisher.serve()
    assert [outcome.verdict for outcome in bench.publisher.outcomes[2:]] == [b"full"] * 2
    assert bench.committable == 2


def test_events_behind_a_degraded_one_are_answered_but_not_committed() -> None:
    bench = Bench()
    bench.scorer.store_up = False
    bench.submit(1)
    bench.pipeline.collect()
    bench.scorer.store_up = True
    bench.submit(4)
    bench.pipeline.collect()
    bench.publisher.serve()
    assert [outcome.verdict for outcome in bench.publisher.outcomes] == [b"degraded"] + [b"full"] * 4
    assert bench.committable is None
    bench.clock.advance(5)
    bench.pipeline.retry()
    bench.publisher.serve()
    assert bench.committable == 5


def test_the_feed_must_stop_taking_when_too_many_wait_and_may_go_on_after() -> None:
    bench = Bench(pending_max=3)
    bench.scorer.store_up = False
    bench.submit(3)
    bench.pipeline.collect()
    assert bench.pipeline.full
    bench.scorer.store_up = True
    bench.clock.advance(5)
    bench.pipeline.retry()
    assert not bench.pipeline.full


def test_revoked_partitions_are_tried_no_more() -> None:
    bench = Bench()
    bench.scorer.store_up = False
    bench.submit(3)
    bench.pipeline.collect()
    bench.pipeline.revoke([0])
    bench.clock.advance(5)
    bench.pipeline.retry()
    assert bench.scorer.tried_again == []
    assert bench.committable is None


def test_draining_finishes_what_is_open() -> None:
    bench = Bench()
    bench.submit(2)
    bench.submit(2)
    assert bench.pipeline.drain(1.0)
    assert bench.committable == 4


@given(steps=st.lists(st.sampled_from(["submit", "collect", "deliver", "fail", "heal", "retry"]), max_size=80))
def test_whatever_happens_nothing_is_committed_before_a_full_delivered_answer(steps: list[str]) -> None:
    bench = Bench(batch_max=3)
    for step in steps:
        if step == "submit":
            bench.submit(2)
        elif step == "collect" and bench.pipeline.open_batches:
            bench.pipeline.collect()
        elif step == "deliver" and bench.publisher.undelivered:
            bench.publisher.undelivered.pop(len(bench.publisher.undelivered) // 2)()
        elif step in {"fail", "heal"}:
            bench.scorer.store_up = step == "heal"
        elif step == "retry":
            bench.clock.advance(2)
            bench.pipeline.retry()
        full = sum(outcome.complete for outcome in bench.publisher.outcomes)
        assert (bench.committable or 0) <= full
    bench.scorer.store_up = True
    bench.pipeline.drain(1.0)
    for _ in range(200):
        bench.clock.advance(2)
        bench.pipeline.retry()
        bench.publisher.serve()
    assert (bench.committable or 0) == bench.next_offset
    assert len(bench.pipeline.pending) == 0


def test_a_scorer_that_loses_an_event_is_found_out() -> None:
    bench = Bench()
    bench.scorer.collect = lambda ticket: []  # type: ignore[method-assign]
    bench.submit(1)
    with pytest.raises(ValueError, match="zip"):
        bench.pipeline.collect()


def test_open_batches_are_finished_before_anything_is_tried_again() -> None:
    bench = Bench()
    bench.scorer.store_up = False
    bench.submit(2)
    bench.pipeline.collect()
    bench.scorer.store_up = True
    bench.clock.advance(5)
    bench.submit(3)
    bench.pipeline.retry()
    assert bench.pipeline.open_batches == 0
    assert [outcome.verdict for outcome in bench.publisher.outcomes] == [b"degraded"] * 2 + [b"full"] * 5


def test_batches_shrink_to_what_can_be_answered_in_time() -> None:
    bench = Bench(batch_max=100, budget_s=0.04)
    bench.scorer.event_takes_s = 0.001
    bench.submit(100)
    bench.pipeline.collect()
    assert bench.pipeline.batch_max == 10


def test_behind_an_outage_batches_are_as_large_as_they_may_be_until_events_are_fresh_again() -> None:
    bench = Bench(batch_max=100, budget_s=0.04)
    bench.scorer.event_takes_s = 0.001
    bench.submit(100, waited_s=60)
    bench.pipeline.collect()
    assert bench.pipeline.batch_max == 100
    bench.submit(100, waited_s=1)
    assert bench.pipeline.batch_max == 10


def test_how_far_it_is_behind_is_the_age_of_the_newest_event_taken_while_others_wait() -> None:
    bench = Bench()
    assert bench.pipeline.measure_behind_s(lag=5) is None
    bench.submit(1, waited_s=2.0)
    bench.clock.advance(1)
    assert bench.pipeline.measure_behind_s(lag=5) == 3.0
    assert bench.pipeline.measure_behind_s(lag=0) == 0.0
