"""Which offsets may be committed: per partition, only as far as every earlier event is complete. Pure.

Kafka's log has gaps (compaction), so the tracker follows the offsets that were taken, not the numbers between them. It may end
in records that no reader gets (markers of transactions, records of an aborted one), so it also notes how far the reader came.
A partition that left and came back is another assignment: completions that belong to an earlier one are ignored.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from contract.errors import InvariantError
from scoring.ports import RawEvent


@dataclass(slots=True)
class _Partition:
    open: deque[int] = field(default_factory=deque)
    """Taken and not yet passed, ascending; the first one is not complete."""
    complete: set[int] = field(default_factory=set)
    """Complete, but behind one that is not."""
    last_taken: int = -1
    next_offset: int | None = None
    """Everything before it is complete; None until something is."""
    committed: int | None = None
    reached: int | None = None
    """The offset that the reader said it stands at; None until it said so."""

    @property
    def position(self) -> int | None:
        """The offset that is read next; None where nobody knows yet."""
        if self.last_taken < 0:
            return self.reached
        return max(self.last_taken + 1, self.reached or 0)


class OffsetTracker:
    """Contiguous completion on every assigned partition, bounded by `outstanding_max` events in all."""

    def __init__(self, outstanding_max: int) -> None:
        if outstanding_max < 1:
            raise ValueError("outstanding_max must be at least 1")
        self._outstanding_max = outstanding_max
        self._partitions: dict[int, _Partition] = {}
        self._epoch = 0
        self._assignment: Mapping[int, int] = MappingProxyType({})
        self._outstanding = 0
        self.completed_total = 0
        """Events passed since the start."""

    @property
    def assignment(self) -> Mapping[int, int]:
        """Assigned partitions, each with the epoch of its assignment; a new object whenever it changes."""
        return self._assignment

    @property
    def outstanding(self) -> int:
        """Events taken that cannot be committed yet."""
        return self._outstanding

    @property
    def full(self) -> bool:
        """True: take nothing more until something completes."""
        return self._outstanding >= self._outstanding_max

    def assign(self, partitions: Iterable[int]) -> None:
        """These partitions are ours from now on; those already assigned stay as they are."""
        self._epoch += 1
        added = {partition: self._epoch for partition in partitions if partition not in self._assignment}
        for partition in added:
            self._partitions[partition] = _Partition()
        self._assignment = MappingProxyType({**self._assignment, **added})

    def revoke(self, partitions: Iterable[int]) -> None:
        """Forgets these partitions; what is still on its way for them will be ignored."""
        gone = set(partitions)
        for partition in gone & self._partitions.keys():
            self._outstanding -= len(self._partitions.pop(partition).open)
        self._assignment = MappingProxyType({p: epoch for p, epoch in self._assignment.items() if p not in gone})

    def take(self, events: Sequence[RawEvent]) -> Mapping[int, int]:
        """Notes events as taken and returns the assignment they belong to, for `note_done`.

        Raises InvariantError for a partition that is not ours or an offset that does not rise.
        """
        partitions = self._partitions
        for event in events:
            partition = partitions.get(event.partition)
            if partition is None or event.offset <= partition.last_taken:
                raise InvariantError(f"offset {event.offset} of partition {event.partition} is out of place")
            partition.last_taken = event.offset
            partition.open.append(event.offset)
        self._outstanding += len(events)
        return self._assignment

    def note_done(self, events: Sequence[RawEvent], assignment: Mapping[int, int]) -> None:
        """Notes events as complete and delivered; `assignment` is what `take` returned for them."""
        touched: set[int] = set()
        same = assignment is self._assignment
        for event in events:
            number = event.partition
            if same or (number in self._assignment and self._assignment[number] == assignment.get(number)):
                self._partitions[number].complete.add(event.offset)
                touched.add(number)
        for number in touched:
            self._pass(self._partitions[number])

    def _pass(self, partition: _Partition) -> None:
        passed = 0
        while partition.open and partition.open[0] in partition.complete:
            offset = partition.open.popleft()
            partition.complete.remove(offset)
            partition.next_offset = offset + 1
            passed += 1
        self._outstanding -= passed
        self.completed_total += passed

    def list_committable(self) -> dict[int, int]:
        """Next offset of each partition where it moved since `note_committed` was last told."""
        return {
            number: partition.next_offset
            for number, partition in self._partitions.items()
            if partition.next_offset is not None and partition.next_offset != partition.committed
        }

    def note_committed(self, offsets: Mapping[int, int]) -> None:
        """Notes what was committed, so that it is not committed again."""
        for number, offset in offsets.items():
            if number in self._partitions:
                self._partitions[number].committed = offset

    def note_not_committed(self, partitions: Iterable[int]) -> None:
        """Notes that a commit failed, so that it is tried again."""
        for number in partitions:
            if number in self._partitions:
                self._partitions[number].committed = None

    def note_position(self, partition: int, offset: int) -> None:
        """Notes where the reader stands: the committed offset it begins at, or the end that it reached.

        The newest word holds: a reader whose offset is out of range begins elsewhere.
        """
        if partition in self._partitions:
            self._partitions[partition].reached = offset

    def list_positions(self) -> dict[int, int | None]:
        """Per assigned partition the offset that is read next; None where none was taken and nobody said where it begins."""
        return {number: partition.position for number, partition in list(self._partitions.items())}


def count_unread(position: int | None, low: int, high: int) -> int:
    """How many offsets lie between a reader and the end of a partition whose log holds [low, high).

    A reader without a position, or with one that is out of range, begins at `low`, as `auto.offset.reset: earliest` says.
    """
    low = max(0, low)
    begins = low if position is None or not low <= position <= high else position
    return max(0, high - begins)
