"""Table maps without names (binlog_row_metadata=MINIMAL or NO_LOG): names from elsewhere, and the proof that they fit. Pure.

Types, lengths and order of all columns must agree with the source of the names. The newest map with names is such a source as long as
no definition was changed in the log since; the definition that the server has now is another.
"""

from collections.abc import Sequence
from typing import NamedTuple

from connectors.mysql.columns.column_types import TYPES
from connectors.mysql.columns.table_map import VAR_STRING, VARCHAR, Column, TableMap

_BYTES = frozenset(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"))
_BINARY = 63
"""The server's number of the collation that bytes have."""


class DefinedColumn(NamedTuple):
    """A column as information_schema describes it."""

    name: str
    data_type: str
    column_type: str
    """With length and sign: `bigint(20) unsigned`."""
    collation: int | None
    """The server's number of its collation."""
    octets: int | None


Definition = Sequence[DefinedColumn]


def add_names(table_map: TableMap, named: TableMap | None, definition: Definition) -> TableMap | None:
    """The map with its columns' names; None where no source of names fits it.

    Args:
        table_map: A map without names.
        named: The newest map of the table that has names, if no definition was changed since.
        definition: The table's columns now.
    """
    if named is not None and _shape(named) == _shape(table_map):
        return named._replace(table_id=table_map.table_id)
    columns = table_map.columns
    if len(columns) != len(definition) or not all(map(_fits, columns, definition)):
        return None
    filled = (_described(column, defined) for column, defined in zip(columns, definition, strict=True))
    return table_map._replace(columns=tuple(filled))


def name_key(table_map: TableMap, definition: Definition, key: str) -> TableMap:
    """The map with the name of the key only, where the column in the key's place can be the key; otherwise without any."""
    place = next((i for i, defined in enumerate(definition) if defined.name == key), None)
    columns = list(table_map.columns)
    if place is not None and place < len(columns) and _fits(columns[place], definition[place]):
        columns[place] = _described(columns[place], definition[place])
    return table_map._replace(columns=tuple(columns))


def _shape(table_map: TableMap) -> list[tuple[int, int, bool]]:
    return [(column.type, column.metadata, column.nullable) for column in table_map.columns]


def _fits(column: Column, defined: DefinedColumn) -> bool:
    kind = TYPES.get(defined.data_type)
    if kind is None:
        return False
    codes = kind.codes or TYPES["binary"].codes
    if column.type not in codes:
        return False
    return column.type not in (VARCHAR, VAR_STRING) or defined.octets is None or column.metadata == defined.octets


def _described(column: Column, defined: DefinedColumn) -> Column:
    """What MariaDB's NO_LOG leaves out as well is taken from the definition."""
    number = defined.collation if defined.data_type not in _BYTES else _BINARY
    return column._replace(
        name=defined.name,
        unsigned=column.unsigned or "unsigned" in defined.column_type,
        collation=column.collation if column.collation is not None else number,
    )
