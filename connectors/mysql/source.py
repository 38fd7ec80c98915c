"""MySQL and MariaDB as a source: a consistent snapshot, then the binary log from the position that was taken before it."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec
import structlog
from pymysql.cursors import SSCursor

from connectors.config.connector_file import ConnectorConfig, MysqlServer, Table
from connectors.mysql import server as db
from connectors.mysql.beginning import open_snapshot
from connectors.mysql.columns.column_types import Declared
from connectors.mysql.columns.packed import UndecodableError
from connectors.mysql.columns.selection import Selection, build_condition, is_resumable, quote_identifier
from connectors.mysql.log.access import LogAccess
from connectors.mysql.lookup import ServerTables
from connectors.mysql.names import TableNames
from connectors.mysql.position import (
    BinlogPosition,
    SnapshotPosition,
    describe_place,
    encode_snapshot,
    encode_stream,
    parse_snapshot,
    parse_stream,
)
from connectors.mysql.server_checks import find_filter_faults, find_replica_faults, find_table_faults, find_tables
from connectors.mysql.streaming import LogStream, derive_replica_id
from connectors.ports import Checkpoint, Extent, Item, Position, Row, SchemaSeen
from connectors.values import as_key, require_usable
from contract.errors import ConfigurationError, InvalidEventError

_LOG = structlog.get_logger()
CHUNK_ROWS = 500
"""Rows fetched at once and between two marks."""
SNAPSHOT_TIMEOUT_S = 3600.0
"""The server waits so long for a reader that Kafka holds up, and the reader for a server that sorts a large table."""


class MysqlSource:
    """See connectors.ports.Source."""

    def __init__(
        self, config: ConnectorConfig, server: MysqlServer, password: str | None, columns: Callable[[str], set[str]]
    ) -> None:
        """Connects to nothing yet.

        Args:
            config: The connector file.
            server: Its `source`.
            password: The user's password.
            columns: Columns or paths that the mapping reads from a table.
        """
        self._config = config
        self._server = server
        self._password = password
        self._mapped = columns
        self._tables = {table.name: table for table in config.list_tables()}
        self._stream: LogStream | None = None

    def check(self) -> list[str]:
        connection = self._connect()
        try:
            with db.translate_driver_errors(self._server):
                found = db.read_settings(connection)
                names = self._names(found)
                faults = names.faults + db.find_setting_faults(found)
                for section in self._tables.values():
                    faults += self._table_faults(connection, section, names)
                self._check_log(connection, found)
                faults += find_filter_faults(connection, names, self._server.database)
                faults += find_replica_faults(connection, found)
            return faults
        finally:
            connection.close()

    def sample(self, table: str, limit: int) -> list[Row]:
        selection, statement = self._select(table, self._columns(table))
        found = self._query(f"{statement} LIMIT {int(limit)}")
        return [Row(table, "read", selection.make_row(row), f"sample#{i}", "direct") for i, row in enumerate(found)]

    def fetch(self, table: str, key: str) -> Row | None:
        columns = self._columns(table)
        selection, statement = self._select(table, columns)
        wanted = build_condition(columns[self._config.get_key_column(self._tables[table])], key)
        if wanted is None:
            return None
        found = self._query(f"{statement} WHERE {wanted.statement} LIMIT 1", wanted.value)
        return Row(table, "read", selection.make_row(found[0]), "fetch", "direct") if found else None

    def read_snapshot(self, resume: Position | None) -> Iterator[Item]:
        resumed = parse_snapshot(resume) if resume is not None else None
        probe = self._connect()
        scan = db.connect_for_rows(self._server, self._password, read_timeout_s=SNAPSHOT_TIMEOUT_S)
        try:
            with db.translate_driver_errors(self._server):
                begun = self._begin(probe, scan)
                start = resumed.start if resumed else begun
                probe.close()
                yield from self._scan_tables(scan, start, resumed)
        finally:
            for connection in (probe, scan):
                if connection.open:
                    connection.close()
        yield Checkpoint(encode_stream(start))

    def read_stream(self, start: Position) -> Iterator[Item]:
        position = parse_stream(start)
        connection = self._connect()
        try:
            with db.translate_driver_errors(self._server):
                found = db.read_settings(connection)
                end = self._end(connection, found)
        finally:
            connection.close()
        for fault in db.find_setting_faults(found):
            _LOG.warning("server_setting", connector=self._config.name, fault=fault)
        options = db.build_options(self._server, self._password, read_timeout_s=self._server.silent_after_s)
        tables = ServerTables(self._connect, self._server.database, self.fetch, self._config)
        self._stream = LogStream(
            self._config, self._server, options, mapped=self._mapped, tables=tables, files=self._files
        )
        try:
            with db.translate_driver_errors(self._server):
                yield from self._stream.read_items(position, end, found)
        finally:
            self.close()

    def acknowledge(self, position: Position) -> None:
        """Nothing to free: the server keeps its log by its own rules."""

    def describe_position(self, position: Position) -> str:
        return describe_place(parse_stream(position))

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def list_columns(self, table: str) -> list[str]:
        """Names of the columns, for `connector new`; raises ConfigurationError where there is no such table."""
        return list(self._columns(table))

    def _columns(self, table: str) -> dict[str, Declared]:
        connection = self._connect()
        try:
            with db.translate_driver_errors(self._server):
                found = db.read_columns(connection, self._server.database, table)
        finally:
            connection.close()
        if not found:
            raise ConfigurationError(
                [f"database {self._server.database} has no table {table} (or the user may not see it)"]
            )
        return found

    def find_primary_key(self, table: str) -> str | None:
        """A column that names rows of `table`, for `connector new`."""
        connection = self._connect()
        try:
            with db.translate_driver_errors(self._server):
                keys = db.read_unique_keys(connection, self._server.database, table)
                return next(
                    (name for name in db.read_columns(connection, self._server.database, table) if name in keys), None
                )
        finally:
            connection.close()

    def _connect(self) -> Any:
        return db.connect(self._server, self._password)

    def _query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        connection = db.connect_for_rows(self._server, self._password)
        try:
            with db.translate_driver_errors(self._server):
                return db.fetch_rows(connection, statement, values)
        finally:
            connection.close()

    def _table_faults(self, connection: Any, section: Table, names: TableNames) -> list[str]:
        table, database = section.name, self._server.database
        hidden = find_table_faults(find_tables(connection, database, table), database, table, names)
        if hidden:
            return hidden
        types = db.read_columns(connection, database, table)
        mapped = {_column(name, types) for name in self._mapped(table)}
        faults = [f"table {table} has no column {name}" for name in sorted(mapped - set(types))]
        key = self._config.get_key_column(section)
        if key in types and key not in db.read_unique_keys(connection, database, table):
            faults.append(f"table {table}: key {key} is neither a primary nor a unique key of its own")
        return faults + [fault for name in sorted(mapped & set(types)) for fault in _type_faults(table, types[name])]

    def _names(self, found: Mapping[str, str]) -> TableNames:
        return TableNames(self._server.database, list(self._tables), ignore_case=db.is_case_insensitive(found))

    def _check_log(self, connection: Any, found: Mapping[str, str]) -> None:
        """Reads the beginning of the log as the stream will, so that a missing grant is told now."""
        file, _ = db.read_binlog_end(connection)
        self._access(found).find_created_s(file)

    def _access(self, found: Mapping[str, str]) -> LogAccess:
        options = db.build_options(self._server, self._password, read_timeout_s=60.0)
        name = derive_replica_id(self._config, self._server, "look")
        return LogAccess(options, replica_id=name, mariadb=db.is_mariadb(found))

    def _files(self) -> list[str]:
        connection = self._connect()
        try:
            with db.translate_driver_errors(self._server):
                return db.log_files(connection)
        finally:
            connection.close()

    def _end(self, connection: Any, found: Mapping[str, str]) -> BinlogPosition:
        file, offset = db.read_binlog_end(connection)
        by_gtid = self._server.position_by == "gtid"
        gtid = db.read_gtid_end(connection, mariadb=db.is_mariadb(found)) if by_gtid else None
        if gtid == "" and not db.is_mariadb(found):
            raise ConfigurationError(["position_by: gtid, but the server has no GTIDs; set gtid_mode=ON"])
        return BinlogPosition(file=file, offset=offset, gtid=gtid, server=db.identify_server(found))

    def _begin(self, probe: Any, scan: Any) -> BinlogPosition:
        """Opens a consistent snapshot on `scan`, and gives the position that the stream starts from."""
        with scan.cursor() as cursor:
            cursor.execute(f"SET SESSION net_write_timeout = {int(SNAPSHOT_TIMEOUT_S)}")
            cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        found = db.read_settings(probe)
        self._end(probe, found)  # tells a log or GTIDs that are switched off
        begun = open_snapshot(
            probe,
            scan,
            self._access(found),
            by_gtid=self._server.position_by == "gtid",
            mariadb=db.is_mariadb(found),
            gtids=found.get("gtid_mode", "OFF").upper() == "ON",
        )
        return msgspec.structs.replace(begun, server=db.identify_server(found))

    def _scan_tables(self, scan: Any, start: BinlogPosition, resumed: SnapshotPosition | None) -> Iterator[Item]:
        names = list(self._tables)
        first = names.index(resumed.table) if resumed and resumed.table in names else 0
        for table in names[first:]:
            columns = self._columns(table)
            yield SchemaSeen(table, db.find_families(columns))
            if not self._config.transactions.snapshot:
                continue
            begun = SnapshotPosition(start=start, table=table)
            if resumed and resumed.table == table and resumed.after is not None:
                begun = msgspec.structs.replace(begun, after=resumed.after, rows=resumed.rows)
            yield Extent(table, db.estimate_rows(scan, self._server.database, table), begun.rows)
            yield from self._scan(scan, begun, columns)

    def _scan(self, scan: Any, begun: SnapshotPosition, columns: Mapping[str, Declared]) -> Iterator[Item]:
        start, table, after = begun.start, begun.table, begun.after
        selection, statement = self._select(table, columns)
        order = self._order(table, selection.names)
        # >= gives the last row again rather than risk one with an equal value
        behind = build_condition(columns[order], after, ">=") if after is not None else None
        where = f" WHERE {behind.statement}" if behind else ""
        cursor = scan.cursor(SSCursor)
        finished = False
        try:
            cursor.execute(f"{statement}{where} ORDER BY {quote_identifier(order)}", (behind.value,) if behind else ())
            number = 0
            while chunk := cursor.fetchmany(CHUNK_ROWS):
                for answers in chunk:
                    number += 1
                    coordinates = f"{start.file}:{start.offset} snapshot row {number}"
                    values = selection.make_row(answers)
                    yield Row(table, "read", values, coordinates, "snapshot")
                after = _place(columns[order], values[order])
                place = msgspec.structs.replace(begun, after=after, rows=begun.rows + number)
                yield Checkpoint(encode_snapshot(place))
            finished = True
        finally:
            if not finished and cursor._result is not None:  # noqa: SLF001 - else the driver would read the whole rest
                cursor._result.unbuffered_active = False  # noqa: SLF001 - as above; the connection is closed next
            cursor.close()

    def _order(self, table: str, names: list[str]) -> str:
        transactions = self._config.transactions
        if table == transactions.name and transactions.snapshot_order == "event_time":
            name = transactions.fields.event_time.list_names()[0]
            if name in names:
                return name
        return self._config.get_key_column(self._tables[table])

    def _select(self, table: str, columns: Mapping[str, Declared]) -> tuple[Selection, str]:
        """The mapped columns that `table` has, and a SELECT of them."""
        mapped = {_column(name, columns) for name in self._mapped(table)}
        chosen = [column for name, column in columns.items() if name in mapped]
        if not chosen:
            raise ConfigurationError([f"table {table} has none of the mapped columns"])
        try:
            selection = Selection(chosen)
        except UndecodableError as error:
            raise ConfigurationError([f"table {table}: {error}"]) from None
        name = f"{quote_identifier(self._server.database)}.{quote_identifier(table)}"
        return selection, f"SELECT {selection.shown} FROM {name}"  # noqa: S608 - quoted names


def _column(name: str, types: Collection[str]) -> str:
    """The column that a mapped name starts with: `details.card` reads inside the JSON column `details`."""
    return name if name in types else name.partition(".")[0]


def _place(column: Declared, value: object) -> str | None:
    """Where a scan can continue; None where it must begin again."""
    if not is_resumable(column):
        return None
    try:
        return as_key(require_usable(column.name, value))
    except InvalidEventError:
        return None


def _type_faults(table: str, column: Declared) -> list[str]:
    try:
        Selection([column])
    except UndecodableError as error:
        return [f"table {table}: {error}"]
    return []
