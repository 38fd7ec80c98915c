"""What happens between reading and committing, the same for every feed: score, publish, retry, complete.

Driven by one thread, does no input or output itself. Two batches may be open: while one waits for the store, the one
before it is finished. An event is done when its result is complete and all its messages are delivered.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from contract.clock import Clock, to_epoch_ms
from scoring.feeds.offsets import OffsetTracker
from scoring.feeds.pace import Pace
from scoring.feeds.pending import PendingEvents
from scoring.feeds.ports import Publisher, Scorer
from scoring.ports import EventResult, RawEvent

OPEN_BATCHES_MAX = 2


class _Open(NamedTuple):
    events: Sequence[RawEvent]
    assignment: Mapping[int, int]
    ticket: Any
    submit_s: float


class Pipeline:
    """Owns the events between a feed's read and its commit."""

    def __init__(
        self,
        scorer: Scorer,
        publisher: Publisher,
        clock: Clock,
        *,
        batch_max: int,
        pending_max: int,
        budget_s: float | None = None,
        outstanding_max: int | None = None,
    ) -> None:
        """Takes the bounds of everything.

        `budget_s` is what an event may take from receipt to answer, None where nobody waits; `outstanding_max` bounds the
        events between read and commit, eight times as many as may wait by default.
        """
        self.tracker = OffsetTracker(outstanding_max or 8 * max(pending_max, batch_max))
        self.pending = PendingEvents(pending_max)
        self._scorer = scorer
        self._publisher = publisher
        self._clock = clock
        self._batch_max = batch_max
        self._pace = Pace(batch_max, budget_s)
        self._in_time = True
        self._open: deque[_Open] = deque()
        self.taken_total = 0
        self._taken_ms: int | None = None

    @property
    def open_batches(self) -> int:
        """Batches submitted and not yet collected."""
        return len(self._open)

    @property
    def batch_max(self) -> int:
        """How many events the next batch may hold, to be answered in time where somebody still waits."""
        return self._pace.batch_max if self._in_time else self._batch_max

    @property
    def full(self) -> bool:
        """True: the feed must not take more for now."""
        return self.pending.full or self.tracker.full

    def measure_behind_s(self, lag: int) -> float | None:
        """How far behind the topic's end the newest event taken is, where `lag` others wait; None before the first was taken."""
        if not lag:
            return 0.0
        if self._taken_ms is None:
            return None
        return max(0, to_epoch_ms(self._clock.now()) - self._taken_ms) / 1000

    def submit(self, events: Sequence[RawEvent]) -> None:
        """Takes a batch of one or more and starts it; collects the oldest one first where too many are open."""
        while len(self._open) >= OPEN_BATCHES_MAX:
            self.collect()
        assignment = self.tracker.take(events)
        self.taken_total += len(events)
        self._taken_ms = events[-1].appended_ms
        self._in_time = not events[-1].is_given_up(to_epoch_ms(self._clock.now()))
        began_s = self._clock.monotonic_s()
        ticket = self._scorer.submit(events)
        self._open.append(_Open(events, assignment, ticket, self._clock.monotonic_s() - began_s))

    def collect(self) -> None:
        """Finishes the oldest open batch."""
        events, assignment, ticket, submit_s = self._open.popleft()
        began_s = self._clock.monotonic_s()
        results = self._scorer.collect(ticket)
        self._pace.learn(len(events), submit_s + self._clock.monotonic_s() - began_s)
        complete, waiting = _split(events, results)
        self.pending.add(waiting, assignment, self._clock.monotonic_s())
        self._publisher.publish(results, partial(self.tracker.note_done, complete, assignment))
        self._scorer.run_deferred()

    def retry(self) -> None:
        """Tries the oldest waiting events again, when they are due; the open batches first, for somebody waits for these."""
        due = self.pending.take_due(self._clock.monotonic_s(), self.batch_max)
        if not due:
            return
        while self._open:
            self.collect()
        results = self._scorer.retry([waiting.event for waiting in due])
        failed = [waiting for waiting, result in zip(due, results, strict=True) if not result.complete]
        for waiting, result in zip(due, results, strict=True):
            done = [waiting.event] if result.complete else []
            self._publisher.publish([result], partial(self.tracker.note_done, done, waiting.assignment))
        self._scorer.run_deferred()
        self.pending.put_back(failed, progress=len(failed) < len(due), now_s=self._clock.monotonic_s())

    def drain(self, timeout_s: float) -> bool:
        """Finishes every open batch and waits for deliveries; False when time ran out (nothing is lost: offsets wait)."""
        while self._open:
            self.collect()
        return self._publisher.flush(timeout_s)

    def revoke(self, partitions: Collection[int]) -> None:
        """Forgets partitions that are no longer ours."""
        self.pending.revoke(partitions)
        self.tracker.revoke(partitions)


def _split(events: Sequence[RawEvent], results: Sequence[EventResult]) -> tuple[Sequence[RawEvent], list[RawEvent]]:
    if all(result.complete for result in results) and len(events) == len(results):
        return events, []
    complete: list[RawEvent] = []
    waiting: list[RawEvent] = []
    for event, result in zip(events, results, strict=True):
        (complete if result.complete else waiting).append(event)
    return complete, waiting
