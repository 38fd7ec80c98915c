"""What a SELECT asks of a table, and what its answers mean. Pure.

Answers come as the bytes that the table holds (no character set of results, no conversions of the driver), so that text is decoded
by the same code as text of the binary log.
"""

import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple
from uuid import UUID

from connectors.mysql.columns.column_types import TYPES, Declared, build_converter
from connectors.mysql.columns.moments import convert_duration
from connectors.mysql.columns.numbers import round_single
from connectors.values import decode_key

_FLOATS = frozenset(("float", "double"))
_BINARIES = frozenset(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"))
_WHOLE = frozenset(("tinyint", "smallint", "mediumint", "int", "bigint", "bit", "year"))
_UNORDERED = frozenset(("enum", "set", "json", "bit", "time", "uuid", "inet4", "inet6"))
"""Types that ORDER BY sorts in another way than a comparison with text does, or may."""


class Condition(NamedTuple):
    """A comparison of one column with one value."""

    statement: str
    value: object


class Selection:
    """Some columns of one table."""

    def __init__(self, columns: Iterable[Declared]) -> None:
        """Compiles; raises UndecodableError for a type that nobody here knows."""
        columns = list(columns)
        self._converts = [(column.name, build_converter(column)) for column in columns]
        self.names = [column.name for column in columns]
        self.shown = ", ".join(
            TYPES[column.data_type].expression.format(quote_identifier(column.name)) for column in columns
        )

    def make_row(self, answers: Collection[bytes | None]) -> Mapping[str, object]:
        """The values of one row."""
        return {
            name: None if answer is None else convert(answer)
            for (name, convert), answer in zip(self._converts, answers, strict=True)
        }


def quote_identifier(name: str) -> str:
    """`name` as an identifier in a statement."""
    return "`" + name.replace("`", "``") + "`"


def build_condition(column: Declared, key: str, comparison: str = "=") -> Condition | None:
    """Finds rows by a value as `connectors.values.as_key` writes it; None where the column can hold no such value."""
    name = quote_identifier(column.name)
    value = _comparable(column, key)
    if value is None:
        return None
    if column.data_type in _FLOATS:
        name = TYPES[column.data_type].expression.format(name)
    return Condition(f"{name} {comparison} %s", value)


def is_resumable(column: Declared) -> bool:
    """Whether a scan in the order of `column` can continue behind a value."""
    return column.data_type not in _UNORDERED


def _comparable(column: Declared, key: str) -> object:
    try:
        read = next((read for kinds, read in _READERS if column.data_type in kinds), None)
        if read is not None:
            return read(column, key)
        key.encode("utf-8")
    except (ValueError, OverflowError, InvalidOperation, struct.error):
        return None
    return key


def _bytes(column: Declared, key: str) -> bytes:
    data = decode_key(key)
    return data.ljust(column.octets or 0, b"\x00") if column.data_type == "binary" else data


def _duration(_: Declared, key: str) -> str:
    convert_duration(key.encode("ascii"))
    return key


def _decimal(_: Declared, key: str) -> Decimal | None:
    found = Decimal(key)
    return found if found.is_finite() else None


def _single(value: float) -> float | None:
    """The FLOAT nearest to `value`, as the server writes it out in full."""
    (stored,) = struct.unpack("<f", struct.pack("<f", value))
    return stored if round_single(stored) == value else None


_READERS: tuple[tuple[frozenset[str], Callable[[Declared, str], object]], ...] = (
    (_WHOLE, lambda _, key: int(key)),
    (frozenset(("decimal",)), _decimal),
    (frozenset(("double",)), lambda _, key: float(key)),
    (frozenset(("float",)), lambda _, key: _single(float(key))),
    (frozenset(("date",)), lambda _, key: date.fromisoformat(key).isoformat()),
    (frozenset(("datetime", "timestamp")), lambda _, key: datetime.fromisoformat(key).isoformat(" ")),
    (frozenset(("time",)), _duration),
    (frozenset(("uuid",)), lambda _, key: str(UUID(key))),
    (frozenset(("inet4",)), lambda _, key: str(IPv4Address(key))),
    (frozenset(("inet6",)), lambda _, key: str(IPv6Address(key))),
    (_BINARIES, _bytes),
)
