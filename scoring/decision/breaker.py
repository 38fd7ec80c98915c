"""How many holds and blocks a retailer allows, and what is said when more are wanted. Pure; time comes with every call.

The store decides (scoring/store/lua/breaker.lua), so that all workers of a retailer together keep the limits; `Breaker` here is the same
in words that a person can check, and the tests compare the two step by step.

- Only stops that were granted count. Beyond a limit a transaction that would be held or blocked is flagged; as soon as there
  is room again, the next one is held.
- `per_minute_max`: of any 60 seconds, exactly.
- `share_max`: granted stops as a share of the transactions of the window, which slides in steps of a twentieth and so is up to
  a twentieth longer; nothing before the window holds `minimum` transactions.
- The breaker is open from the first stop that was refused until none has been refused for CLOSES_AFTER_MS.
"""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from contract.alarms import Alarm
from contract.clock import from_epoch_ms
from contract.policies import BreakerSettings

MINUTE_MS = 60_000
CLOSES_AFTER_MS = 60_000
STEPS = 20
"""Of the share's window."""
ALARMS_MAX = 100
"""Occurrences that wait to be told; the oldest are forgotten beyond it."""

Limit = Literal["per_minute", "share"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a retailer allows; None: no such limit."""

    per_minute_max: int | None
    share_max: float | None
    window_ms: int
    minimum: int
    """Transactions in the window before the share counts."""

    @classmethod
    def of(cls, settings: BreakerSettings) -> "Limits":
        """The limits that the settings name."""
        return cls(
            settings.per_minute_max,
            settings.share_max,
            int(settings.share_window_s * 1000),
            settings.share_min_transactions,
        )

    @property
    def on(self) -> bool:
        """Whether there is any limit."""
        return self.per_minute_max is not None or self.share_max is not None

    @property
    def bucket_ms(self) -> int:
        """One step of the share's window."""
        return max(1, self.window_ms // STEPS)


class Occurrence(NamedTuple):
    """The breaker opened, or closed again."""

    kind: Literal["open", "closed"]
    since_ms: int
    """When it opened; names the occurrence."""
    at_ms: int
    """When this was noticed."""
    limit: Limit
    stops: int
    """Opened: granted holds and blocks of the limit's window. Closed: how many were flagged in their place meanwhile."""
    transactions: int
    """Opened by the share: transactions of its window; else 0."""


@dataclass
class Breaker:
    """The reference: one retailer's counts, in memory."""

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


_OPEN_REMEDY = (
    "if a model or rule is wrong, go back: tillguard models rollback, or the rules before; if it is an attack and they are right, "
    "raise scoring.breaker and restart the workers"
)
_CLOSED_REMEDY = "look at what was flagged with reason policy:breaker in the meantime"


def alarm(found: Occurrence, limits: Limits, retailer: str) -> Alarm:
    """What a person is told; the same for the same occurrence, whoever tells it."""
    closed = found.kind == "closed"
    return Alarm(
        alarm_id=f"breaker_{found.kind}-{found.since_ms}",
        retailer=retailer,
        kind=f"breaker_{found.kind}",
        severity="info" if closed else "critical",
        raised_at=from_epoch_ms(found.at_ms),
        part="scoring",
        subject=retailer,
        text=_closed_text(found) if closed else _open_text(found, limits),
        remedy=_CLOSED_REMEDY if closed else _OPEN_REMEDY,
        values={"flagged": float(found.stops)}
        if closed
        else {"stops": float(found.stops), "transactions": float(found.transactions)},
    )


def _closed_text(found: Occurrence) -> str:
    return f"within the limits again; {found.stops} transactions were flagged that would have been held or blocked"


def _open_text(found: Occurrence, limits: Limits) -> str:
    if found.limit == "per_minute":
        return f"more than {found.stops} holds and blocks within a minute; what would be held or blocked is flagged"
    return (
        f"{found.stops} holds and blocks among the last {found.transactions} transactions and more are wanted than "
        f"{(limits.share_max or 0.0):.0%} in {limits.window_ms / 1000:.0f} s; what would be held or blocked is flagged"
    )
