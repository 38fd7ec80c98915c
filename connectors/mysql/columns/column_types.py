"""Every type of MySQL and MariaDB: its value by an answer to SELECT, the same value by the binary log, and its family. Pure.

TYPES is the one table. A value is an int, Decimal, float, str, bytes, date, datetime (without a zone: TIMESTAMP in UTC) or timedelta;
None is NULL or a zero date; connectors.values.Unusable is one that cannot be read, which is the fault of its field alone.
"""

import struct
from collections.abc import Callable, Collection
from typing import NamedTuple

from connectors.config.fields import Family
from connectors.mysql.columns import moments, numbers, texts
from connectors.mysql.columns.collations import Collation, find_collation, find_named_collation
from connectors.mysql.columns.packed import Read, Skip, UndecodableError, skip_fixed, skip_prefixed
from connectors.mysql.columns.table_map import STRING, Column, TableMap
from connectors.values import PaddedBytes, Unusable

Convert = texts.Convert

_BINARY = 63
"""Number of the collation of bytes."""
_FAULTS = (ValueError, ArithmeticError, LookupError, struct.error, UndecodableError)
"""What converting bytes that mean nothing may raise."""


class Declared(NamedTuple):
    """One column, as information_schema tells of it."""

    name: str
    data_type: str
    charset: str | None = None
    collation: str | None = None
    octets: int | None = None
    """Most bytes that it holds."""

    @property
    def collated(self) -> Collation | None:
        """Its collation; None where it is not text."""
        return find_named_collation(self.charset, self.collation or "") if self.charset else None


class ColumnType(NamedTuple):
    """How one type reads both ways."""

    family: Family
    codes: tuple[int, ...]
    """Its numbers in table maps."""
    selected: Callable[[Declared], Convert]
    logged: Callable[[Column], Read]
    skipped: Callable[[Column], Skip]
    expression: str = "{}"
    """What SELECT asks for; FLOAT and DOUBLE would be shown rounded otherwise."""


def _fixed(size: int) -> Callable[[Column], Skip]:
    return lambda _: skip_fixed(size)


def _integer(size: int, *codes: int) -> ColumnType:
    return ColumnType(
        "number",
        codes,
        lambda _: numbers.convert_integer,
        lambda column: numbers.build_integer_reader(size, signed=not column.unsigned),
        _fixed(size),
    )


def _number(size: int, code: int, selected: Convert, logged: Read, expression: str = "{}") -> ColumnType:
    return ColumnType("number", (code,), lambda _: selected, lambda _: logged, _fixed(size), expression)


def _digits(column: Column) -> tuple[int, int]:
    """Precision and scale of a DECIMAL."""
    return column.metadata & 0xFF, column.metadata >> 8


def _decimal_size(column: Column) -> int:
    precision, scale = _digits(column)
    if scale > precision:
        raise UndecodableError("a DECIMAL with more digits behind the point than it has")
    return numbers.compute_decimal_size(precision, scale)


def _bits(column: Column) -> int:
    return (column.metadata >> 8) + bool(column.metadata & 0xFF)


def _moment(
    code: int, whole: int, selected: Convert, logged: Callable[[int], Read], old: tuple[int, int, Read]
) -> tuple[ColumnType, ColumnType]:
    """A type with a fraction of a second, and the form that it has in tables of old servers."""
    now = ColumnType(
        "time",
        (code,),
        lambda _: selected,
        lambda column: logged(_fraction(column)),
        lambda column: skip_fixed(moments.compute_moment_size(_fraction(column), whole)),
    )
    old_code, size, read = old
    return now, ColumnType("time", (old_code,), lambda _: selected, lambda _: read, _fixed(size))


def _fraction(column: Column) -> int:
    if column.metadata > 6:
        raise UndecodableError("more than six digits of a second")
    return column.metadata


def _length_size(column: Column) -> int:
    """Bytes of the length in front of a VARCHAR or CHAR."""
    return 1 if column.metadata < 256 else 2


def _convert(column: Column) -> Convert:
    return texts.build_text_converter(find_collation(column.collation) if column.collation is not None else None)


def _selected_text(declared: Declared) -> Convert:
    return texts.build_text_converter(declared.collated)


