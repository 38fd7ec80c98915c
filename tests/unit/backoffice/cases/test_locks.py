"""When a lock holds, and for whom."""

from datetime import timedelta

from backoffice.cases.locks import LOCK_FOR, CaseLock, describe, is_valid, may_work
from support.desk import NOW

LOCK = CaseLock(holder_id="id-ann", by="ann", taken_at=NOW, until=NOW + LOCK_FOR)


def test_a_lock_ends_by_itself() -> None:
    assert is_valid(LOCK, NOW + LOCK_FOR - timedelta(milliseconds=1))
    assert not is_valid(LOCK, NOW + LOCK_FOR)
    assert not is_valid(None, NOW)


def test_only_its_holder_works_on_a_locked_case() -> None:
    assert may_work(LOCK, "id-ann", NOW)
    assert not may_work(LOCK, "id-bob", NOW)
    assert may_work(LOCK, "id-bob", NOW + LOCK_FOR)
    assert may_work(None, "id-bob", NOW)


def test_who_comes_second_is_told_by_whom_and_until_when() -> None:
    assert describe(LOCK) == "ann has this case until 12:10:00 UTC"
