"""What a replica tells a server to be sent its log: session variables and the commands' bytes. Pure."""

import struct
from typing import NamedTuple

from connectors.mysql.log.gtid_set import GtidSet

REGISTER, DUMP, DUMP_GTID = 0x15, 0x12, 0x1E
_NON_BLOCK = 0x01
_THROUGH_GTID = 0x04


class FromFile(NamedTuple):
    """Start at a place in a file."""

    file: str
    offset: int


class FromGtids(NamedTuple):
    """Start behind the transactions of a MySQL server that are known."""

    known: GtidSet


class FromMariadbGtids(NamedTuple):
    """Start behind the newest known transaction of each domain of a MariaDB server."""

    known: str


Start = FromFile | FromGtids | FromMariadbGtids


def build_session_statements(
    start: Start, *, mariadb: bool, heartbeat_s: float, uuid: str
) -> list[tuple[str, tuple[object, ...]]]:
    """Statements that prepare a session for a dump, each with its values.

    Args:
        start: Where reading starts.
        mariadb: Whether the server is MariaDB.
        heartbeat_s: How often a quiet server speaks.
        uuid: Names this reader to MySQL, which ends an older dump of the same name.
    """
    period = round(heartbeat_s * 1e9)
    statements: list[tuple[str, tuple[object, ...]]] = [
        ("SET @master_binlog_checksum = @@GLOBAL.binlog_checksum", ()),
        ("SET @master_heartbeat_period = %s", (period,)),
    ]
    if mariadb:
        statements.append(("SET @mariadb_slave_capability = 4", ()))
        if isinstance(start, FromMariadbGtids):
            statements.append(("SET @slave_connect_state = %s", (start.known,)))
            statements.append(("SET @slave_gtid_strict_mode = 1", ()))
            statements.append(("SET @slave_gtid_ignore_duplicates = 0", ()))
        return statements
    return [
        *statements,
        ("SET @source_binlog_checksum = @@GLOBAL.binlog_checksum", ()),
        ("SET @source_heartbeat_period = %s", (period,)),
        ("SET @slave_uuid = %s, @replica_uuid = %s", (uuid, uuid)),
    ]


def register(replica_id: int) -> bytes:
    """Arguments of COM_REGISTER_SLAVE: the id, and no host, user, password, port, rank or source."""
    return struct.pack("<IBBBHII", replica_id, 0, 0, 0, 0, 0, 0)


def dump(start: Start, replica_id: int, *, blocking: bool) -> tuple[int, bytes]:
    """The command that asks for the log, and its arguments.

    Args:
        start: Where reading starts.
        replica_id: This reader's id among the server's replicas.
        blocking: False: the server ends the stream where its log ends now.
    """
    flags = 0 if blocking else _NON_BLOCK
    if isinstance(start, FromGtids):
        known = start.known.encode()
        head = struct.pack("<HIIQI", flags | _THROUGH_GTID, replica_id, 0, 4, len(known))
        return DUMP_GTID, head + known
    file, offset = (start.file, start.offset) if isinstance(start, FromFile) else ("", 4)
    return DUMP, struct.pack("<IHI", offset, flags, replica_id) + file.encode()
