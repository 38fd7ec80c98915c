"""The text of a statement in the log, and what it ran under."""

import struct

import pytest

from connectors.mysql.log.cursor import MalformedEventError
from connectors.mysql.log.framing import Event
from connectors.mysql.log.queries import Query, read_load, read_query

MODE = b"\x01" + struct.pack("<Q", 0x4 | 0x100000)


def event(status: bytes, text: bytes = b"DROP TABLE t", database: bytes = b"shop", extra: bytes = b"") -> Event:
    head = struct.pack("<IIBHH", 1, 2, len(database), 0, len(status)) + extra
    return Event(timestamp=0, code=2, server_id=1, end=0, flags=0, body=head + status + database + b"\0" + text)


def test_a_statement_has_its_database_and_its_text() -> None:
    assert read_query(event(b"")) == Query("shop", "DROP TABLE t")
    assert read_query(event(b"", "é".encode() + b"\xff", b"")) == Query("", "é\udcff")


def test_a_loading_statement_has_thirteen_bytes_more_in_its_head() -> None:
    assert read_load(event(MODE, extra=bytes(13))) == Query(
        "shop", "DROP TABLE t", None, ansi_quotes=True, backslash_escapes=False
    )


@pytest.mark.parametrize(
    ("mode", "quotes", "escapes"), [(0, False, True), (0x4, True, True), (0x100000, False, False), (0xFFFF, True, True)]
)
def test_the_mode_says_what_quotes_and_backslashes_mean(mode: int, quotes: bool, escapes: bool) -> None:
    found = read_query(event(b"\x01" + struct.pack("<Q", mode)))
    assert (found.ansi_quotes, found.backslash_escapes) == (quotes, escapes)


@pytest.mark.parametrize(
    "before",
    [
        b"", b"\x00" + bytes(4), b"\x03" + bytes(4), b"\x04" + bytes(6), b"\x07" + bytes(2), b"\x09" + bytes(8), b"\x0d" + bytes(3), b"\x10" + bytes(1),
        b"\x11" + bytes(8), b"\x02\x03std\x00", b"\x05\x03UTC", b"\x06\x03std", b"\x0b\x01u\x04host", MODE,
    ],
)  # fmt: skip
def test_what_stands_before_the_databases_is_stepped_over(before: bytes) -> None:
    found = read_query(event(before + b"\x0c\x02shop\0till\0"))
    assert found.updated == frozenset({"shop", "till"})


def test_databases_that_the_server_does_not_tell_or_that_stand_behind_something_unknown_are_not_known() -> None:
    assert read_query(event(b"\x0c\xfe")).updated is None
    assert read_query(event(b"\xc8\x0c\x01shop\0")).updated is None
    assert read_query(event(b"\x0c\x00")).updated == frozenset()


@pytest.mark.parametrize("status", [b"\x01\x00", b"\x05\x09UTC", b"\x09"])
def test_a_status_that_ends_too_early_is_malformed(status: bytes) -> None:
    with pytest.raises(MalformedEventError, match="a QUERY event"):
        read_query(event(status))
