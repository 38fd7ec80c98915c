"""MySQL's binary JSON as the text that SELECT gives. Pure.

Layout: https://dev.mysql.com/doc/dev/mysql-server/latest/json__binary_8h.html. A document is read into plain Python values; DECIMAL stays a
Decimal, and dates, times and opaque values are the texts that the server writes.
"""

import json
import struct
from base64 import b64encode
from decimal import Decimal

from connectors.mysql.columns.numbers import build_decimal_reader
from connectors.mysql.columns.packed import UndecodableError, read_part


class Number(str):
    """A number as it was written."""

    __slots__ = ()


Json = None | bool | int | float | Decimal | str | list["Json"] | dict[str, "Json"]

DEPTH_MAX = 100
"""The server's own limit."""
_SMALL_OBJECT, _LARGE_OBJECT, _SMALL_ARRAY, _LARGE_ARRAY, _LITERAL, _STRING, _OPAQUE = 0, 1, 2, 3, 4, 12, 15
_SCALARS = {5: "<h", 6: "<H", 7: "<i", 8: "<I", 9: "<q", 10: "<Q", 11: "<d"}
_LITERALS = (None, True, False)
_DECIMALS = (0, 246)
_TIMESTAMP, _DATE, _TIME, _DATETIME = 7, 10, 11, 12
_POINT_MAX, _POINT_MIN = 15, -14
"""A number whose point lies outside of these places is written with an exponent."""


def decode_document(data: bytes) -> Json:
    """The JSON value in `data`; raises UndecodableError for what is none. Empty data, which ALTER TABLE leaves, is null."""
    if not data:
        return None
    try:
        return _Reader(data).value(data[0], 1, DEPTH_MAX)
    except (struct.error, IndexError, UnicodeDecodeError, ValueError) as error:
        raise UndecodableError(f"no binary JSON ({type(error).__name__})") from None


def format_value(value: Json) -> str:
    """`value` as the server writes it."""
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda member: _order(member[0]))
        return "{" + ", ".join(f"{format_value(name)}: {format_value(member)}" for name, member in members) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(format_value, value)) + "]"
    return _scalar(value)


def _scalar(value: bool | float | Decimal | str | None) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str) and not isinstance(value, Number):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return _double(value)
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _order(name: str) -> tuple[int, bytes]:
    """The server sorts members by the length of their names first."""
    data = name.encode("utf-8", "surrogatepass")
    return len(data), data


def _double(value: float) -> str:
    """A double with the fewest digits, and always a point or an exponent."""
    mantissa, _, power = f"{Decimal(repr(value)):e}".partition("e")
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("", mantissa)
    digits = digits.replace(".", "").rstrip("0") or "0"
    point = int(power) + 1 if digits != "0" else 1
    if not _POINT_MIN <= point <= _POINT_MAX:
        return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{point - 1}"
    if point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[:point].ljust(point, '0')}.{digits[point:] or '0'}"


class _Reader:
    """Reads one document. A wrong offset could lead in circles, so depth and number of values are bounded."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = len(data)

    def value(self, kind: int, at: int, depth: int) -> Json:
        """The value of `kind` that begins at `at`."""
        self._left -= 1
        if depth < 0 or self._left < 0:
            raise UndecodableError("no binary JSON (values within values without end)")
        if kind in (_SMALL_OBJECT, _LARGE_OBJECT):
            return self._object(at, 4 if kind == _LARGE_OBJECT else 2, depth)
        if kind in (_SMALL_ARRAY, _LARGE_ARRAY):
            return self._array(at, 4 if kind == _LARGE_ARRAY else 2, depth)
        if kind == _LITERAL:
            return _LITERALS[self._data[at]]
        if kind == _STRING:
            return self._counted(at).decode("utf-8")
        if kind == _OPAQUE:
            return _opaque(self._data[at], self._counted(at + 1))
        form = _SCALARS.get(kind)
        if form is None:
            raise UndecodableError(f"no binary JSON (a value of kind {kind})")
        scalar: int | float = struct.unpack_from(form, self._data, at)[0]
        return scalar

    def _object(self, at: int, size: int, depth: int) -> Json:
        count = self._number(at, size)
        names = at + 2 * size
        values = names + count * (size + 2)
        found: dict[str, Json] = {}
        for number in range(count):
            entry = names + number * (size + 2)
            start = at + self._number(entry, size)
            name = read_part(self._data, start, self._number(entry + size, 2)).decode("utf-8")
            found[name] = self._entry(at, values + number * (size + 1), size, depth)
        return found

    def _array(self, at: int, size: int, depth: int) -> Json:
        first = at + 2 * size
        return [self._entry(at, first + number * (size + 1), size, depth) for number in range(self._number(at, size))]

    def _entry(self, start: int, entry: int, size: int, depth: int) -> Json:
        """A value of an object or array at `start`: small ones stand in the entry itself."""
        kind = self._data[entry]
        inlined = kind in (_LITERAL, 5, 6) or (size == 4 and kind in (7, 8))
        at = entry + 1 if inlined else start + self._number(entry + 1, size)
        return self.value(kind, at, depth - 1)

    def _number(self, at: int, size: int) -> int:
        return int.from_bytes(read_part(self._data, at, size), "little")

    def _counted(self, at: int) -> bytes:
        """Bytes with their number in front, seven bits at a time."""
        size = 0
        for number in range(5):
            byte = self._data[at + number]
            size |= (byte & 0x7F) << 7 * number
            if not byte & 0x80:
                return read_part(self._data, at + number + 1, size)
        raise UndecodableError("no binary JSON (a length without end)")


def _opaque(kind: int, data: bytes) -> Json:
    if kind in _DECIMALS:
        precision, scale = data[0], data[1]
        found = build_decimal_reader(precision, scale)(data, 2)[0]
        return found if isinstance(found, Decimal) else None
    if kind in (_DATE, _TIME, _DATETIME, _TIMESTAMP):
        return _moment(kind, int.from_bytes(read_part(data, 0, 8), "little", signed=True))
    # the server breaks lines as mails do
    lines = b64encode(data).decode()
    return f"base64:type{kind}:" + "\n".join(lines[at : at + 76] for at in range(0, len(lines), 76))


def _moment(kind: int, packed: int) -> str:
    sign, packed = ("-", -packed) if packed < 0 else ("", packed)
    micro, whole = packed & 0xFFFFFF, packed >> 24
    clock = f"{whole >> 6 & 63:02}:{whole & 63:02}.{micro:06}"
    if kind == _TIME:
        return f"{sign}{whole >> 12 & 1023:02}:{clock}"
    months = whole >> 22
    day = f"{months // 13:04}-{months % 13:02}-{whole >> 17 & 31:02}"
    return day if kind == _DATE else f"{day} {whole >> 12 & 31:02}:{clock}"