def _text(*codes: int, length: Callable[[Column], int], compressed: bool = False) -> ColumnType:
    def logged(column: Column) -> Read:
        convert = _convert(column)
        return texts.build_sized_reader(
            length(column), texts.build_unpacking_converter(convert) if compressed else convert
        )

    return ColumnType("text", codes, _selected_text, logged, lambda column: skip_prefixed(length(column)))


def _char(column: Column) -> Read:
    found = find_collation(column.collation) if column.collation is not None else None
    convert = (
        texts.build_padding_converter(column.metadata)
        if found and found.charset == "binary"
        else texts.build_text_converter(found)
    )
    return texts.build_sized_reader(_length_size(column), convert)


def _selected_binary(declared: Declared) -> Convert:
    return PaddedBytes if declared.data_type == "binary" else bytes


def _blob(column: Column) -> int:
    if not 1 <= column.metadata <= 4:
        raise UndecodableError("a BLOB whose length has no bytes")
    return column.metadata


def _raw(code: int, family: Family = "other") -> ColumnType:
    return ColumnType(
        family,
        (code,),
        lambda _: bytes,
        lambda column: texts.build_sized_reader(_blob(column), bytes),
        lambda column: skip_prefixed(_blob(column)),
    )


def _listed(code: int, logged: Callable[[int, tuple[bytes, ...], Convert], Read]) -> ColumnType:
    return ColumnType(
        "text",
        (code,),
        _selected_text,
        lambda column: logged(column.metadata, column.elements, _convert(column)),
        lambda column: skip_fixed(column.metadata),
    )


def _named_bytes(selected: Convert, convert: Convert) -> ColumnType:
    """A type of MariaDB that the log calls BINARY, so that only information_schema tells it."""
    return ColumnType(
        "text",
        (),
        lambda _: selected,
        lambda column: texts.build_sized_reader(_length_size(column), convert),
        lambda column: skip_prefixed(_length_size(column)),
    )


def _json_selected(_: Declared) -> Convert:
    return lambda data: data.decode("utf-8")


_VARCHAR = _text(15, 253, length=_length_size)
_VARCHAR_COMPRESSED = _text(141, length=_length_size, compressed=True)
_CHAR = ColumnType("text", (254,), _selected_text, _char, lambda column: skip_prefixed(_length_size(column)))
_TEXT = _text(252, 249, 250, 251, length=_blob)
_TEXT_COMPRESSED = _text(140, length=_blob, compressed=True)
_DATETIME, _OLD_DATETIME = _moment(
    18, 5, moments.convert_moment, moments.build_moment_reader, (12, 8, moments.read_old_moment)
)
_TIMESTAMP, _OLD_TIMESTAMP = _moment(
    17, 4, moments.convert_moment, moments.build_timestamp_reader, (7, 4, moments.read_old_timestamp)
)
_TIME, _OLD_TIME = _moment(
    19, 3, moments.convert_duration, moments.build_duration_reader, (11, 3, moments.read_old_duration)
)
_GEOMETRY = _raw(255)

