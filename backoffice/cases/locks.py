"""Who works on a case: a lock that ends by itself, so that nobody who went home keeps a customer waiting. Pure."""

from datetime import datetime, timedelta

from msgspec import Struct

LOCK_FOR = timedelta(minutes=10)
"""Each extension begins again from its own moment."""
LOCKS_MAX = 20
"""Cases that one person holds at once: more are not worked on, and kept from others."""


class CaseLock(Struct, frozen=True, kw_only=True):
    """One person has a case."""

    holder_id: str
    by: str
    """Name of whoever holds it."""
    taken_at: datetime
    until: datetime


def is_valid(lock: CaseLock | None, now: datetime) -> bool:
    """Whether somebody has the case at `now`."""
    return lock is not None and now < lock.until


def may_work(lock: CaseLock | None, who_id: str, now: datetime) -> bool:
    """Whether `who_id` may decide the case, or take it: nobody else has it."""
    return lock is None or not is_valid(lock, now) or lock.holder_id == who_id


def describe(lock: CaseLock) -> str:
    """For whoever comes second."""
    return f"{lock.by} has this case until {lock.until:%H:%M:%S} UTC"
