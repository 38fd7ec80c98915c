"""What about a server keeps its log from telling every row of the mapped tables. Pure, but for the questions themselves."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pymysql

from connectors.mysql import server as db
from connectors.mysql.names import TableNames


class FoundTable(NamedTuple):
    """A table as information_schema lists it."""

    database: str
    name: str
    kind: str
    """BASE TABLE, VIEW …"""
    engine: str


_ROWS_ELSEWHERE = frozenset(("BLACKHOLE", "FEDERATED", "SPIDER", "CONNECT", "NDB", "NDBCLUSTER", "MRG_MYISAM"))
"""Engines whose rows lie in other tables or on other servers, and may change there without this server's log."""
_READABLE = frozenset(("BASE TABLE", "SYSTEM VERSIONED"))


def find_tables(connection: Any, database: str, table: str) -> list[FoundTable]:
    """Tables that information_schema finds under a name; it may ignore the case although the server does not."""
    found = db.fetch_rows(
        connection,
        "SELECT table_schema, table_name, table_type, COALESCE(engine, '') FROM information_schema.tables "
        "WHERE table_schema = %s AND table_name = %s",
        (database, table),
    )
    return [FoundTable(*map(str, row)) for row in found]


def find_table_faults(found: list[FoundTable], database: str, table: str, names: TableNames) -> list[str]:
    """Why the log may not show the rows of a table. Pure."""
    exact = [each for each in found if names.are_same(each.database, database) and names.are_same(each.name, table)]
    if not exact:
        other = f"; the server writes it {found[0].database}.{found[0].name}" if found else ""
        return [f"database {database} has no table {table} (or the user may not see it){other}"]
    kind, engine = exact[0].kind.upper(), exact[0].engine.upper()
    if kind not in _READABLE:
        return [f"{table} is a {exact[0].kind.lower()}, whose rows are in no log; name the table that holds them"]
    if engine in _ROWS_ELSEWHERE:
        return [f"table {table} is kept by the engine {engine}, whose rows change elsewhere; read them there"]
    return []


def find_filter_faults(connection: Any, names: TableNames, database: str) -> list[str]:
    """Whether the server leaves the database out of its log."""
    status = db.log_status(connection)
    return find_exclusions(status.get("binlog_do_db", ""), status.get("binlog_ignore_db", ""), names, database)


def find_exclusions(written: str, ignored: str, names: TableNames, database: str) -> list[str]:
    """Faults of the server's filters, each a list of databases with commas. Pure."""
    do = [name.strip() for name in written.split(",") if name.strip()]
    ignore = [name.strip() for name in ignored.split(",") if name.strip()]
    if do and not any(map(names.is_database, do)):
        return [f"the server logs only {', '.join(do)} (binlog-do-db); add database {database}"]
    if any(map(names.is_database, ignore)):
        return [f"the server leaves database {database} out of its log (binlog-ignore-db); remove that option"]
    return []


def find_replica_faults(connection: Any, settings: Mapping[str, str]) -> list[str]:
    """Whether the server copies rows of another one without logging them."""
    if settings.get("log_replica_updates", settings.get("log_slave_updates", "ON")).upper() != "OFF":
        return []
    for question in ("SHOW REPLICA STATUS", "SHOW SLAVE STATUS"):
        try:
            copies = db.fetch_rows(connection, question)
        except pymysql.MySQLError:  # an older word, or a right that the connector does not need otherwise
            continue
        return (
            ["the server is a replica and does not log what it copies; set log_replica_updates=ON (log_slave_updates)"]
            if copies
            else []
        )
    return []
