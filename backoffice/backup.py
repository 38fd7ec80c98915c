"""Backup of what is born in the backoffice: every table of its database as of one moment, in a file that any database takes back.

The file is gzip over lines of JSON: first what it is and which migration it stands at; then for each row its table and its columns;
last how many lines there were and their SHA-256, so that a file that was cut off or changed is refused whole. Sessions, sign-in links
and the like stay out: nobody who could come in at the time of the backup comes in by it later.
"""

import gzip
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from io import BytesIO
from typing import Any

import msgspec
import sqlalchemy as sa
from alembic.util.exc import CommandError

from backoffice.database import MIGRATIONS, open_database
from backoffice.refusals import StateConflictError
from contract.errors import TillguardError
from runtime.database import Database

FORMAT = "tillguard-backoffice-backup-1"
LEFT_OUT = frozenset({"alembic_version", "sessions", "sign_in_links", "sign_in_failures", "oidc_flows"})
ROWS_AT_ONCE = 500
_JSON = msgspec.json.Encoder(order="deterministic")


def back_up(database: Database) -> tuple[bytes, int]:
    """The whole file, and how many rows it holds; raises TransientError. Others may write meanwhile: it shows one moment."""
    target, digest, count = BytesIO(), sha256(), 0
    with database.begin() as connection, gzip.GzipFile(fileobj=target, mode="wb", mtime=0) as packed:
        _begin_snapshot(connection)
        for record in _walk(connection):
            line = _JSON.encode(record) + b"\n"
            packed.write(line)
            digest.update(line)
            count += 1
        packed.write(_JSON.encode({"lines": count, "sha256": digest.hexdigest()}) + b"\n")
    return target.getvalue(), count - 1


def restore(url: str, data: bytes) -> int:
    """Puts a backup into the empty or missing database at `url`; gives how many rows.

    Raises TillguardError for a file that is none, or not whole; StateConflictError where the database holds something; and as
    `open_database`. In each case nothing was put in.
    """
    lines = _unpack(data)
    head = _decode_head(lines)
    try:
        database = open_database(url, revision=head["revision"])
    except CommandError:
        raise TillguardError("this backup is of a newer Tillguard: install that one") from None
    try:
        with database.begin() as connection:
            tables = _reflect(connection)
            if _read_revision(connection) != head["revision"] or any(
                _has_rows(connection, each) for each in tables.values()
            ):
                raise StateConflictError("not_empty", "the database holds something already: name an empty one")
            _insert(connection, tables, lines[1:-1])
            _continue_numbers(connection, tables)
        database.upgrade(MIGRATIONS, lock="backoffice")
    finally:
        database.close()
    return len(lines) - 2


def _begin_snapshot(connection: sa.Connection) -> None:
    begin = {"sqlite": "BEGIN", "postgresql": "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"}
    connection.exec_driver_sql(begin[connection.dialect.name])


def _walk(connection: sa.Connection) -> Iterator[dict[str, Any]]:
    """Every line but the last; tables that others point to come first."""
    yield {"format": FORMAT, "revision": _read_revision(connection)}
    for table in _reflect(connection).values():
        for row in connection.execute(table.select().order_by(*table.primary_key.columns)):
            yield {
                "table": str(table.name),
                "row": {str(name): _encode(value) for name, value in row._asdict().items()},
            }


def _reflect(connection: sa.Connection) -> dict[str, sa.Table]:
    tables = sa.MetaData()
    tables.reflect(connection)
    return {each.name: each for each in tables.sorted_tables if each.name not in LEFT_OUT}


def _read_revision(connection: sa.Connection) -> str:
    return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))


def _has_rows(connection: sa.Connection, table: sa.Table) -> bool:
    return connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None


def _encode(value: Any) -> Any:
    return {"base64": b64encode(value).decode()} if isinstance(value, bytes) else value


def _decode(value: Any) -> Any:
    return b64decode(value["base64"]) if isinstance(value, dict) else value


def _unpack(data: bytes) -> list[bytes]:
    """The lines; raises TillguardError where they are not those that were written."""
    try:
        lines = gzip.decompress(data).splitlines(keepends=True)
        tail = msgspec.json.decode(lines[-1], type=dict[str, Any])
        whole = tail == {"lines": len(lines) - 1, "sha256": sha256(b"".join(lines[:-1])).hexdigest()}
    except (OSError, EOFError, zlib.error, IndexError, msgspec.DecodeError):
        whole, lines = False, []
    if not whole:
        raise TillguardError("this is no backup of a backoffice, or it was cut off or changed")
    return lines


def _decode_head(lines: list[bytes]) -> dict[str, Any]:
    head = msgspec.json.decode(lines[0], type=dict[str, Any])
    if head.get("format") != FORMAT:
        raise TillguardError(
            "this backup is of a form that this version does not know: take the Tillguard that made it, or a newer one"
        )
    return head


def _insert(connection: sa.Connection, tables: dict[str, sa.Table], lines: list[bytes]) -> None:
    """Rows in the order of the file, some of one table at a time."""
    name, rows = "", list[dict[str, Any]]()
    for line in lines:
        record = msgspec.json.decode(line, type=dict[str, Any])
        if rows and (record["table"] != name or len(rows) >= ROWS_AT_ONCE):
            connection.execute(tables[name].insert(), rows)
            rows = []
        name = record["table"]
        rows.append({column: _decode(value) for column, value in record["row"].items()})
    if rows:
        connection.execute(tables[name].insert(), rows)


def _continue_numbers(connection: sa.Connection, tables: dict[str, sa.Table]) -> None:
    """PostgreSQL counts on where its own count was; SQLite looks for the highest number itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables.values():
        for column in table.primary_key.columns:
            names = {"table": table.name, "column": column.name}
            sequence = connection.scalar(sa.text("SELECT pg_get_serial_sequence(:table, :column)"), names)
            highest = connection.scalar(sa.select(sa.func.max(column))) if sequence else None
            if highest is not None:
                connection.execute(
                    sa.text("SELECT setval(:sequence, :highest)"), {"sequence": sequence, "highest": highest}
                )
