"""One suite over every transport of the federation."""

import time
from typing import Any

import pytest

from contract.errors import ConfigurationError, FencedError
from contract.federation.fields import RECORD_BYTES_MAX
from federation.transports.ports import LOGS, LogName, Outgoing, Record, Transport

DEADLINE_S = 120.0


def collect(transport: Transport, count: int) -> list[Record]:
    """Polls until `count` records are there."""
    deadline, found = time.monotonic() + DEADLINE_S, list[Record]()
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} records came"
        found += transport.poll(0.2)
    return found


def said(number: int, log: LogName = "updates") -> Outgoing:
    return Outgoing(log, b"ada", f"message {number}".encode())


def test_records_come_once_in_their_order_with_rising_offsets(world: Any) -> None:
    writer, reader = world.open("ada"), world.open("coordinator")
    reader.read_from({"updates": 0})
    writer.append([said(0), said(1)])
    writer.append([said(2)])
    found = collect(reader, 3)
    assert [record.value for record in found] == [b"message 0", b"message 1", b"message 2"]
    assert [record.key for record in found] == [b"ada"] * 3
    assert found[0].offset < found[1].offset < found[2].offset
    assert all(record.appended_ms > 0 and record.log == "updates" for record in found)
    assert reader.poll(0.0) == []


@pytest.mark.parametrize("exclusive", [False, True])
def test_a_writer_is_told_when_the_log_took_its_records_as_readers_are(world: Any, exclusive: bool) -> None:
    writer, reader = world.open("coordinator", exclusive=exclusive), world.open("bea")
    reader.read_from({"updates": 0})
    appended_ms = [writer.append([said(0), said(1)]), writer.append([said(2)])]
    read = [record.appended_ms for record in collect(reader, 3)]
    assert appended_ms == [read[1], read[2]]
    assert read[0] <= read[1] <= read[2]


def test_every_reader_reads_everything_from_where_it_chooses(world: Any) -> None:
    writer, first, second = world.open("ada"), world.open("bea"), world.open("coordinator")
    writer.append([said(number) for number in range(4)])
    first.read_from({"updates": 0})
    offsets = [record.offset for record in collect(first, 4)]
    second.read_from({"updates": offsets[2]})
    assert [record.value for record in collect(second, 2)] == [b"message 2", b"message 3"]
    second.read_from({"updates": 0})
    assert len(collect(second, 4)) == 4


def test_only_the_logs_asked_for_are_read(world: Any) -> None:
    coordinator, reader = world.open("coordinator", exclusive=True), world.open("bea")
    reader.read_from({"models": 0, "control": 0})
    coordinator.append([said(0, log) for log in LOGS])
    assert {record.log for record in collect(reader, 2)} == {"models", "control"}
    assert reader.poll(0.2) == []


def test_bounds_say_where_a_log_begins_and_ends_and_a_reader_knows_when_it_is_there(world: Any) -> None:
    coordinator, reader = world.open("coordinator", exclusive=True), world.open("bea")
    assert reader.find_bounds("control") == (0, 0)
    coordinator.append([said(0, "control"), said(1, "control")])
    coordinator.append([said(2, "control")])
    first, end = reader.find_bounds("control")
    assert first == 0
    assert end >= 3
    reader.read_from({"control": first})
    assert not reader.has_caught_up("control", end)
    deadline = time.monotonic() + DEADLINE_S
    found: list[Record] = []
    while not reader.has_caught_up("control", end):
        assert time.monotonic() < deadline
        found += reader.poll(0.2)
    assert [record.value for record in found] == [b"message 0", b"message 1", b"message 2"]


def test_a_record_of_the_greatest_size_passes_and_a_larger_one_is_refused(world: Any) -> None:
    writer, reader = world.open("ada"), world.open("coordinator")
    reader.read_from({"updates": 0})
    large = bytes(range(256)) * (RECORD_BYTES_MAX // 256)
    writer.append([Outgoing("updates", b"ada", large)] * 3)
    assert [record.value == large for record in collect(reader, 3)] == [True] * 3
    with pytest.raises(ConfigurationError):
        writer.append([Outgoing("updates", b"ada", bytes(RECORD_BYTES_MAX + 1))])
    assert reader.poll(0.2) == []


def test_a_second_exclusive_writer_fences_off_the_first_for_ever(world: Any) -> None:
    old, reader = world.open("coordinator", exclusive=True), world.open("bea")
    reader.read_from({"control": 0, "ledger": 0})
    old.append([said(0, "control")])
    new = world.open("coordinator", exclusive=True)
    with pytest.raises(FencedError):
        old.append([said(1, "control"), said(1, "ledger")])
    new.append([said(2, "control")])
    with pytest.raises(FencedError):
        old.append([said(3, "control")])
    assert [record.value for record in collect(reader, 2)] == [b"message 0", b"message 2"]
    assert reader.poll(0.2) == []


def test_an_exclusive_writer_of_another_name_is_no_rival(world: Any) -> None:
    one, other = world.open("coordinator", exclusive=True), world.open("other", exclusive=True)
    reader = world.open("bea")
    reader.read_from({"control": 0})
    one.append([said(0, "control")])
    other.append([said(1, "control")])
    one.append([said(2, "control")])
    assert [record.value for record in collect(reader, 3)] == [b"message 0", b"message 1", b"message 2"]


def test_closing_twice_does_no_harm(world: Any) -> None:
    transport = world.open("ada")
    transport.append([said(0)])
    transport.close()
    transport.close()
    reader = world.open("bea")
    reader.read_from({"updates": 0})
    assert [record.value for record in collect(reader, 1)] == [b"message 0"]
