"""The binary log as a flow of items: rows, and a Mark at every boundary between transactions."""

import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.constants.BINLOG import TABLE_MAP_EVENT
from pymysqlreplication.event import (
    BinLogEvent,
    GtidEvent,
    HeartbeatLogEvent,
    MariadbGtidEvent,
    QueryEvent,
    RotateEvent,
    XidEvent,
)
from pymysqlreplication.gtid import Gtid, GtidSet
from pymysqlreplication.packet import BinLogPacketWrapper

from connectors.mysql.columns.column_types import logged_type, may_be_named_bytes
from connectors.mysql.columns.packed import UndecodableError
from connectors.mysql.columns.row_images import RowDecoder, RowFault, told
from connectors.mysql.columns.table_map import TableMap, parse_table_map, table_name
from connectors.mysql.position import BinlogPosition, stream_position
from connectors.ports import Item, Mark, Row, SchemaSeen, Unreadable
from contract.errors import ConfigurationError, TransientError

_STANDALONE = 1
"""Flag of a MariaDB GTID event: a statement on its own, no COMMIT follows."""
_WORDS_OF_ROWS = {23: "insert", 24: "update", 30: "insert", 31: "update", 39: "update"}


class _Body(BinLogEvent):  # type: ignore[misc]
    """An event that is read by our own code: its body, and nothing else."""

    def __init__(self, from_packet: Any, event_size: int, table_map: Any, ctl_connection: Any, **options: Any) -> None:
        super().__init__(from_packet, event_size, table_map, ctl_connection, **options)
        self.table_id = 0
        self.body: bytes = from_packet.read(event_size)

    def get_table(self) -> None:
        """The library keeps what this gives; nobody asks for it."""


class _TableMap(_Body):
    """What the rows that follow look like."""


class _Rows(_Body):
    """Rows that were written or updated."""


_CLASSES = BinLogPacketWrapper._BinLogPacketWrapper__event_map  # noqa: SLF001 - it has no other place for this
_CLASSES[TABLE_MAP_EVENT] = _TableMap
_CLASSES.update(dict.fromkeys(_WORDS_OF_ROWS, _Rows))
_EVENTS = [
    _Rows, _TableMap, XidEvent, QueryEvent, RotateEvent, HeartbeatLogEvent, GtidEvent, MariadbGtidEvent,
]  # fmt: skip


def _skip_status_variables(event: Any, _key: int) -> None:
    """The settings that a statement ran under, none of which matters here; the first call skips them all.

    The library stops for ever at one that it does not know, as MariaDB writes with every CREATE DATABASE … CHARACTER SET,
    whatever database that is.
    """
    event.packet.advance(event.status_vars_length - 1)  # the key was read


QueryEvent._read_status_vars_value_for_key = _skip_status_variables  # noqa: SLF001 - it has no other place for this


class _Connection(pymysql.connections.Connection):  # type: ignore[misc]
    """A connection whose loss is told at once: the reader would go on by itself from within a transaction and lose rows."""

    def _read_packet(self, *arguments: Any, **named: Any) -> Any:
        try:
            return super()._read_packet(*arguments, **named)
        except pymysql.OperationalError as error:
            if error.args and error.args[0] in (2006, 2013):
                raise TransientError("the connection to MySQL was lost or silent for too long") from None
            raise


def _connection(**named: Any) -> _Connection:
    # the reader names the database by an argument that the driver deprecates
    if "db" in named:
        named["database"] = named.pop("db")
    return _Connection(**named)


def server_id(name: str) -> int:
    """A replica id made from a connector's name, outside the small numbers that people give by hand."""
    return 2**31 + zlib.crc32(name.encode()) % 2**30


