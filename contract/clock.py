"""Time as a port, so that every decision that depends on "now" can be repeated.

All times are UTC. Wall-clock time serves latency, budgets and expiry only; windows and label delays run on `event_time`.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Read by every service for latency and expiry; never blocks, never fails."""

    def now(self) -> datetime:
        """The wall-clock time in UTC, with its zone."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start that never run backwards; for budgets and durations."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told; for simulation and tests."""

    def __init__(self, now: datetime) -> None:
        self._now = now
        self._monotonic_s = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic_s(self) -> float:
        return self._monotonic_s

    def advance(self, seconds: float) -> None:
        """Moves both readings on by `seconds` (>= 0)."""
        if seconds < 0:
            raise ValueError("a clock does not run backwards")
        self._now += timedelta(seconds=seconds)
        self._monotonic_s += seconds


def to_epoch_ms(moment: datetime) -> int:
    """Milliseconds since 1970-01-01 UTC, rounded down; `moment` must carry a zone."""
    return (moment - EPOCH) // timedelta(milliseconds=1)


def from_epoch_ms(ms: int) -> datetime:
    """The UTC moment `ms` milliseconds after 1970-01-01."""
    return EPOCH + timedelta(milliseconds=ms)
