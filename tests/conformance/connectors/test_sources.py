"""What every source promises: each row at least once, from the snapshot or the stream, whatever point it continues from."""

import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

import pytest

from connectors.ports import Checkpoint, Extent, Item, Position, Row, Source
from contract.errors import PositionDeadError
from contract.events import Transaction
from support.connector_parts import NOW
from support.connector_worlds import World, world

DEADLINE_S = 60.0


@pytest.fixture(
    params=[
        "memory",
        "csv",
        "jsonl",
        pytest.param("mysql", marks=pytest.mark.integration),
        pytest.param("mysql-gtid", marks=pytest.mark.integration),
        pytest.param("mongodb", marks=pytest.mark.integration),
    ]
)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    kind: str = request.param
    stack: Any = request.getfixturevalue("stack") if kind[0] == "m" and kind != "memory" else None
    with world(kind, stack.endpoints if stack else {}, tmp_path) as made:
        yield made


def numbers(items: list[Item]) -> list[int]:
    return [int(str(item.values.get("_id", item.values.get("id")))) for item in items if isinstance(item, Row)]


def everything(source: Source, start: Position | None = None) -> list[Item]:
    """The snapshot (or what is left of it), and the stream until it has caught up."""
    found: list[Item] = []
    if start is None or start.stage == "snapshot":
        found += source.read_snapshot(start)
        last = found[-1]
        assert isinstance(last, Checkpoint)
        start = last.position
        assert start.stage == "stream"
    return found + caught_up(source, start)


def caught_up(source: Source, start: Position) -> list[Item]:
    found: list[Item] = []
    deadline = time.monotonic() + DEADLINE_S
    stream = source.read_stream(start)
    for item in stream:
        found.append(item)
        if isinstance(item, Checkpoint) and item.idle:
            break
        assert time.monotonic() < deadline
    stream.close()  # type: ignore[attr-defined]
    source.close()
    return found


def test_every_row_comes_and_every_row_maps(place: World) -> None:
    place.write(range(30))
    found = everything(place.source())
    assert set(numbers(found)) == set(range(30))
    (extent,) = [item for item in found if isinstance(item, Extent)]
    first = next(item for item in found if isinstance(item, Row))
    assert (extent.table, extent.rows, extent.before) == (first.table, 30, 0)
    assert found.index(extent) < found.index(first)
    outcomes = [each for item in found if isinstance(item, Row) for each in place.mapper().map_row(item, NOW)]
    assert {type(each) for each in outcomes} == {Transaction}


def test_from_any_mark_on_nothing_is_missing(place: World) -> None:
    place.write(range(25))
    found = everything(place.source())
    marks = [(number, item.position) for number, item in enumerate(found) if isinstance(item, Checkpoint)]
    for number, position in Random(7).sample(marks, min(4, len(marks))):
        rest = everything(place.source(), position)
        assert set(numbers(found[:number])) | set(numbers(rest)) == set(range(25))
        for extent in (item for item in rest if isinstance(item, Extent)):
            assert extent.before <= len(numbers(found[:number]))
            assert extent.before + len(numbers(rest)) >= 25


def test_rows_committed_while_the_snapshot_runs_are_not_missed(place: World) -> None:
    if not place.live:
        pytest.skip("nothing can be written while this source reads")
    place.write(range(20))
    stop, written = Event(), list(range(20))

    def writer() -> None:
        number = 20
        while not stop.is_set() and number < 400:
            place.write([number])
            written.append(number)
            number += 1

    thread = Thread(target=writer)
    thread.start()
    source = place.source()
    found: list[Item] = []
    try:
        for item in source.read_snapshot(None):
            found.append(item)
            while len(written) < 40:
                time.sleep(0.001)  # the writer is to be at work between the snapshot's first rows
    finally:
        stop.set()
        thread.join()
    last = found[-1]
    assert isinstance(last, Checkpoint)
    found += caught_up(source, last.position)
    assert set(numbers(found)) == set(written)


def test_the_stream_goes_on_where_it_stopped(place: World) -> None:
    if not place.live:
        pytest.skip("nothing can be written while this source reads")
    place.write(range(5))
    found = everything(place.source())
    for first in (100, 200, 300):
        position = next(item.position for item in reversed(found) if isinstance(item, Checkpoint))
        place.write(range(first, first + 20))
        found = caught_up(place.source(), position)
        assert set(numbers(found)) == set(range(first, first + 20))


def test_a_quiet_source_says_that_it_is_idle(place: World) -> None:
    place.write(range(3))
    source = place.source()
    last = everything(source)[-1]
    assert isinstance(last, Checkpoint)
    assert last.idle
    assert source.describe_position(last.position)
    again = caught_up(place.source(), last.position)
    assert numbers(again) == []


def test_one_row_is_found_by_its_key(place: World) -> None:
    place.write(range(5))
    source = place.source()
    table = place.mapper().config.transactions.name
    found = source.fetch(table, "3")
    assert found is not None
    assert numbers([found]) == [3]
    assert source.fetch(table, "77") is None
    assert len(source.sample(table, 2)) == 2
    source.close()


def test_a_position_that_is_gone_is_said_to_be_dead(place: World) -> None:
    place.write(range(3))
    last = everything(place.source())[-1]
    assert isinstance(last, Checkpoint)
    dead = place.dead_position(last.position)
    if dead is None:
        pytest.skip("this server cannot tell")
    source = place.source()
    with pytest.raises(PositionDeadError):
        list(source.read_stream(dead))
    source.close()


def test_a_source_can_be_closed_twice_and_unused(place: World) -> None:
    source = place.source()
    source.close()
    source.close()


def test_a_source_in_order_has_no_faults(place: World) -> None:
    place.write([1])
    source = place.source()
    assert source.check() == []
    source.close()
