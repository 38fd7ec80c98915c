"""A connector's view of a MySQL or MariaDB log in tests: where it begins, and what comes until it has caught up."""

from collections.abc import Iterable
from contextlib import closing
from typing import Any

from connectors.ports import Checkpoint, Item, Position, Row, Unreadable
from support.connector_worlds import MysqlWorld


def begin(place: MysqlWorld) -> Position:
    """The position at which a snapshot that starts now hands over to the stream."""
    source = place.source()
    last = list(source.read_snapshot(None))[-1]
    source.close()
    assert isinstance(last, Checkpoint)
    return last.position


def stream(place: MysqlWorld, start: Position) -> list[Item]:
    """Every item from `start` until the source has nothing more."""
    found: list[Item] = []
    source = place.source()
    try:
        with closing(source.read_stream(start)) as items:  # type: ignore[type-var]
            for item in items:
                found.append(item)
                if isinstance(item, Checkpoint) and item.idle:
                    break
    finally:
        source.close()
    return found


def ids(items: Iterable[Item]) -> list[Any]:
    """Keys of the rows among `items`, in order."""
    return [item.values["id"] for item in items if isinstance(item, Row)]


def unreadable(items: Iterable[Item]) -> list[Unreadable]:
    """What the source could not read."""
    return [item for item in items if isinstance(item, Unreadable)]
