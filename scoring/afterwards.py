"""What happens to verdicts after they were given: resolutions from their topic, and holds whose time is over."""

import threading
from collections.abc import Sequence
from functools import partial

import structlog

from scoring.feeds.ports import Publisher
from scoring.ports import Outcome, RawEvent, StoreUnavailableError
from scoring.settlement import Settlement

SWEEP_EVERY_S = 1.0
SWEEP_MAX = 500
"""Holds per sweep; a full sweep is followed by the next at once."""
FLUSH_S = 10.0

log = structlog.get_logger()


class ResolutionScorer:
    """A Scorer over the resolutions topic, so that resolutions go through the same pipeline as transactions."""

    def __init__(self, settlement: Settlement) -> None:
        self._settlement = settlement

    def submit(self, events: Sequence[RawEvent]) -> Sequence[RawEvent]:
        return events

    def collect(self, ticket: Sequence[RawEvent]) -> list[Outcome]:
        return self._settlement.resolve(ticket)

    def again(self, events: Sequence[RawEvent]) -> list[Outcome]:
        return self._settlement.resolve(events)

    def published(self) -> None:
        """Nothing follows."""


class HoldSweeper:
    """A Loop that lets holds expire. Every worker of a retailer may run one: the store lets each hold expire once."""

    def __init__(self, settlement: Settlement, publisher: Publisher) -> None:
        self._settlement = settlement
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
            outcomes = self._settlement.expire(SWEEP_MAX)
        except StoreUnavailableError as error:
            if self._store_answered:
                log.warning("holds_not_swept", reason=str(error))
            self._store_answered = False
            return 0
        self._store_answered = True
        if outcomes:
            self._publisher.publish(outcomes, partial(self._settlement.confirm, outcomes))
            log.info("holds_expired", count=len(outcomes))
        return len(outcomes)
