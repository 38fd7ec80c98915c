"""The order of the queue: money at stake, weighed by how soon a waiting customer is answered without anybody. Pure."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from backoffice.projection.results import TransactionLine

HORIZON = timedelta(minutes=15)
"""A hold with more time than this is no more urgent than a case that nobody waits for."""
URGENCY_MAX = 4.0
"""Weight of a hold in its last second: as if four times the money were at stake."""


def find_due(line: TransactionLine) -> datetime | None:
    """When the hold policy decides instead of a person; None where nobody waits."""
    verdict = line.verdict
    if line.case != "open" or verdict is None or verdict.decision != "hold":
        return None
    return verdict.hold_until


def measure_left_s(line: TransactionLine, now: datetime) -> float | None:
    """Seconds until then, at least 0; None where nobody waits."""
    due = find_due(line)
    return None if due is None else max(0.0, (due - now).total_seconds())


def weigh_urgency(left_s: float | None) -> float:
    """1 for what can wait, rising evenly to URGENCY_MAX when a hold ends; 0 where it has ended: nothing can be done for it."""
    if left_s is None:
        return 1.0
    if left_s <= 0.0:
        return 0.0
    passed = max(0.0, 1.0 - left_s / HORIZON.total_seconds())
    return 1.0 + (URGENCY_MAX - 1.0) * passed


def weigh(line: TransactionLine, now: datetime) -> float:
    """Expected loss times urgency, in minor units of the base currency."""
    return line.expected_loss_minor * weigh_urgency(measure_left_s(line, now))


def sort_queue(lines: Iterable[TransactionLine], now: datetime) -> list[TransactionLine]:
    """The most pressing first; what expires first where the money is alike. Each case once."""
    once = {line.transaction_id: line for line in lines}
    return sorted(once.values(), key=lambda line: _rank(line, now))


def _rank(line: TransactionLine, now: datetime) -> tuple[float, float, str]:
    left_s = measure_left_s(line, now)
    return -weigh(line, now), left_s or float("inf"), line.transaction_id
