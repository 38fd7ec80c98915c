"""Holds the events of one transaction: in memory while they are few, in an unnamed private file when they are many."""

import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from contract.errors import TransientError

MEMORY_BYTES_MAX = 8 * 1024 * 1024
"""Beyond this, a transaction's events go to the folder of temporary files (TMPDIR)."""
SETTLED_BYTES_MAX = 64 * 1024
"""As above, for a prepared transaction that waits for its verdict."""
_RECORD = struct.Struct("<BII")


class Record(NamedTuple):
    """One event as it is held."""

    code: int
    timestamp: int
    body: bytes


class Spool:
    """See transactions.Store. The file has no name, so nothing is left of it when the process ends, however it ends."""

    def __init__(self, *, memory_bytes_max: int = MEMORY_BYTES_MAX) -> None:
        """Opens nothing.

        Args:
            memory_bytes_max: Bytes that are held in memory.
        """
        self._file = tempfile.SpooledTemporaryFile(max_size=memory_bytes_max, prefix="tillguard-")  # noqa: SIM115 - closed by `close`

    def append(self, code: int, timestamp: int, body: bytes) -> None:
        """Adds an event; raises TransientError where the disk is full."""
        with _told():
            self._file.write(_RECORD.pack(code, timestamp, len(body)))
            self._file.write(body)

    def mark(self) -> int:
        return self._file.tell()

    def cut(self, mark: int) -> None:
        with _told():
            self._file.seek(mark)
            self._file.truncate()

    def settle(self) -> None:
        if self._file.tell() > SETTLED_BYTES_MAX:
            with _told():
                self._file.rollover()

    def read_records(self) -> Iterator[Record]:
        """Every event, in order."""
        with _told():
            self._file.seek(0)
        while record := self._next():
            yield record

    def close(self) -> None:
        with suppress(OSError):  # a full disk shows at the last write, and nobody needs it any more
            self._file.close()

    def _next(self) -> Record | None:
        with _told():
            head = self._file.read(_RECORD.size)
            if not head:
                return None
            code, timestamp, length = _RECORD.unpack(head)
            return Record(code, timestamp, self._file.read(length))


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TransientError(
            f"a large transaction cannot be held in {tempfile.gettempdir()} ({error.strerror}): make room there, or name "
            "another folder by TMPDIR"
        ) from None
