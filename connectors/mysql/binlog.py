"""The binary log as a flow of items: rows, and a Mark at every boundary between transactions."""

import codecs
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.constants import FIELD_TYPE
from pymysqlreplication.event import (
    GtidEvent,
    HeartbeatLogEvent,
    MariadbGtidEvent,
    QueryEvent,
    RotateEvent,
    XidEvent,
)
from pymysqlreplication.gtid import Gtid, GtidSet
from pymysqlreplication.row_event import RowsEvent, TableMapEvent, UpdateRowsEvent, WriteRowsEvent

from connectors.mysql.position import BinlogPosition, stream_position
from connectors.ports import Item, Mark, Row, SchemaSeen, Unreadable
from contract.errors import TransientError

_EVENTS = [
    WriteRowsEvent, UpdateRowsEvent, TableMapEvent, XidEvent, QueryEvent, RotateEvent, HeartbeatLogEvent, GtidEvent,
    MariadbGtidEvent,
]  # fmt: skip
_STANDALONE = 1
"""Flag of a MariaDB GTID event: a statement on its own, no COMMIT follows."""
_CODEC = "tillguard_"
_BY_TYPE = {
    "number": ("DECIMAL", "TINY", "SHORT", "LONG", "FLOAT", "DOUBLE", "LONGLONG", "INT24", "YEAR", "NEWDECIMAL"),
    "time": ("TIMESTAMP", "DATE", "TIME", "DATETIME", "NEWDATE", "TIMESTAMP2", "DATETIME2", "TIME2"),
    "text": ("VARCHAR", "VAR_STRING", "STRING", "BLOB", "ENUM", "SET", "JSON"),
}
_FAMILY_OF = {getattr(FIELD_TYPE, name): family for family, names in _BY_TYPE.items() for name in names}


def _lossless(name: str) -> codecs.CodecInfo | None:
    """A codec `tillguard_<encoding>` that keeps undecodable bytes as lone surrogates, so that one bad row stops nothing."""
    if not name.startswith(_CODEC):
        return None
    try:
        plain = codecs.lookup(name.removeprefix(_CODEC))
    except LookupError:
        return None
    return codecs.CodecInfo(
        plain.encode, lambda data, _errors="strict": plain.decode(data, "surrogateescape"), name=name
    )


codecs.register(_lossless)


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
            only_schemas=[database],
            only_tables=tables,
            slave_heartbeat=heartbeat_s,
            # a table keeps its id only as long as its columns; reading them once for each id doubles the speed
            freeze_schema=True,
            pymysql_wrapper=_connection,
            enable_logging=False,
        )

    def items(self) -> Iterator[Item]:
        """Rows and marks, in the order of the log; the driver's errors pass through."""
        while (event := self._reader.fetchone()) is not None:
            if isinstance(event, RowsEvent):
                yield from self._rows(event)
            elif isinstance(event, TableMapEvent):
                yield from self._table(event)
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
            self._reader.table_map = {}
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

    def _table(self, event: TableMapEvent) -> Iterator[Item]:
        seen = {}
        for column in event.columns:
            seen[str(column.name)] = _FAMILY_OF.get(column.type, "other")
            if column.character_set_name != "binary":
                column.character_set_name = _CODEC + _encoding(column.character_set_name)
        if self._schemas.get(event.table) != seen:
            self._schemas[event.table] = seen
            yield SchemaSeen(event.table, seen)

    def _rows(self, event: Any) -> Iterator[Item]:
        # MariaDB gives rows no position of their own, so they are counted from the start of their transaction
        begin = f"{self._at.file}:{self._at.offset}"
        try:
            found = event.rows
        except (ValueError, IndexError, KeyError, ArithmeticError, NotImplementedError, AssertionError) as error:
            detail = f"rows that the binary log reader cannot decode ({type(error).__name__})"
            yield Unreadable(event.table, f"{begin}+{self._rows_since}", "malformed", detail)
            return
        changed_at = datetime.fromtimestamp(event.timestamp, UTC)
        update = isinstance(event, UpdateRowsEvent)
        for row in found:
            values = row["after_values"] if update else row["values"]
            before = row["before_values"] if update else None
            kind = "update" if update else "insert"
            self._rows_since += 1
            yield Row(event.table, kind, values, f"{begin}+{self._rows_since}", "stream", before, changed_at)  # type: ignore[arg-type]


def _encoding(charset: str | None) -> str:
    """Python's name of a MySQL character set."""
    known = pymysql.charset.charset_by_name(charset) if charset else None
    return str(known.encoding) if known is not None else (charset or "utf8")


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
