"""One stream of a server's log from a saved position: is the position still this log's, then the reader and what it asks for."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import structlog

from connectors.config.connector_file import ConnectorConfig, MysqlServer
from connectors.mysql import server as db
from connectors.mysql.delivery import Delivery, Tables
from connectors.mysql.log.access import LogAccess
from connectors.mysql.log.commands import FromFile, FromGtids, FromMariadbGtids, Start
from connectors.mysql.log.dump import Dump
from connectors.mysql.log.gtid_set import GtidSet
from connectors.mysql.log.identifiers import History, MariadbHistory, MysqlHistory, Xid
from connectors.mysql.log.reader import LogReader
from connectors.mysql.log.transactions import Held
from connectors.mysql.names import TableNames
from connectors.mysql.position import BinlogPosition
from connectors.ports import Item
from contract.errors import ConfigurationError, PositionDeadError

_LOG = structlog.get_logger()


class LogStream:
    """One use."""

    def __init__(
        self,
        config: ConnectorConfig,
        server: MysqlServer,
        options: Mapping[str, Any],
        *,
        mapped: Callable[[str], set[str]],
        tables: Tables,
        files: Callable[[], list[str]],
    ) -> None:
        """Connects to nothing yet.

        Args:
            config: The connector file.
            server: Its `source`.
            options: The driver's, with the time limit of a silent server.
            mapped: Columns or paths that the mapping reads from a table.
            tables: The tables as they stand on the server now.
            files: Lists the server's log files, the oldest first.
        """
        self._config = config
        self._server = server
        self._options = options
        self._mapped = mapped
        self._tables = tables
        self._files = files
        self._dump: Dump | None = None
        self._reader: LogReader | None = None

    def read_items(self, position: BinlogPosition, end: BinlogPosition, settings: Mapping[str, str]) -> Iterator[Item]:
        """What was committed after `position`.

        Args:
            position: Where to start.
            end: The end of the log now.
            settings: The server's.
        """
        mariadb = db.is_mariadb(settings)
        names = self._names(settings)
        if names.faults:
            raise ConfigurationError(names.faults)
        start, history = self._start(position, mariadb=mariadb)
        access = LogAccess(
            self._options, replica_id=derive_replica_id(self._config, self._server, "look"), mariadb=mariadb
        )
        self._check_identity(position, end, access)

        def find_prepared(xid: Xid, before: BinlogPosition) -> Held | None:
            return access.find_prepared(xid, before, self._files(), names)

        keys = {table.name: self._config.get_key_column(table) for table in self._config.list_tables()}
        self._reader = LogReader(
            position,
            end=end,
            names=names,
            rows=Delivery(names, self._mapped, keys.__getitem__, self._tables, mariadb=mariadb),
            history=history,
            policy=self._server.on_unreadable,
            find_prepared=find_prepared,
        )
        self._dump = Dump(
            self._options,
            start,
            replica_id=derive_replica_id(self._config, self._server),
            heartbeat_s=self._server.heartbeat_s,
            mariadb=mariadb,
        )
        yield from self._reader.read_items(self._dump)

    def close(self) -> None:
        """Leaves the server; never raises."""
        if self._dump is not None:
            self._dump.close()
        if self._reader is not None:
            self._reader.close()

    def _names(self, settings: Mapping[str, str]) -> TableNames:
        tables = [table.name for table in self._config.list_tables()]
        return TableNames(self._server.database, tables, ignore_case=db.is_case_insensitive(settings))

    def _start(self, position: BinlogPosition, *, mariadb: bool) -> tuple[Start, History | None]:
        if self._server.position_by != "gtid":
            return FromFile(position.file, position.offset), None
        if position.gtid is None:
            raise ConfigurationError(
                ["position_by: gtid, but the saved position has none; reset the connector's position"]
            )
        try:
            if mariadb:
                return FromMariadbGtids(position.gtid), MariadbHistory(position.gtid)
            return FromGtids(GtidSet.parse(position.gtid)), MysqlHistory(position.gtid)
        except ValueError:
            raise ConfigurationError(
                ["the saved position's gtid is not in the server's notation; set or reset the connector's position"]
            ) from None

    def _check_identity(self, position: BinlogPosition, end: BinlogPosition, access: LogAccess) -> None:
        """A log that begins again under the same names is another log, though its offsets or numbers may fit."""
        if position.server != end.server:
            if position.server and end.server and self._server.position_by == "file":
                raise PositionDeadError(
                    "the position belongs to another server; positions by file do not survive a failover"
                )
            return
        if not position.born:
            return
        known = self._files()
        if position.file in known:
            if access.find_created_s(position.file) != position.born:
                raise PositionDeadError(
                    f"the server's log began again: {position.file} is not the file of that name which was read"
                )
        elif known and (len(position.file), position.file) > (len(known[-1]), known[-1]):
            raise PositionDeadError(f"the server's log began again: it ends before {position.file}, which was read")


def derive_replica_id(config: ConnectorConfig, server: MysqlServer, purpose: str = "") -> int:
    """The id of this connector among the server's replicas; another one for a second connection with a purpose."""
    if server.server_id is not None and not purpose:
        return server.server_id
    return db.derive_server_id(f"{server.database}/{config.name}{'/' + purpose if purpose else ''}")
