"""One connection that is sent the binary log: packets in, nothing understood. The driver signs in and encrypts."""

import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pymysql

from connectors.mysql.log.commands import REGISTER, Start, build_session_statements, dump, register
from contract.errors import TransientError

_LOST = (2006, 2013, 2014)
"""The driver's codes of a lost or silent connection."""


class Dump:
    """A dump from one start; one use. The driver's errors pass through, but for a lost connection."""

    def __init__(
        self,
        options: Mapping[str, Any],
        start: Start,
        *,
        replica_id: int,
        heartbeat_s: float,
        mariadb: bool,
        blocking: bool = True,
    ) -> None:
        """Connects, and asks for the log.

        Args:
            options: The driver's; their read_timeout is the watchdog of a silent server.
            start: Where reading starts.
            replica_id: This reader's id among the server's replicas.
            heartbeat_s: How often a quiet server speaks.
            mariadb: Whether the server is MariaDB.
            blocking: False: ends where the log ends now.
        """
        self._connection = pymysql.connect(**options)
        try:
            name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"tillguard/{replica_id}"))
            with self._connection.cursor() as cursor:
                for statement, values in build_session_statements(
                    start, mariadb=mariadb, heartbeat_s=heartbeat_s, uuid=name
                ):
                    cursor.execute(statement, values)
                cursor.execute("SELECT @master_binlog_checksum")
                self.checksums = str(cursor.fetchone()[0]).upper() == "CRC32"
            self._ask(REGISTER, register(replica_id))
            self._connection._read_packet()  # noqa: SLF001 - the driver has no public way to send a command
            self._ask(*dump(start, replica_id, blocking=blocking))
        except BaseException:
            self.close()
            raise

    def read_packets(self) -> Iterator[bytes]:
        """Events with their headers, one after another; ends where the server ends the stream."""
        read = self._connection._read_packet  # noqa: SLF001 - as above
        while True:
            try:
                packet = read()
            except pymysql.OperationalError as error:
                if error.args and error.args[0] in _LOST:
                    raise TransientError("the connection to MySQL was lost or silent for too long") from None
                raise
            data = packet.get_all_data()
            if data[0] == 0xFE:
                return
            yield data[1:]

    def close(self) -> None:
        """Leaves the server; never raises."""
        try:
            self._connection._force_close()  # noqa: SLF001 - a goodbye would wait behind events that nobody reads
        except (pymysql.MySQLError, OSError):
            return

    def _ask(self, command: int, arguments: bytes) -> None:
        self._connection._execute_command(command, arguments)  # noqa: SLF001 - as above
