"""The circuit breaker in words that a person can check: the reference that the store's script is compared with."""

from collections import deque
from dataclasses import dataclass, field

from scoring.decision.breaker import CLOSES_AFTER_MS, MINUTE_MS, Limit, Limits, Occurrence


@dataclass
class Breaker:
    """One retailer's counts, in memory."""

    limits: Limits
    granted_ms: deque[int] = field(default_factory=deque)
    buckets: dict[int, list[int]] = field(default_factory=dict)
    """By step: transactions, and stops that were granted."""
    since_ms: int | None = None
    last_ms: int = 0
    """When a stop was refused last."""
    limit: Limit = "per_minute"
    refused: int = 0
    occurrences: list[Occurrence] = field(default_factory=list)

    def passed(self, transactions: int, now_ms: int) -> None:
        """Counts live transactions that were answered."""
        self._bucket(now_ms)[0] += transactions

    def admits(self, now_ms: int) -> bool:
        """Whether one more hold or block may be; counts it if so, and the refusal if not."""
        stops, transactions = self._in_window(now_ms)
        if self._minute_is_full(now_ms):
            self._refuse("per_minute", now_ms, self.limits.per_minute_max or 0, 0)
            return False
        if self._share_is_full(stops, transactions):
            self._refuse("share", now_ms, stops, transactions)
            return False
        self.granted_ms.append(now_ms)
        self._bucket(now_ms)[1] += 1
        return True

    def look(self, now_ms: int) -> bool:
        """Closes it where nothing was refused for long enough; whether it is open."""
        if self.since_ms is not None and now_ms - self.last_ms >= CLOSES_AFTER_MS:
            self.occurrences.append(Occurrence("closed", self.since_ms, now_ms, self.limit, self.refused, 0))
            self.since_ms = None
        return self.since_ms is not None

    def _bucket(self, now_ms: int) -> list[int]:
        return self.buckets.setdefault(now_ms // self.limits.bucket_ms, [0, 0])

    def _in_window(self, now_ms: int) -> tuple[int, int]:
        width = self.limits.bucket_ms
        begin_ms = now_ms - self.limits.window_ms
        self.buckets = {step: counts for step, counts in self.buckets.items() if (step + 1) * width > begin_ms}
        return sum(counts[1] for counts in self.buckets.values()), sum(counts[0] for counts in self.buckets.values())

    def _minute_is_full(self, now_ms: int) -> bool:
        most = self.limits.per_minute_max
        while self.granted_ms and now_ms - self.granted_ms[0] >= MINUTE_MS:
            self.granted_ms.popleft()
        return most is not None and len(self.granted_ms) >= most

    def _share_is_full(self, stops: int, transactions: int) -> bool:
        most = self.limits.share_max
        return most is not None and transactions >= self.limits.minimum and stops + 1 > most * transactions

    def _refuse(self, limit: Limit, now_ms: int, stops: int, transactions: int) -> None:
        self.look(now_ms)
        if self.since_ms is None:
            self.since_ms, self.limit, self.refused = now_ms, limit, 0
            self.occurrences.append(Occurrence("open", now_ms, now_ms, limit, stops, transactions))
        self.last_ms = now_ms
        self.refused += 1