class BinlogReader:
    """Reads from one position; one use. `items` blocks up to the heartbeat."""

    def __init__(
        self,
        options: Mapping[str, Any],
        start: BinlogPosition,
        *,
        end: BinlogPosition,
        replica_id: int,
        heartbeat_s: float,
        database: str,
        tables: list[str],
        mapped: Callable[[str], Collection[str]],
        data_types: Callable[[str], Mapping[str, str]],
        by_gtid: bool,
        mariadb: bool,
    ) -> None:
        """Prepares to read.

        Args:
            options: Connection settings; their read_timeout is the watchdog of a silent server.
            start: Where to start.
            end: The end of the log when reading began; once it is passed, the reader has caught up.
            replica_id: This reader's id among the server's replicas.
            heartbeat_s: How often a quiet server reports.
            database: Schema of the tables.
            tables: Tables whose rows are given.
            mapped: Columns or paths of a table that are decoded.
            data_types: Types of a table's columns in information_schema, asked for where the log does not tell them.
            by_gtid: Position by GTID instead of file and offset.
            mariadb: Whether the server is MariaDB (for GTIDs).
        """
        self._at = start
        self._end = end
        self._by_gtid = by_gtid
        self._gtids = _Gtids(start.gtid or "", mariadb=mariadb) if by_gtid else None
        self._inside = False
        self._rows_since = 0
        self._caught_up = False
        self._schemas: dict[str, dict[str, str]] = {}
        self._database = database
        self._mariadb = mariadb
        self._tables = frozenset(tables)
        self._mapped = mapped
        self._data_types = data_types
        self._decoders: dict[int, _Decoder] = {}
        self._reader = BinLogStreamReader(
            dict(options),
            replica_id,
            blocking=True,
            resume_stream=True,
            log_file=None if by_gtid else start.file,
            log_pos=None if by_gtid else start.offset,
            auto_position=start.gtid if by_gtid else None,
            is_mariadb=by_gtid and mariadb,
            only_events=_EVENTS,
            slave_heartbeat=heartbeat_s,
            pymysql_wrapper=_connection,
            enable_logging=False,
        )

    def items(self) -> Iterator[Item]:
        """Rows and marks, in the order of the log; the driver's errors pass through."""
        while (event := self._reader.fetchone()) is not None:
            if isinstance(event, _Rows):
                yield from self._rows(event)
            elif isinstance(event, _TableMap):
                yield from self._table(event.body)
            elif self._boundary(event):
                yield self._mark(idle=isinstance(event, HeartbeatLogEvent))
        raise TransientError("the server ended the binary log stream")

    def close(self) -> None:
        """Leaves the server; never raises."""
        try:
            self._reader.close()
        except (pymysql.MySQLError, OSError, TransientError):
            return

    def _boundary(self, event: Any) -> bool:
        """Follows transactions; True when everything so far is complete."""
        if isinstance(event, RotateEvent):
            # a server that crashed begins the next file with ids counted from the start
            self._decoders.clear()
            self._at = self._here(str(event.next_binlog), int(event.position))
            return not self._inside
        if isinstance(event, MariadbGtidEvent | GtidEvent):
            self._inside = isinstance(event, MariadbGtidEvent) and not event.flags & _STANDALONE
            if self._gtids is not None:
                self._gtids.begin(event.gtid)
            return False
        if isinstance(event, QueryEvent):
            word = event.query[:8].upper().strip()
            if word == "BEGIN" or (self._inside and word not in ("COMMIT", "ROLLBACK")):
                self._inside = True
                return False
        if isinstance(event, HeartbeatLogEvent):
            if self._inside:
                return False
        else:
            self._inside = False
            if self._gtids is not None:
                self._gtids.commit()
        self._at = self._here(self._reader.log_file, self._reader.log_pos)
        return True

    def _here(self, file: str, offset: int) -> BinlogPosition:
        self._rows_since = 0
        gtid = self._gtids.text() if self._gtids is not None else None
        return BinlogPosition(file=file, offset=offset, gtid=gtid, server=self._at.server)

    def _mark(self, *, idle: bool) -> Mark:
        reached = not self._caught_up and self._at.reaches(self._end)
        self._caught_up = self._caught_up or reached
        return Mark(stream_position(self._at), idle=reached or (idle and self._caught_up))

    def _table(self, body: bytes) -> Iterator[Item]:
        number, database, table = table_name(body)
        if database != self._database or table not in self._tables:
            self._decoders.pop(number, None)
            return
        if number in self._decoders and self._decoders[number].body == body:
            return
        try:
            found = parse_table_map(body, mariadb=self._mariadb)
            self._decoders[number] = decoder = _Decoder(found, body, self._decoder(found))
        except UndecodableError as error:
            raise ConfigurationError([f"{error}; map no such column, or leave the table out"]) from None
        if decoder.families and self._schemas.get(table) != decoder.families:
            self._schemas[table] = decoder.families
            yield SchemaSeen(table, decoder.families)

    def _decoder(self, found: TableMap) -> RowDecoder | None:
        """Decodes the mapped columns; None where the log has no names of columns."""
        if not found.named:
            return None
        names = {str(column.name) for column in found.columns}
        wanted = {name if name in names else name.partition(".")[0] for name in self._mapped(found.table)}
        types = self._data_types(found.table) if may_be_named_bytes(found, wanted) else None
        return RowDecoder(found, wanted, types)

    def _rows(self, event: Any) -> Iterator[Item]:
        decoder = self._decoders.get(int.from_bytes(event.body[:6], "little"))
        if decoder is None:
            return
        # MariaDB gives rows no position of their own, so they are counted from the start of their transaction
        begin = f"{self._at.file}:{self._at.offset}"
        if decoder.rows is None:
            detail = "rows without names of columns (binlog_row_metadata=MINIMAL)"
            yield Unreadable(decoder.table, f"{begin}+{self._rows_since}", "malformed", detail)
            return
        changed_at = datetime.fromtimestamp(event.timestamp, UTC)
        kind = _WORDS_OF_ROWS[event.event_type]
        for image in decoder.rows.rows(event.event_type, event.body):
            self._rows_since += 1
            place = f"{begin}+{self._rows_since}"
            if isinstance(image, RowFault):
                yield Unreadable(decoder.table, place, "malformed", image.detail, image.known)
                return
            before, after = told(image, decoder.rows.wanted)
            yield Row(decoder.table, kind, after or {}, place, "stream", before, changed_at)  # type: ignore[arg-type]


class _Decoder:
    """One table, as its newest map describes it."""

    def __init__(self, found: TableMap, body: bytes, rows: RowDecoder | None) -> None:
        self.table = found.table
        self.body = body
        self.rows = rows
        self.families: dict[str, str] = (
            {str(column.name): logged_type(column).family for column in found.columns} if rows else {}
        )


class _Gtids:
    """The set of transactions seen, in the server's notation."""

    def __init__(self, text: str, *, mariadb: bool) -> None:
        self._mariadb = mariadb
        self._pending: str | None = None
        self._domains = {part.split("-")[0]: part for part in text.split(",") if part} if mariadb else {}
        self._set = GtidSet(text) if not mariadb else None

    def begin(self, gtid: str) -> None:
        self._pending = gtid

    def commit(self) -> None:
        """The transaction that began is complete."""
        if self._pending is None:
            return
        if self._set is None:
            self._domains[self._pending.split("-")[0]] = self._pending
        else:
            self._set = self._set + Gtid(self._pending)
        self._pending = None

    def text(self) -> str:
        return str(self._set) if self._set is not None else ",".join(self._domains.values())