TYPES: dict[str, ColumnType] = {
    "tinyint": _integer(1, 1),
    "smallint": _integer(2, 2),
    "mediumint": _integer(3, 9),
    "int": _integer(4, 3),
    "bigint": _integer(8, 8),
    "year": _number(1, 13, numbers.convert_integer, numbers.read_year),
    "float": _number(4, 4, numbers.convert_single, numbers.read_single, "({} * 1e0)"),
    "double": _number(8, 5, numbers.convert_double, numbers.read_double, "({} * 1e0)"),
    "decimal": ColumnType(
        "number",
        (246,),
        lambda _: numbers.convert_decimal,
        lambda column: numbers.build_decimal_reader(*_digits(column)),
        lambda column: skip_fixed(_decimal_size(column)),
    ),
    "bit": ColumnType(
        "other",
        (16,),
        lambda _: numbers.convert_bits,
        lambda column: numbers.build_bits_reader(_bits(column)),
        lambda column: skip_fixed(_bits(column)),
    ),
    "date": ColumnType("time", (10, 14), lambda _: moments.convert_day, lambda _: moments.read_day, _fixed(3)),
    "datetime": _DATETIME,
    "timestamp": _TIMESTAMP,
    "time": _TIME,
    "char": _CHAR,
    "varchar": _VARCHAR,
    "tinytext": _TEXT,
    "text": _TEXT,
    "mediumtext": _TEXT,
    "longtext": _TEXT,
    "binary": _CHAR._replace(selected=_selected_binary),
    "varbinary": _VARCHAR._replace(selected=_selected_binary),
    "tinyblob": _TEXT._replace(selected=_selected_binary),
    "blob": _TEXT._replace(selected=_selected_binary),
    "mediumblob": _TEXT._replace(selected=_selected_binary),
    "longblob": _TEXT._replace(selected=_selected_binary),
    "enum": _listed(247, texts.build_enumeration_reader),
    "set": _listed(248, texts.build_set_reader),
    "json": _raw(245)._replace(
        family="text",
        selected=_json_selected,
        logged=lambda column: texts.build_sized_reader(_blob(column), texts.convert_json),
    ),
    "vector": _raw(242),
    "geometry": _GEOMETRY,
    "point": _GEOMETRY,
    "linestring": _GEOMETRY,
    "polygon": _GEOMETRY,
    "multipoint": _GEOMETRY,
    "multilinestring": _GEOMETRY,
    "multipolygon": _GEOMETRY,
    "geomcollection": _GEOMETRY,
    "geometrycollection": _GEOMETRY,
    "uuid": _named_bytes(texts.convert_ascii, texts.convert_uuid),
    "inet4": _named_bytes(texts.convert_ascii, texts.convert_inet4),
    "inet6": _named_bytes(texts.convert_selected_inet6, texts.convert_inet6),
}
"""By the name in information_schema."""

_ONLY_LOGGED = (_VARCHAR_COMPRESSED, _TEXT_COMPRESSED, _OLD_DATETIME, _OLD_TIMESTAMP, _OLD_TIME, _raw(20))
"""Forms that information_schema gives no name of their own; 20 is the hidden column of an index over JSON values."""
_BY_CODE = {code: kind for kind in (*reversed(TYPES.values()), *_ONLY_LOGGED) for code in kind.codes}
NAMED_ONLY = frozenset(name for name, kind in TYPES.items() if not kind.codes)
"""Types that the log does not tell from BINARY."""


def find_logged_type(column: Column, data_type: str | None = None) -> ColumnType:
    """The type of a column of a table map; raises UndecodableError for one that nobody here knows.

    Args:
        column: The column.
        data_type: Its type in information_schema, where that is known; counts only for what the log cannot tell.
    """
    found = TYPES[data_type] if data_type in NAMED_ONLY else _BY_CODE.get(column.type)
    if found is None:
        raise UndecodableError(f"column {column.name} has a type ({column.type}) that Tillguard does not know")
    return found


def may_be_named_bytes(table_map: TableMap, wanted: Collection[str]) -> bool:
    """Whether a wanted column could be of a type of MariaDB that the log calls BINARY."""
    return any(
        column.name in wanted and column.type == STRING and column.collation == _BINARY and column.metadata in (4, 16)
        for column in table_map.columns
    )


def build_reader(column: Column, data_type: str | None = None) -> Read:
    """Reads values of a column from a row, never raising for bytes that mean nothing; arguments and errors as `find_logged_type`."""
    kind = find_logged_type(column, data_type)
    read, skip = kind.logged(column), kind.skipped(column)

    def tolerant(data: bytes, at: int) -> tuple[object, int]:
        try:
            return read(data, at)
        except _FAULTS as error:
            return make_unusable(error), skip(data, at)

    return tolerant


def build_converter(declared: Declared) -> Convert:
    """Reads answers to SELECT, never raising for bytes that mean nothing; raises UndecodableError for an unknown type."""
    kind = TYPES.get(declared.data_type)
    if kind is None:
        raise UndecodableError(f"column {declared.name} has a type ({declared.data_type}) that Tillguard does not know")
    convert = kind.selected(declared)

    def tolerant(data: bytes) -> object:
        try:
            return convert(data)
        except _FAULTS as error:
            return make_unusable(error)

    return tolerant


def make_unusable(error: Exception) -> Unusable:
    """What stands instead of a value that could not be read; says nothing of the value."""
    detail = "a value that no calendar, number or text has" if isinstance(error, ValueError) else "damaged bytes"
    return Unusable("field_invalid", detail)


def find_family(data_type: str) -> Family:
    """Family of a type of information_schema."""
    kind = TYPES.get(data_type)
    return kind.family if kind else "other"
