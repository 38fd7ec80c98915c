"""Table maps of the binary log: what the rows that follow look like. Pure.

Layout: https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Table__map__event.html
"""

from collections.abc import Iterator
from typing import NamedTuple

from connectors.mysql.columns.packed import UndecodableError, read_counted, read_length_encoded, read_part

BIT, ENUM, SET, STRING, VARCHAR, DECIMAL, TYPED_ARRAY, JSON, GEOMETRY, VECTOR = (
    16,
    247,
    248,
    254,
    15,
    246,
    20,
    245,
    255,
    242,
)
VAR_STRING, BLOB, VARCHAR_COMPRESSED, BLOB_COMPRESSED = 253, 252, 141, 140
_METADATA_SIZE = {
    0: 0, 1: 0, 2: 0, 3: 0, 4: 1, 5: 1, 6: 0, 7: 0, 8: 0, 9: 0, 10: 0, 11: 0, 12: 0, 13: 0, 14: 0, VARCHAR: 2, BIT: 2, 17: 1,
    18: 1, 19: 1, BLOB_COMPRESSED: 1, VARCHAR_COMPRESSED: 2, VECTOR: 1, JSON: 1, DECIMAL: 2, ENUM: 2, SET: 2, 249: 1, 250: 1,
    251: 1, BLOB: 1, VAR_STRING: 2, STRING: 2, GEOMETRY: 1,
}  # fmt: skip
_NUMERIC = frozenset((1, 2, 3, 4, 5, 8, 9, 13, DECIMAL))
_CHARACTER = frozenset((VARCHAR, VAR_STRING, STRING, BLOB, 249, 250, 251, VARCHAR_COMPRESSED, BLOB_COMPRESSED, VECTOR))


class Column(NamedTuple):
    """One column of a table, as the log tells of it."""

    type: int
    """The server's number of its type; ENUM and SET have their own."""
    metadata: int
    """Lengths and digits, as the type has them; two bytes are put together with the first one low."""
    nullable: bool
    name: str | None = None
    """None where the log was written with binlog_row_metadata=MINIMAL."""
    unsigned: bool = False
    collation: int | None = None
    """Number of its collation; None where it has none or the log does not tell."""
    elements: tuple[bytes, ...] = ()
    """Texts of an ENUM or SET, in the column's character set."""
    dimension: int | None = None
    """Numbers in a VECTOR."""


class TableMap(NamedTuple):
    """One table, until the next map of the same number."""

    table_id: int
    database: str
    table: str
    columns: tuple[Column, ...]
    primary_key: tuple[int, ...] = ()
    """Indexes of its columns, where the log tells."""

    @property
    def named(self) -> bool:
        """Whether every column has its name: only then do rows mean anything."""
        return all(column.name is not None for column in self.columns)


def read_table_name(body: bytes) -> tuple[int, str, str]:
    """Number, database and name of the table of a map, cheaply; raises UndecodableError."""
    database, at = _short_text(body, 8)
    table, _ = _short_text(body, at)
    return int.from_bytes(read_part(body, 0, 6), "little"), database, table


