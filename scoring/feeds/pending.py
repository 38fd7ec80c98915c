"""Events that were answered degraded and wait for their full answer. Pure; bounded by its reader, who pauses when full."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from scoring.ports import RawEvent

BACKOFF_FIRST_S = 0.05
BACKOFF_MAX_S = 1.0
"""A store that comes back is noticed within a second."""


class Waiting(NamedTuple):
    """One event and the assignment under which it was taken."""

    event: RawEvent
    assignment: Mapping[int, int]


class PendingEvents:
    """First in, first out, with one backoff for all: they wait for the same store or model."""

    def __init__(self, pending_max: int) -> None:
        if pending_max < 1:
            raise ValueError("pending_max must be at least 1")
        self._pending_max = pending_max
        self._waiting: deque[Waiting] = deque()
        self._backoff_s = BACKOFF_FIRST_S
        self._next_try_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """True: no further event may be taken until some of these are answered."""
        return len(self._waiting) >= self._pending_max

    def add(self, events: Sequence[RawEvent], assignment: Mapping[int, int], now_s: float) -> None:
        """Adds events; the first ones are due a backoff later."""
        if events and not self._waiting:
            self._backoff_s = BACKOFF_FIRST_S
            self._next_try_s = now_s + self._backoff_s
        self._waiting.extend(Waiting(event, assignment) for event in events)

    def take_due(self, now_s: float, limit: int) -> list[Waiting]:
        """Takes out up to `limit` events, oldest first, or none before the backoff is over."""
        if now_s < self._next_try_s:
            return []
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def put_back(self, failed: Sequence[Waiting], *, progress: bool, now_s: float) -> None:
        """Puts back what is still not complete; with no progress the next try waits twice as long."""
        self._waiting.extendleft(reversed(failed))
        self._backoff_s = BACKOFF_FIRST_S if progress else min(2 * self._backoff_s, BACKOFF_MAX_S)
        self._next_try_s = now_s + (0.0 if progress else self._backoff_s)

    def revoke(self, partitions: Collection[int]) -> None:
        """Forgets the events of partitions that are no longer ours: their next owner reads them again."""
        self._waiting = deque(waiting for waiting in self._waiting if waiting.event.partition not in partitions)
