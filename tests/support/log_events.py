"""Events of the binary log for tests: real ones, as servers wrote them, and ones put together from their parts."""

import zlib
from collections.abc import Iterator
from struct import pack
from typing import Self

import zstandard

from connectors.mysql.log.framing import Event

UUID = "c50a1184-ecc2-11f1-8fb4-02fc00000001"
# as MySQL 9.7 wrote them
GTID = bytes.fromhex("01c50a1184ecc211f18fb402fc000000010300000000000000") + bytes(31)
TAGGED = (
    b'\x02t\x00\x00\x00\x02\x15\x03\x14"\x11\x02\xb1\x03\t\x03"\xc5\x03=\x02\xd1\x02\x04\xf1\x03\x00\x00\x00\x02\x04\x04\x06'
    b"\x08till\x08 \n$\x0c\x7f\xbb\x9e\xa4\x8c~a\x06\x10]\x05\x12\x83\x12\x0b"
)
TABLE_MAP = (
    b"j\x00\x00\x00\x00\x00\x01\x00\x03cap\x00\x05sales\x00\x04\x08\x12\xf6\xfe\x05\x00\x0c\x02\xfe\x0c\x0e\x01\x01\x00\x02\x03"
    b"\xfc\xff\x00\x04\x16\x02id\x02at\x06amount\x08currency\x08\x01\x00\x0c\x01\xf0"
)
"""Of cap.sales (id BIGINT, at DATETIME, amount DECIMAL(12,2), currency CHAR(3))."""
WRITE = b"j\x00\x00\x00\x00\x00\x11\x00\x02\x00\x04\xff\x00\x01\x00\x00\x00\x00\x00\x00\x00\x99\xbb|\xda\r\x80\x00\x00\x03\xe7\x00\x03EUR"
"""One row of it, with id 1."""
# as MariaDB 11.4 wrote it
PACKED_WRITE = b"\x15\x00\x00\x00\x00\x00\x01\x00\x04\x0f\x81\x18x\x9c\xfb\xc0\xc1\x00\x013w\xd7\xdc\xf2j\x002x\x18\x98]C\x83\x00ER\x05h"


def event(code: int, body: bytes, *, end: int = 0, flags: int = 0) -> Event:
    """An event without its checksum."""
    return Event(1_796_046_013, code, 1, end, flags, body, 19 + len(body))


def statement(text: str, database: str = "", file: bytes = b"") -> bytes:
    """The body of a QUERY event; with what is told of a file, of an EXECUTE_LOAD_QUERY event."""
    name = database.encode()
    return pack("<IIBHH", 8, 0, len(name), 0, 0) + file + name + b"\0" + text.encode()


def query(text: str, database: str = "") -> Event:
    """A QUERY event."""
    return event(2, statement(text, database))


def packet(code: int, body: bytes, *, checksum: bool = True, end: int = 0, flags: int = 0) -> bytes:
    """An event as a server sends it, header first."""
    size = 19 + len(body) + 4 * checksum
    plain = pack("<IBIIIH", 1_796_046_013, code, 1, size, end, flags) + body
    return plain + zlib.crc32(plain).to_bytes(4, "little") if checksum else plain


def payload(data: bytes, *, size: int | None = None, packed: bytes | None = None) -> bytes:
    """The body of a TRANSACTION_PAYLOAD event around `data`."""
    packed = zstandard.ZstdCompressor().compress(data) if packed is None else packed
    declared = b"\xfd" + (len(data) if size is None else size).to_bytes(3, "little")
    length = b"\xfd" + len(packed).to_bytes(3, "little")
    return b"\x02\x01\x00" + b"\x03\x04" + declared + b"\x01\x04" + length + b"\x00" + packed


def row(number: int) -> bytes:
    """The body of a WRITE_ROWS event: one row of TABLE_MAP's table with the id `number`."""
    return WRITE[:13] + number.to_bytes(8, "little") + WRITE[21:]


class Log:
    """A log file as a server sends it to a replica: see connectors.mysql.log.reader.Feed."""

    checksums = True

    def __init__(self, file: str = "binlog.000001") -> None:
        """Begins with the file's name and description."""
        self._packets = [packet(4, pack("<Q", 4) + file.encode(), flags=0x20)]
        self.end = 4
        self.add(15, pack("<H50sIB", 4, b"9.7.0", 0, 19) + bytes(41) + b"\x01")

    def add(self, code: int, body: bytes) -> Self:
        """One more event."""
        self.end += 19 + len(body) + 4
        self._packets.append(packet(code, body, end=self.end))
        return self

    def say(self, text: str) -> Self:
        """A statement in the database `cap`."""
        return self.add(2, statement(text, "cap"))

    def rows(self, *numbers: int) -> Self:
        """Rows of cap.sales, after the map of their table."""
        self.add(19, TABLE_MAP)
        for number in numbers:
            self.add(30, row(number))
        return self

    def begin(self, text: str = "BEGIN") -> Self:
        """The beginning of a transaction on MySQL."""
        return self.add(33, GTID).say(text)

    def commit(self) -> Self:
        """Its end."""
        return self.add(16, bytes(8))

    def quiet(self) -> Self:
        """A heartbeat."""
        self._packets.append(packet(27, b"binlog.000001", end=self.end, flags=0x20))
        return self

    def read_packets(self) -> Iterator[bytes]:
        yield from self._packets