def parse_table_map(body: bytes, *, mariadb: bool = False) -> TableMap:
    """Reads the body of a table map event, without header and checksum.

    Args:
        body: The event's body.
        mariadb: Whether MariaDB wrote it: it counts geometries among the columns with a character set, MySQL does not.

    Raises:
        UndecodableError: It is damaged, or has a column of a type that nobody here knows; names table and column.
    """
    table_id, database, table = read_table_name(body)
    try:
        _, at = _short_text(body, 8)
        _, at = _short_text(body, at)
        count, at = read_length_encoded(body, at)
        types = read_part(body, at, count)
        metadata, at = read_counted(body, at + count)
        nulls = read_part(body, at, (count + 7) // 8)
        told = _told(body, at + len(nulls))
        names = [_text(name) for name in _texts(told.get(4, b""))]
        columns = [
            Column(kind, lengths, bool(nulls[number >> 3] >> (number & 7) & 1))
            for number, (kind, lengths) in enumerate(_typed(types, metadata, names))
        ]
        return TableMap(
            table_id, database, table, tuple(_described(columns, names, told, mariadb=mariadb)), _primary_key(told)
        )
    except UndecodableError as error:
        raise UndecodableError(f"table map of {database}.{table}: {error}") from None


def _short_text(body: bytes, at: int) -> tuple[str, int]:
    """A name with one byte of length in front and a zero behind."""
    size = read_part(body, at, 1)[0]
    return _text(read_part(body, at + 1, size)), at + 1 + size + 1


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _told(body: bytes, at: int) -> dict[int, bytes]:
    """The optional metadata by its kind; kinds that nobody here knows are left aside by whoever looks."""
    found = {}
    while at < len(body):
        kind = body[at]
        found[kind], at = read_counted(body, at + 1)
    return found


def _texts(data: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(data):
        text, at = read_counted(data, at)
        yield text


def _numbers(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        number, at = read_length_encoded(data, at)
        found.append(number)
    return found


def _typed(types: bytes, metadata: bytes, names: list[str]) -> Iterator[tuple[int, int]]:
    """Type and metadata of each column."""
    at = 0
    for number, kind in enumerate(types):
        if kind == TYPED_ARRAY:
            yield kind, 4
            at += 1 + _array_size(read_part(metadata, at, 1)[0])
            continue
        size = _METADATA_SIZE.get(kind)
        if size is None:
            name = names[number] if number < len(names) else f"number {number + 1}"
            raise UndecodableError(f"column {name} has a type ({kind}) that Tillguard does not know")
        told = read_part(metadata, at, size)
        at += size
        if kind == STRING:
            yield _string(told[0], told[1])
        else:
            yield kind, int.from_bytes(told, "little")


def _array_size(kind: int) -> int:
    return 3 if kind == VARCHAR else _METADATA_SIZE.get(kind, 0)


def _string(kind: int, size: int) -> tuple[int, int]:
    """CHAR, ENUM and SET share a number; two high bits of a long CHAR's length hide, inverted, in the kind."""
    if kind & 0x30 != 0x30:
        return STRING, size | ((kind & 0x30) ^ 0x30) << 4
    return kind, size


def _described(columns: list[Column], names: list[str], told: dict[int, bytes], *, mariadb: bool) -> Iterator[Column]:
    unsigned = _unsigned(columns, told.get(1, b""))
    collations = _collations(columns, _CHARACTER | {GEOMETRY} if mariadb else _CHARACTER, told.get(2), told.get(3))
    collations |= _collations(columns, frozenset((ENUM, SET)), told.get(10), told.get(11))
    elements = _elements(columns, SET, told.get(5, b"")) | _elements(columns, ENUM, told.get(6, b""))
    vectors = [number for number, column in enumerate(columns) if column.type == VECTOR]
    dimensions = dict(zip(vectors, _numbers(told.get(13, b"")), strict=False))
    for number, column in enumerate(columns):
        yield column._replace(
            name=names[number] if number < len(names) else None,
            unsigned=number in unsigned,
            collation=collations.get(number),
            elements=elements.get(number, ()),
            dimension=dimensions.get(number),
        )


def _unsigned(columns: list[Column], bits: bytes) -> set[int]:
    """Indexes of the numbers without a sign: one bit for each numeric column, the highest first."""
    numeric = [number for number, column in enumerate(columns) if column.type in _NUMERIC]
    if len(bits) * 8 < len(numeric):
        return set()
    return {number for place, number in enumerate(numeric) if bits[place >> 3] << (place & 7) & 0x80}


def _collations(
    columns: list[Column], kinds: frozenset[int], default: bytes | None, each: bytes | None
) -> dict[int, int]:
    """Collations by column: either a default and its exceptions, or one for each."""
    chosen = [number for number, column in enumerate(columns) if column.type in kinds]
    if each is not None:
        return dict(zip(chosen, _numbers(each), strict=False))
    if not default:
        return {}
    usual, *exceptions = _numbers(default)
    changed = dict(zip(exceptions[::2], exceptions[1::2], strict=False))
    return {number: changed.get(place, usual) for place, number in enumerate(chosen)}


def _elements(columns: list[Column], kind: int, data: bytes) -> dict[int, tuple[bytes, ...]]:
    found: dict[int, tuple[bytes, ...]] = {}
    at = 0
    for number, column in enumerate(columns):
        if column.type == kind and at < len(data):
            count, at = read_length_encoded(data, at)
            texts = []
            for _ in range(min(count, len(data))):
                text, at = read_counted(data, at)
                texts.append(text)
            found[number] = tuple(texts)
    return found


def _primary_key(told: dict[int, bytes]) -> tuple[int, ...]:
    if 8 in told:
        return tuple(_numbers(told[8]))
    return tuple(_numbers(told.get(9, b""))[::2])
