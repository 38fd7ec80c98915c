"""What happens to verdicts after they were given: resolutions, what becomes known, holds whose time is over, the breaker's alarms."""

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import structlog

from contract.clock import Clock
from contract.codec import Decoder
from contract.errors import InvalidEventError
from contract.metrics import Metrics
from contract.risk import KnownOutcome
from contract.settings import Settings
from scoring.decision.breaker import Limits, Occurrence, alarm
from scoring.engine.answers import dead_letter, encode, key_of
from scoring.engine.resolutions import CaseResolver
from scoring.feeds.ports import Publisher
from scoring.ports import EventResult, Finding, RawEvent, StoreUnavailableError
from scoring.store.outcomes import finding
from scoring.store.redis_store import RedisStore

SWEEP_EVERY_S = 1.0
SWEEP_MAX = 500
"""Holds per sweep; a full sweep is followed by the next at once."""
FLUSH_S = 10.0

log = structlog.get_logger()


class ResolutionScorer:
    """A Scorer over the resolutions topic, so that resolutions go through the same pipeline as transactions."""

    def __init__(self, resolver: CaseResolver) -> None:
        self._resolver = resolver

    def submit(self, events: Sequence[RawEvent]) -> Sequence[RawEvent]:
        return events

    def collect(self, ticket: Sequence[RawEvent]) -> list[EventResult]:
        return self._resolver.resolve(ticket)

    def again(self, events: Sequence[RawEvent]) -> list[EventResult]:
        return self._resolver.resolve(events)

    def published(self) -> None:
        """Nothing follows."""


class OutcomeScorer:
    """A Scorer over the outcomes topic: what became known goes into the risk of entities. Nothing is published but dead letters."""

    def __init__(self, store: RedisStore, settings: Settings, clock: Clock, metrics: Metrics) -> None:
        """`store` is this scorer's own."""
        self._store = store
        self._retailer = settings.retailer
        self._timeout_s = settings.redis.timeout_s
        self._admission = settings.admission
        self._clock = clock
        self._metrics = metrics
        self._decoder = Decoder(KnownOutcome)

    def submit(self, events: Sequence[RawEvent]) -> Sequence[RawEvent]:
        return events

    def collect(self, ticket: Sequence[RawEvent]) -> list[EventResult]:
        outcomes: list[EventResult] = []
        findings: list[Finding] = []
        for event in ticket:
            try:
                if event.value is not None:
                    findings.append(self._finding(event))
                outcomes.append(EventResult(key=key_of(event)))
            except InvalidEventError as error:
                self._metrics.add("tillguard_scoring_dead_letters_total", retailer=self._retailer, reason=error.reason)
                outcomes.append(dead_letter(event, error, retailer=self._retailer, now=self._clock.now()))
        if not findings:
            return outcomes
        try:
            new = self._store.learn(findings).wait(self._timeout_s)
        except StoreUnavailableError:  # all again: what was applied is known then
            return [EventResult(key=key_of(event), complete=False) for event in ticket]
        self._metrics.add("tillguard_scoring_outcomes_total", new, retailer=self._retailer)
        return outcomes

    def again(self, events: Sequence[RawEvent]) -> list[EventResult]:
        return self.collect(events)

    def published(self) -> None:
        """Nothing follows."""

    def _finding(self, event: RawEvent) -> Finding:
        outcome = self._decoder.decode(event.value)
        if outcome.retailer != self._retailer:
            raise InvalidEventError("retailer_mismatch", "field retailer names another retailer")
        self._admission.check_time("event_time", outcome.event_time, self._clock.now())
        return finding(outcome)


class HoldSweeper:
    """A Loop that lets holds expire. Every worker of a retailer may run one: the store lets each hold expire once."""

    def __init__(self, resolver: CaseResolver, publisher: Publisher) -> None:
        self._resolver = resolver
        self._publisher = publisher
        self._stop = threading.Event()
        self._store_answered = True

    def run(self) -> None:
        """Until `stop`: a sweep a second. Raises DeliveryError."""
        while not self._stop.is_set():
            full = self._sweep() == SWEEP_MAX
            self._publisher.serve()
            self._stop.wait(0.0 if full else SWEEP_EVERY_S)
        if not self._publisher.flush(FLUSH_S):
            log.warning("expiries_not_delivered", remedy="they are published again within minutes")

    def stop(self) -> None:
        """Asks the loop to end."""
        self._stop.set()

    def _sweep(self) -> int:
        try:
            outcomes = self._resolver.expire(SWEEP_MAX)
        except StoreUnavailableError as error:
            if self._store_answered:
                log.warning("holds_not_swept", reason=str(error))
            self._store_answered = False
            return 0
        self._store_answered = True
        if outcomes:
            self._publisher.publish(outcomes, partial(self._resolver.confirm, outcomes))
            log.info("holds_expired", count=len(outcomes))
        return len(outcomes)


class BreakerState(Protocol):
    """The breaker, as its watch sees it; both raise StoreUnavailableError."""

    def look(self) -> tuple[bool, list[Occurrence]]:
        """Whether it is open, and what this worker is to tell now; nothing where another one is at it."""
        ...

    def told(self, occurrences: Sequence[Occurrence]) -> None:
        """Notes that these were told, so that they do not come again."""
        ...


class BreakerWatch:
    """A Loop that raises the breaker's alarms. Every worker may run one: the store gives each occurrence to one of them.

    An alarm whose delivery nobody confirmed is raised again by whoever looks half a minute later, with the same id.
    """

    def __init__(
        self,
        state: BreakerState,
        publisher: Callable[[], Publisher],
        limits: Limits,
        metrics: Metrics,
        *,
        retailer: str,
    ) -> None:
        """`publisher` makes one for this thread, when there is something to tell."""
        self._state = state
        self._make_publisher = publisher
        self._publisher: Publisher | None = None
        self._limits = limits
        self._metrics = metrics
        self._retailer = retailer
        self._stop = threading.Event()

    def run(self) -> None:
        """Until `stop`: a look a second. Raises DeliveryError."""
        while not self._stop.is_set():
            self.look()
            self._stop.wait(SWEEP_EVERY_S)
        if self._publisher is not None:
            self._publisher.flush(FLUSH_S)

    def stop(self) -> None:
        """Asks the loop to end."""
        self._stop.set()

    def look(self) -> None:
        """One look. Without the store every answer is degraded, which has an alert of its own."""
        if self._publisher is not None:
            self._publisher.serve()
        try:
            is_open, occurrences = self._state.look()
        except StoreUnavailableError:
            return
        self._metrics.set("tillguard_scoring_breaker_open_info", int(is_open), retailer=self._retailer)
        if not occurrences:
            return
        alarms = [alarm(found, self._limits, self._retailer) for found in occurrences]
        for raised in alarms:
            log.warning(raised.kind, text=raised.text, remedy=raised.remedy, **raised.values)
        self._publisher = self._publisher or self._make_publisher()
        self._publisher.publish(
            [EventResult(key=raised.alarm_id.encode(), alarm=encode(raised)) for raised in alarms],
            partial(self._told, occurrences),
        )

    def _told(self, occurrences: Sequence[Occurrence]) -> None:
        with suppress(StoreUnavailableError):  # they come again, the same
            self._state.told(occurrences)
