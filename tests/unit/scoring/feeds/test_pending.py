"""Degraded events wait, bounded, and are tried again with a growing pause."""

import pytest

from scoring.feeds.pending import BACKOFF_FIRST_S, BACKOFF_MAX_S, PendingEvents, Waiting
from scoring.ports import RawEvent


def event(offset: int, partition: int = 0) -> RawEvent:
    return RawEvent(b"{}", "shop.transactions.v1", partition, offset, 0)


def offsets_of(waiting: list[Waiting]) -> list[int]:
    return [each.event.offset for each in waiting]


def test_events_are_due_a_backoff_after_they_came() -> None:
    pending = PendingEvents(10)
    pending.add([event(1)], {0: 1}, now_s=100.0)
    assert pending.take_due(100.0, 10) == []
    assert offsets_of(pending.take_due(100.0 + BACKOFF_FIRST_S, 10)) == [1]


def test_the_oldest_come_first_and_what_failed_keeps_its_place() -> None:
    pending = PendingEvents(10)
    pending.add([event(1), event(2), event(3)], {0: 1}, now_s=0.0)
    due = pending.take_due(1.0, 2)
    assert offsets_of(due) == [1, 2]
    pending.put_back(due[1:], progress=True, now_s=1.0)
    assert offsets_of(pending.take_due(1.0, 10)) == [2, 3]


def test_without_progress_the_pause_doubles_up_to_its_bound() -> None:
    pending = PendingEvents(10)
    pending.add([event(1)], {0: 1}, now_s=0.0)
    now_s = BACKOFF_FIRST_S
    pauses = []
    for _ in range(8):
        due = pending.take_due(now_s, 10)
        assert due
        pending.put_back(due, progress=False, now_s=now_s)
        pause = 0.0
        while not (again := pending.take_due(now_s + pause, 10)):
            pause += BACKOFF_FIRST_S / 2
        pending.put_back(again, progress=False, now_s=now_s - 1000.0)
        pauses.append(pause)
        now_s += 10.0
    assert pauses[0] < pauses[-1] <= BACKOFF_MAX_S + BACKOFF_FIRST_S


def test_it_is_full_at_its_bound() -> None:
    pending = PendingEvents(2)
    pending.add([event(1)], {0: 1}, now_s=0.0)
    assert not pending.full
    pending.add([event(2)], {0: 1}, now_s=0.0)
    assert pending.full


def test_events_of_partitions_that_left_are_forgotten() -> None:
    pending = PendingEvents(10)
    pending.add([event(1, 0), event(2, 1)], {0: 1, 1: 1}, now_s=0.0)
    pending.revoke([0])
    assert offsets_of(pending.take_due(9.0, 10)) == [2]


def test_a_queue_that_could_hold_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="pending_max"):
        PendingEvents(0)
