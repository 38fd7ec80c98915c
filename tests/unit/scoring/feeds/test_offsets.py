"""Offsets are committed only as far as everything before them is complete."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InvariantError
from scoring.feeds.offsets import OffsetTracker, count_unread
from scoring.ports import RawEvent


def event(offset: int, partition: int = 0) -> RawEvent:
    return RawEvent(b"{}", "shop.transactions.v1", partition, offset, 0)


def events(offsets: Sequence[int], partition: int = 0) -> list[RawEvent]:
    return [event(offset, partition) for offset in offsets]


def tracker(*partitions: int, outstanding_max: int = 1000) -> OffsetTracker:
    made = OffsetTracker(outstanding_max)
    made.assign(partitions or (0,))
    return made


def test_nothing_is_committable_before_the_first_event_is_done() -> None:
    offsets = tracker()
    taken = events([5, 6, 7])
    assignment = offsets.take(taken)
    offsets.note_done(taken[1:], assignment)
    assert offsets.list_committable() == {}
    assert offsets.outstanding == 3


def test_a_gap_that_closes_frees_everything_behind_it() -> None:
    offsets = tracker()
    taken = events([5, 6, 7])
    assignment = offsets.take(taken)
    offsets.note_done(taken[1:], assignment)
    offsets.note_done(taken[:1], assignment)
    assert offsets.list_committable() == {0: 8}
    assert offsets.outstanding == 0


def test_offsets_that_compaction_removed_are_no_gap() -> None:
    offsets = tracker()
    taken = events([3, 9, 40])
    offsets.note_done(taken, offsets.take(taken))
    assert offsets.list_committable() == {0: 41}


def test_what_was_committed_is_not_committed_again_unless_the_commit_failed() -> None:
    offsets = tracker()
    taken = events([1])
    offsets.note_done(taken, offsets.take(taken))
    offsets.note_committed(offsets.list_committable())
    assert offsets.list_committable() == {}
    offsets.note_not_committed([0])
    assert offsets.list_committable() == {0: 2}


def test_partitions_do_not_wait_for_each_other() -> None:
    offsets = tracker(0, 1)
    first, second = events([1, 2], 0), events([1, 2], 1)
    offsets.take(first)
    offsets.note_done(second, offsets.take(second))
    assert offsets.list_committable() == {1: 3}


def test_a_completion_of_an_earlier_assignment_counts_for_nothing() -> None:
    offsets = tracker(0)
    taken = events([1, 2])
    before = offsets.take(taken)
    offsets.revoke([0])
    offsets.assign([0])
    again = events([1, 2])
    offsets.take(again)
    offsets.note_done(taken, before)
    assert offsets.list_committable() == {}
    assert offsets.outstanding == 2


def test_a_completion_still_counts_when_another_partition_came_or_went() -> None:
    offsets = tracker(0, 1)
    taken = events([1])
    assignment = offsets.take(taken)
    offsets.revoke([1])
    offsets.assign([2])
    offsets.note_done(taken, assignment)
    assert offsets.list_committable() == {0: 2}


def test_assigning_a_partition_that_is_ours_keeps_its_state() -> None:
    offsets = tracker(0)
    taken = events([1])
    assignment = offsets.take(taken)
    offsets.assign([0, 1])
    offsets.note_done(taken, assignment)
    assert offsets.list_committable() == {0: 2}


def test_revoking_frees_the_bound() -> None:
    offsets = tracker(0, outstanding_max=2)
    offsets.take(events([1, 2]))
    assert offsets.full
    offsets.revoke([0])
    assert not offsets.full
    assert offsets.outstanding == 0


@pytest.mark.parametrize("bad", [events([2]), events([1]), events([4], partition=7)])
def test_an_event_out_of_place_is_a_broken_invariant(bad: list[RawEvent]) -> None:
    offsets = tracker(0)
    offsets.take(events([1, 2]))
    with pytest.raises(InvariantError):
        offsets.take(bad)


@given(
    order=st.permutations(range(24)),
    gaps=st.lists(st.integers(1, 3), min_size=24, max_size=24),
    partitions=st.integers(1, 3),
)
def test_the_commit_is_always_the_longest_complete_run(order: list[int], gaps: list[int], partitions: int) -> None:
    offsets = tracker(*range(partitions))
    taken = [event(sum(gaps[: index + 1]), index % partitions) for index in range(24)]
    assignment = offsets.take(taken)
    done: set[RawEvent] = set()
    for index in order:
        offsets.note_done([taken[index]], assignment)
        done.add(taken[index])
        for partition in range(partitions):
            mine = [e for e in taken if e.partition == partition]
            run = 0
            while run < len(mine) and mine[run] in done:
                run += 1
            assert offsets.list_committable().get(partition) == (mine[run - 1].offset + 1 if run else None)
    assert offsets.outstanding == 0
    assert offsets.completed_total == 24


def test_a_position_is_the_last_event_taken_or_what_the_reader_says() -> None:
    offsets = tracker(0, 1, 2)
    offsets.note_position(1, 40)
    offsets.take(events([5, 6], 0))
    assert offsets.list_positions() == {0: 7, 1: 40, 2: None}
    offsets.note_position(0, 9)  # two records that nobody gets
    offsets.note_position(7, 3)
    assert offsets.list_positions() == {0: 9, 1: 40, 2: None}
    offsets.take(events([9], 0))
    assert offsets.list_positions()[0] == 10


def test_a_partition_that_came_back_has_no_position_of_before() -> None:
    offsets = tracker(0)
    offsets.note_position(0, 40)
    offsets.revoke([0])
    offsets.assign([0])
    assert offsets.list_positions() == {0: None}


def test_a_reader_that_begins_elsewhere_than_was_committed_stands_there() -> None:
    offsets = tracker(0)
    offsets.note_position(0, 5_000)
    offsets.take(events([0, 1], 0))
    offsets.note_position(0, 2)
    assert offsets.list_positions() == {0: 2}


@pytest.mark.parametrize(
    ("position", "low", "high", "count"),
    [
        (1500, 0, 1500, 0),
        (None, 0, 1500, 1500),
        (None, 400, 1500, 1100),
        (100, 400, 1500, 1100),  # retention took what was not read
        (5_000, 0, 3, 3),  # a topic that was made again
        (1500, 1500, 1500, 0),  # a topic that was emptied
        (None, 0, 0, 0),
        (None, -1001, -1001, 0),  # no broker said anything yet
        (7, -1001, 9, 2),
    ],
)
def test_what_is_unread_lies_between_the_reader_and_the_end(
    position: int | None, low: int, high: int, count: int
) -> None:
    assert count_unread(position, low, high) == count


def test_a_commit_that_ends_after_its_partition_left_changes_nothing() -> None:
    offsets = tracker(0, 1)
    taken = [*events([5], 0), *events([8], 1)]
    offsets.note_done(taken, offsets.take(taken))
    offsets.revoke([0])
    offsets.note_committed({0: 6})
    offsets.note_not_committed([0])
    assert offsets.list_committable() == {1: 9}
    assert list(offsets.assignment) == [1]


def test_a_tracker_that_could_take_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="outstanding_max"):
        OffsetTracker(0)
