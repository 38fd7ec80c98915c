"""The alarms of the circuit breaker."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Protocol

import structlog

from contract.metrics import Metrics
from scoring.decision.breaker import Limits, Occurrence, build_alarm
from scoring.feeds.ports import Publisher
from scoring.ports import StoreUnavailableError
from scoring.worker.alarm_loop import AlarmLoop

log = structlog.get_logger()


class BreakerState(Protocol):
    """The breaker, as its watch sees it; both raise StoreUnavailableError."""

    def look(self) -> tuple[bool, list[Occurrence]]:
        """Whether it is open, and what this worker is to tell now; nothing where another one is at it."""
        ...

    def note_told(self, occurrences: Sequence[Occurrence]) -> None:
        """Notes that these were told, so that they do not come again."""
        ...


class BreakerWatch(AlarmLoop):
    """Raises the breaker's alarms. Every worker may run one: the store gives each occurrence to one of them.

    An alarm whose delivery nobody confirmed is raised again by whoever looks half a minute later, with the same id.
    """

    every_s = 1.0

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
        super().__init__(publisher)
        self._state = state
        self._limits = limits
        self._metrics = metrics
        self._retailer = retailer
        self.is_open: bool | None = None
        """As the store said last; None before it answered."""

    def look(self) -> None:
        """One look. Without the store every answer is degraded, which has an alert of its own."""
        try:
            self.is_open, occurrences = self._state.look()
        except StoreUnavailableError:
            return
        self._metrics.set("tillguard_scoring_breaker_open_info", int(self.is_open), retailer=self._retailer)
        if not occurrences:
            return
        alarms = [build_alarm(found, self._limits, self._retailer) for found in occurrences]
        for raised in alarms:
            log.warning(raised.kind, text=raised.text, remedy=raised.remedy, **raised.values)
        self.send(alarms, partial(self._told, occurrences))

    def _told(self, occurrences: Sequence[Occurrence]) -> None:
        with suppress(StoreUnavailableError):  # they come again, the same
            self._state.note_told(occurrences)
