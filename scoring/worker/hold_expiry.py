"""Holds whose time is over get their last answer."""

import threading
from functools import partial

import structlog

from scoring.engine.resolutions import CaseResolver
from scoring.feeds.ports import Publisher
from scoring.ports import StoreUnavailableError

SWEEP_EVERY_S = 1.0
SWEEP_MAX = 500
"""Holds per sweep; a full sweep is followed by the next at once."""
FLUSH_S = 10.0

log = structlog.get_logger()


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
            results = self._resolver.expire(SWEEP_MAX)
        except StoreUnavailableError as error:
            if self._store_answered:
                log.warning("holds_not_swept", reason=str(error))
            self._store_answered = False
            return 0
        self._store_answered = True
        if results:
            self._publisher.publish(results, partial(self._resolver.confirm, results))
            log.info("holds_expired", count=len(results))
        return len(results)
