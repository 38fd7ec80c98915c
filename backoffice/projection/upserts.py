"""Writes many rows at once, in the words that SQLite and PostgreSQL share."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Row = dict[str, Any]
Q = TypeVar("Q")
AT_ONCE = 500
"""Values of one list in a statement."""


def write(connection: sa.Connection, table: sa.Table, rows: Sequence[Row], *, kept: Sequence[str] = ()) -> None:
    """Inserts the rows, or overwrites those of the same key but for the columns in `kept`."""
    if not rows:
        return
    statement = _insert(connection, table)
    keys = {column.name for column in table.primary_key}
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys | {*kept}}
    _run(connection, statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed), rows)


def add_missing(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Inserts the rows whose key is not there yet."""
    _run(connection, _insert(connection, table).on_conflict_do_nothing(), rows)


def add(connection: sa.Connection, table: sa.Table, rows: Sequence[Row], column: str) -> None:
    """Inserts the rows, or adds their `column` to that of the row with the same key."""
    statement = _insert(connection, table)
    total = {column: table.c[column] + statement.excluded[column]}
    _run(connection, statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=total), rows)


def delete_keys(connection: sa.Connection, table: sa.Table, keys: Sequence[Row]) -> None:
    """Deletes the row of each key; a key's names are columns."""
    if keys:
        chosen = sa.and_(*(table.c[name] == sa.bindparam(f"of_{name}") for name in keys[0]))
        given = [{f"of_{name}": value for name, value in key.items()} for key in keys]
        connection.execute(table.delete().where(chosen), given)


def cut(values: Iterable[Q]) -> Iterator[list[Q]]:
    """In lists that one statement takes."""
    whole = list(values)
    yield from (whole[at : at + AT_ONCE] for at in range(0, len(whole), AT_ONCE))


def _insert(connection: sa.Connection, table: sa.Table) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _run(connection: sa.Connection, statement: Any, rows: Sequence[Row]) -> None:
    if rows:
        connection.execute(statement, rows)
