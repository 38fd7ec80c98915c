"""Numbers and texts with a length in front, as the binary log packs them. Pure."""

from collections.abc import Callable

from contract.errors import TillguardError

Read = Callable[[bytes, int], tuple[object, int]]
"""The value that begins at an offset, and the offset behind it."""
Skip = Callable[[bytes, int], int]
"""The offset behind a value."""


class UndecodableError(TillguardError):
    """Bytes of the binary log that are not what their event says, or of a type that nobody here knows; names no values."""


def read_length_encoded(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and the offset behind it; raises UndecodableError at the end of the data."""
    if at >= len(data):
        raise UndecodableError("ends within a number")
    first = data[at]
    if first < 0xFB:
        return first, at + 1
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if size is None or at + 1 + size > len(data):
        raise UndecodableError("ends within a number")
    return int.from_bytes(data[at + 1 : at + 1 + size], "little"), at + 1 + size


def read_counted(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes with their number in front, and the offset behind them; raises UndecodableError where there are fewer."""
    size, at = read_length_encoded(data, at)
    return read_part(data, at, size), at + size


def read_part(data: bytes, at: int, size: int) -> bytes:
    """`size` bytes from `at` on; raises UndecodableError where there are fewer."""
    if at + size > len(data):
        raise UndecodableError(f"ends {at + size - len(data)} bytes too early")
    return data[at : at + size]


def build_prefixed_reader(size: int) -> Callable[[bytes, int], tuple[bytes, int]]:
    """Reads bytes with their number in `size` bytes in front."""
    from_bytes = int.from_bytes

    def read(data: bytes, at: int) -> tuple[bytes, int]:
        start = at + size
        end = start + from_bytes(data[at:start], "little")
        return data[start:end], end

    return read


def skip_prefixed(size: int) -> Skip:
    """Steps over bytes with their number in `size` bytes in front."""
    from_bytes = int.from_bytes

    def skip(data: bytes, at: int) -> int:
        start = at + size
        return start + from_bytes(data[at:start], "little")

    return skip


def skip_fixed(size: int) -> Skip:
    """Steps over `size` bytes."""
    return lambda _, at: at + size
