"""A cursor over the bytes of one event, and the one error for bytes that do not fit their format. Pure."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from contract.errors import TillguardError

DAMAGE = (ValueError, LookupError, ArithmeticError, struct.error, TypeError, EOFError)
"""What Python raises when bytes do not follow the format that they claim. UnicodeDecodeError is a ValueError."""


class MalformedEventError(TillguardError):
    """The bytes of an event do not follow its format; the text names the format, never the bytes."""


@contextmanager
def translate_read_errors(what: str) -> Iterator[None]:
    """Turns every error of a decoder into MalformedEventError, which names `what` was read."""
    try:
        yield
    except DAMAGE as error:
        raise MalformedEventError(f"{what} does not follow its format ({type(error).__name__})") from None


class Cursor:
    """Reads little-endian values one after another; EOFError where the bytes end too early."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at

    def count_left(self) -> int:
        """Bytes that were not read yet."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        end = self._at + count
        if count < 0 or end > len(self._data):
            raise EOFError
        found = self._data[self._at : end]
        self._at = end
        return found

    def take_rest(self) -> bytes:
        """Every byte that is left."""
        return self.take(self.count_left())

    def take_number(self, width: int) -> int:
        """An unsigned number of `width` bytes."""
        return int.from_bytes(self.take(width), "little")

    def take_uuid(self) -> str:
        """Sixteen bytes in the notation of a UUID."""
        return str(UUID(bytes=self.take(16)))

    def take_packed(self) -> int:
        """A number in the protocol's length encoding."""
        first = self.take_number(1)
        if first < 0xFB:
            return first
        width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
        if width is None:
            raise ValueError
        return self.take_number(width)

    def take_varint(self) -> int:
        """An unsigned number as MySQL's serialization library writes it: trailing ones of the first byte count more bytes."""
        first = self.take_number(1)
        more = 0
        while first >> more & 1:
            more += 1
        if more >= 8:  # nine bytes: the first is all ones
            return self.take_number(8)
        value = first >> (more + 1)
        return value | self.take_number(more) << (7 - more)

    def take_signed_varint(self) -> int:
        """As `take_varint`, with the sign in the lowest bit."""
        found = self.take_varint()
        return -(found >> 1) - 1 if found & 1 else found >> 1
