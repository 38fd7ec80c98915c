"""Frames of the binary log: header, checksum, and the events that say where a file begins and continues. Pure."""

import struct
import zlib
from typing import NamedTuple

from connectors.mysql.log.cursor import Cursor, MalformedEventError, translate_read_errors
from connectors.mysql.log.event_types import Code
from contract.errors import TillguardError

HEADER_BYTES = 19
CHECKSUM_BYTES = 4
_HEADER = struct.Struct("<IBIIIH")
_CRC32 = 1


class Event(NamedTuple):
    """One event of the log, its checksum verified and removed."""

    timestamp: int
    """Seconds since 1970, UTC."""
    code: int
    server_id: int
    end: int
    """Where the event ends in its file, the lowest 32 bits; 0 for an event that stands in no file."""
    flags: int
    body: bytes
    size: int = 0
    """Bytes that it takes in its file, header and checksum included."""


class ChecksumError(TillguardError):
    """The bytes of an event are not those that the server wrote."""

    def __init__(self) -> None:
        super().__init__("an event was damaged on its way (its checksum differs)")


class Frames:
    """Cuts packets into events. The file's own description says whether events carry a checksum."""

    def __init__(self, *, checksums: bool) -> None:
        """Begins before the first description.

        Args:
            checksums: Whether the server sends checksums until the first description comes.
        """
        self._checksums = checksums

    def read(self, packet: bytes) -> Event:
        """The event in `packet`; raises MalformedEventError, or ChecksumError where bytes changed on their way."""
        try:
            timestamp, code, server_id, size, end, flags = _HEADER.unpack_from(packet)
        except struct.error:
            raise MalformedEventError("an event is shorter than its header") from None
        if size != len(packet):
            raise MalformedEventError("an event's length is not the one that its header gives")
        if code == Code.FORMAT_DESCRIPTION:
            self._checksums = _description_has_checksums(packet)
        stop = size
        if self._checksums and size >= HEADER_BYTES + CHECKSUM_BYTES:
            stop = size - CHECKSUM_BYTES
            fits = zlib.crc32(memoryview(packet)[:stop]) == int.from_bytes(packet[stop:], "little")
            if not fits and not (code == Code.FORMAT_DESCRIPTION and _altered_description_fits(packet, stop)):
                raise ChecksumError
        return Event(timestamp, code, server_id, end, flags, packet[HEADER_BYTES:stop], size)


def parse_event(head: bytes, body: bytes) -> Event:
    """The event with the header `head`, of HEADER_BYTES bytes."""
    timestamp, code, server_id, _, end, flags = _HEADER.unpack(head)
    return Event(timestamp, code, server_id, end, flags, body)


def _description_has_checksums(packet: bytes) -> bool:
    """The description ends with the algorithm and room for its own checksum, whatever the algorithm is."""
    if len(packet) < HEADER_BYTES + 2 + 50 + 4 + 1 + 5:
        raise MalformedEventError("a FORMAT_DESCRIPTION event is too short")
    return packet[-1 - CHECKSUM_BYTES] == _CRC32


def _altered_description_fits(packet: bytes, stop: int) -> bool:
    """Servers mark the description of a file that is still being written after they computed its checksum."""
    plain = bytearray(packet[:stop])
    plain[17] &= 0xFE  # LOG_EVENT_BINLOG_IN_USE_F
    return zlib.crc32(plain) == int.from_bytes(packet[stop:], "little")


def read_rotate(event: Event) -> tuple[str, int]:
    """The next file, and where in it reading continues."""
    with translate_read_errors("a ROTATE event"):
        cursor = Cursor(event.body)
        offset = cursor.take_number(8)
        return cursor.take_rest().decode(), offset


def read_heartbeat(event: Event) -> tuple[str, int | None]:
    """The file and offset that a quiet server has reached; no offset where it says none."""
    with translate_read_errors("a HEARTBEAT event"):
        if event.code == Code.HEARTBEAT:
            # MariaDB appends the offset where it needs more than 32 bits
            return event.body.split(b"\0")[0].decode(), event.end or None
        cursor, file, offset = Cursor(event.body), "", None
        while cursor.count_left():
            field, length = cursor.take_packed(), 0
            if field == 0:
                break
            length = cursor.take_packed()
            value = cursor.take(length)
            if field == 1:
                file = value.decode()
            elif field == 2:
                offset = Cursor(value).take_packed()
        return file, offset
