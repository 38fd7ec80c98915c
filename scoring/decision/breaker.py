"""How many holds and blocks a retailer allows, and what is said when more are wanted. Pure; time comes with every call.

The store decides (scoring/store/lua/breaker.lua), so that all workers of a retailer together keep the limits; the tests compare it step by
step with a reference (tests/support/breaker.py).

- Only stops that were granted count. Beyond a limit a transaction that would be held or blocked is flagged; as soon as there
  is room again, the next one is held.
- `per_minute_max`: of any 60 seconds, exactly.
- `share_max`: granted stops as a share of the transactions of the window, which slides in steps of a twentieth and so is up to
  a twentieth longer; nothing before the window holds `minimum` transactions.
- The breaker is open from the first stop that was refused until none has been refused for CLOSES_AFTER_MS.
"""

from dataclasses import dataclass
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
    def from_settings(cls, settings: BreakerSettings) -> "Limits":
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


_OPEN_REMEDY = (
    "if a model or rule is wrong, go back: tillguard models rollback, or the rules before; if it is an attack and they are right, "
    "raise scoring.breaker and restart the workers"
)
_CLOSED_REMEDY = "look at what was flagged with reason policy:breaker in the meantime"


def build_alarm(found: Occurrence, limits: Limits, retailer: str) -> Alarm:
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
