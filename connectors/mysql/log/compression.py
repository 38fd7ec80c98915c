"""Compressed parts of the log: MySQL's transaction payloads (zstd) and MariaDB's compressed events (zlib). Pure.

Every decompression has a bound: a log is written by whoever may write to the server, and must not exhaust memory here.
"""

import io
import zlib
from collections.abc import Iterator
from typing import Protocol

import zstandard

from connectors.mysql.log.cursor import Cursor, MalformedEventError, translate_read_errors
from connectors.mysql.log.event_types import Code
from connectors.mysql.log.framing import HEADER_BYTES, Event, parse_event

UNPACKED_BYTES_MAX = 1 << 30
"""MySQL caps a packet, and so a plain event, at this size."""
PAYLOAD_BYTES_MAX = 16 << 30
"""Events of a payload are read one at a time, so this bounds the time and the disk that one takes, not memory."""
_ZSTD, _PLAIN = 0, 255
_FIELDS_END, _PAYLOAD_BYTES, _ALGORITHM, _UNPACKED_BYTES = 0, 1, 2, 3
_PLAIN_CODES = {
    Code.QUERY_COMPRESSED: Code.QUERY,
    Code.WRITE_ROWS_COMPRESSED_V1: Code.WRITE_ROWS_V1,
    Code.UPDATE_ROWS_COMPRESSED_V1: Code.UPDATE_ROWS_V1,
    Code.DELETE_ROWS_COMPRESSED_V1: Code.DELETE_ROWS_V1,
    Code.WRITE_ROWS_COMPRESSED: Code.WRITE_ROWS,
    Code.UPDATE_ROWS_COMPRESSED: Code.UPDATE_ROWS,
    Code.DELETE_ROWS_COMPRESSED: Code.DELETE_ROWS,
}


class _Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


class TooLargeError(MalformedEventError):
    """What was compressed is larger than the bound."""


def read_payload(body: bytes, *, bytes_max: int = PAYLOAD_BYTES_MAX) -> Iterator[Event]:
    """The events inside the body of a TRANSACTION_PAYLOAD event, one at a time; raises MalformedEventError."""
    with translate_read_errors("a TRANSACTION_PAYLOAD event"):
        cursor, fields = Cursor(body), dict[int, int]()
        while (field := cursor.take_packed()) != _FIELDS_END:
            value = Cursor(cursor.take(cursor.take_packed()))
            fields[field] = value.take_packed()
        packed = cursor.take(fields.get(_PAYLOAD_BYTES, cursor.count_left()))
        algorithm, size = fields[_ALGORITHM], fields.get(_UNPACKED_BYTES, len(packed))
    if size > bytes_max:
        raise TooLargeError(f"a compressed transaction of {size} bytes is larger than {bytes_max}")
    if algorithm == _PLAIN:
        source: _Readable = io.BytesIO(packed)
    elif algorithm == _ZSTD:
        source = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(packed), read_across_frames=True)
    else:
        raise MalformedEventError(f"a transaction is compressed by an unknown algorithm ({algorithm})")
    yield from _inner_events(source, size)


def _inner_events(source: "_Readable", left: int) -> Iterator[Event]:
    """Events without checksums, up to the declared size and no further."""
    while left:
        head = _exactly(source, HEADER_BYTES)
        size = int.from_bytes(head[9:13], "little")
        if not HEADER_BYTES <= size <= min(left, UNPACKED_BYTES_MAX):
            raise MalformedEventError("an event inside a compressed transaction has an impossible length")
        left -= size
        # the place that the event names is none in the file
        yield parse_event(head, _exactly(source, size - HEADER_BYTES))._replace(end=0)


def _exactly(source: "_Readable", count: int) -> bytes:
    parts = []
    while count:
        try:
            part = source.read(min(count, 1 << 20))
        except zstandard.ZstdError:
            raise MalformedEventError("a compressed transaction cannot be decompressed") from None
        if not part:
            raise MalformedEventError("a compressed transaction ends too early")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def unpack_event(event: Event, *, bytes_max: int = UNPACKED_BYTES_MAX) -> Event:
    """MariaDB's compressed `event` as the plain one that it stands for; any other event as it is."""
    code = _PLAIN_CODES.get(event.code)  # type: ignore[call-overload]
    if code is None:
        return event
    with translate_read_errors("a compressed event"):
        head = _query_head(event.body) if code == Code.QUERY else _rows_head(event.body, event.code)
        plain = _unzlib(event.body[head:], bytes_max)
    return event._replace(code=int(code), body=event.body[:head] + plain)


def _query_head(body: bytes) -> int:
    """How many bytes come before a statement's text."""
    cursor = Cursor(body, 8)
    database, _, status = cursor.take_number(1), cursor.take_number(2), cursor.take_number(2)
    return 13 + status + database + 1


def _rows_head(body: bytes, code: int) -> int:
    """How many bytes come before the rows: table, flags, extra data, number of columns, and which of them are there."""
    cursor = Cursor(body, 8)
    if code >= Code.WRITE_ROWS_COMPRESSED:
        cursor.take(cursor.take_number(2) - 2)
    bitmap = (cursor.take_packed() + 7) // 8
    updates = code in (Code.UPDATE_ROWS_COMPRESSED, Code.UPDATE_ROWS_COMPRESSED_V1)
    cursor.take(bitmap * 2 if updates else bitmap)
    return len(body) - cursor.count_left()


def _unzlib(packed: bytes, bytes_max: int) -> bytes:
    """One byte says how many bytes hold the size; then the size, big-endian, and the data."""
    cursor = Cursor(packed)
    head = cursor.take_number(1)
    if head & 0xF0 != 0x80:
        raise ValueError
    size = int.from_bytes(cursor.take(head & 0x07), "big")
    if size > bytes_max:
        raise TooLargeError(f"a compressed event of {size} bytes is larger than {bytes_max}")
    stream = zlib.decompressobj()
    try:
        plain = stream.decompress(cursor.take_rest(), size + 1)
    except zlib.error:
        raise ValueError from None
    if len(plain) != size:
        raise ValueError
    return plain
