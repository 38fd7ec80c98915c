"""Where reading a partition begins. Pure."""

from typing import NamedTuple

from backoffice.projection.store import Position


class StartingPoint(NamedTuple):
    """The first offset to read, and what could not be continued."""

    offset: int
    missed: int = 0
    """Records that retention dropped before they were read."""
    is_other_topic: bool = False
    """The saved position is of a topic that was deleted, and made again under its name."""


def choose_start(saved: Position | None, topic_id: str, low: int, high: int) -> StartingPoint:
    """The point from which nothing is left out that the topic still holds.

    Args:
        saved: how far the partition was read; None where it was not.
        topic_id: the broker's id of the topic as it is now.
        low: the first offset that the partition holds.
        high: the offset of the record that comes next.
    """
    if saved is None:
        return StartingPoint(low)
    if saved.topic_id != topic_id or saved.next_offset > high:
        return StartingPoint(low, is_other_topic=True)
    return StartingPoint(max(low, saved.next_offset), missed=max(0, low - saved.next_offset))
