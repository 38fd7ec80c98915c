"""Numbers as rows of the binary log and answers to SELECT hold them. Pure."""

import struct
from collections.abc import Callable
from decimal import Decimal

from connectors.mysql.columns.packed import Read

_FLOAT = struct.Struct("<f")
_DOUBLE = struct.Struct("<d")
_DIGITS = 9
"""Decimal digits of a group of four bytes."""
_BYTES = (0, 1, 1, 2, 2, 3, 3, 4, 4, 4)
"""Bytes that hold this many digits."""


def build_integer_reader(size: int, *, signed: bool) -> Read:
    """Reads an integer of `size` bytes, least significant first."""
    from_bytes = int.from_bytes

    def read(data: bytes, at: int) -> tuple[object, int]:
        end = at + size
        return from_bytes(data[at:end], "little", signed=signed), end

    return read


def build_bits_reader(size: int) -> Read:
    """Reads a BIT column as the number that its bits write."""

    def read(data: bytes, at: int) -> tuple[object, int]:
        end = at + size
        return int.from_bytes(data[at:end], "big"), end

    return read


def read_year(data: bytes, at: int) -> tuple[object, int]:
    """Reads a YEAR: years since 1900, and 0 for the year 0000."""
    return data[at] and 1900 + data[at], at + 1


def read_single(data: bytes, at: int) -> tuple[object, int]:
    """Reads a FLOAT."""
    return round_single(_FLOAT.unpack_from(data, at)[0]), at + 4


def read_double(data: bytes, at: int) -> tuple[object, int]:
    """Reads a DOUBLE."""
    return _DOUBLE.unpack_from(data, at)[0], at + 8


def round_single(value: float) -> float:
    """The number with the fewest decimal digits that is stored as the FLOAT `value`: 123456.78, not 123456.78125."""
    packed = _FLOAT.pack(value)
    for digits in (6, 7, 8):
        found = float(f"{value:.{digits}g}")
        if _packed(found) == packed:
            return found
    return float(f"{value:.9g}")


def _packed(value: float) -> bytes:
    try:
        return _FLOAT.pack(value)
    except OverflowError:  # rounded up beyond the largest FLOAT
        return b""


def compute_decimal_size(precision: int, scale: int) -> int:
    """Bytes of a DECIMAL(precision, scale)."""
    whole = precision - scale
    return whole // _DIGITS * 4 + _BYTES[whole % _DIGITS] + scale // _DIGITS * 4 + _BYTES[scale % _DIGITS]


def build_decimal_reader(precision: int, scale: int) -> Read:
    """Reads a DECIMAL: groups of nine digits around the point, the first bit of a negative number off, then all inverted."""
    groups = _groups(precision - scale, scale)
    size = compute_decimal_size(precision, scale)
    inverted = (1 << 8 * size) - 1
    sign = 1 << (8 * size - 1)

    def read(data: bytes, at: int) -> tuple[object, int]:
        end = at + size
        number = int.from_bytes(data[at:end], "big")
        negative = not number & sign
        number = (number ^ inverted if negative else number) ^ sign
        digits = "".join(_group(number >> shift & mask, width) for shift, mask, width in groups)
        return Decimal(f"{'-' if negative else ''}{digits or '0'}E-{scale}"), end

    return read


def _groups(whole: int, scale: int) -> list[tuple[int, int, int]]:
    """(bits behind it, mask, digits) of each group, in the order written."""
    widths = [whole % _DIGITS] + [_DIGITS] * (whole // _DIGITS) + [_DIGITS] * (scale // _DIGITS) + [scale % _DIGITS]
    widths = [width for width in widths if width]
    left = sum(_BYTES[width] for width in widths)
    found = []
    for width in widths:
        left -= _BYTES[width]
        found.append((8 * left, (1 << 8 * _BYTES[width]) - 1, width))
    return found


def _group(number: int, width: int) -> str:
    text = f"{number:0{width}d}"
    if len(text) > width:
        raise ValueError("a group of digits that is too large")
    return text


def convert_integer(text: bytes) -> object:
    """An integer or YEAR, as SELECT writes it."""
    return int(text)


def convert_decimal(text: bytes) -> object:
    """A DECIMAL, as SELECT writes it."""
    return Decimal(text.decode("ascii"))


def convert_single(text: bytes) -> object:
    """A FLOAT, selected as a DOUBLE."""
    return round_single(float(text))


def convert_double(text: bytes) -> object:
    """A DOUBLE, as SELECT writes it."""
    return float(text)


def convert_bits(data: bytes) -> object:
    """A BIT, which SELECT gives as bytes."""
    return int.from_bytes(data, "big")


Selected = Callable[[bytes], object]
"""What an answer to SELECT means."""
