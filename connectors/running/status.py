"""How a connector is, as its heartbeat says it: what it reads, how far it is, and how long that still takes."""

from collections import deque
from collections.abc import Callable

from connectors.running.health import Reading, Vitals
from contract.clock import Clock
from contract.status.message import Condition, Lag, Progress

PACE_OVER_S = 60.0
"""A pace is that of the last minute: one of the whole table would long remember an hour without Kafka."""


class ConnectorStatus:
    """Used by the heartbeat's thread alone; only reads what the runner writes."""

    def __init__(self, vitals: Vitals, list_ailments: Callable[[], list[str]], clock: Clock) -> None:
        """`list_ailments` is what /health says."""
        self._vitals = vitals
        self._list_ailments = list_ailments
        self._clock = clock
        self._pace: Pace | None = None

    def look(self) -> Condition:
        """How it is now. A source that is waited for is told at once, /health waits for a minute before it asks for a restart."""
        vitals = self._vitals
        reasons = self._list_ailments() or ([vitals.away] if vitals.away else [])
        reading = vitals.reading
        return Condition(
            activity="reading" if reading else "streaming" if vitals.streaming else "starting",
            healthy=not reasons,
            reasons=reasons,
            lag=Lag(seconds=0.0 if vitals.caught_up else vitals.lag_s) if vitals.streaming and not reading else None,
            position=vitals.position,
            progress=self._observe(reading) if reading else None,
        )

    def _observe(self, reading: Reading) -> Progress:
        if self._pace is None or self._pace.reading is not reading:
            self._pace = Pace(reading)
        rows, total = reading.rows, reading.extent.rows
        rows_per_s = self._pace.measure(rows, self._clock.monotonic_s())
        return Progress(
            name=reading.extent.table[:256],
            rows=rows,
            rows_total=total,
            rows_per_s=rows_per_s,
            left_s=estimate_left_s(rows, total, rows_per_s),
            tables_after=reading.tables_after,
        )


class Pace:
    """How fast a table is read."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self._seen: deque[tuple[float, int]] = deque([(reading.began_s, reading.extent.before)])

    def measure(self, rows: int, now_s: float) -> float | None:
        """Rows a second over the last minute, from a count at monotonic time `now_s`; None at the very beginning."""
        while len(self._seen) > 1 and now_s - self._seen[1][0] >= PACE_OVER_S:
            self._seen.popleft()
        since_s, before = self._seen[0]
        self._seen.append((now_s, rows))
        return (rows - before) / (now_s - since_s) if now_s > since_s else None


def estimate_left_s(rows: int, total: int | None, rows_per_s: float | None) -> float | None:
    """How long the rest takes at this pace; None where the pace or the total is not known, or the total was too low."""
    if total is None or not rows_per_s or rows > total:
        return None
    return (total - rows) / rows_per_s
