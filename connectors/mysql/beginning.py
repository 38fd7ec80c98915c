"""Where a snapshot begins, without a lock: a position first, a consistent snapshot second.

Every transaction before the position must be visible in the snapshot. The log's end alone does not promise that: a transaction is
written to the log first and committed in the tables second. So the position comes from what the server says about committed ones:

- MariaDB tells the position at which a consistent snapshot stands.
- MySQL with GTIDs tells which transactions are committed; the position lies before the first that is not among them.
- MySQL without GTIDs begins a new log file only when all transactions of earlier files are committed; the position is the newest
  file's beginning. Rows of that file come again by the stream, which changes nothing.

What lies on both sides comes twice with the same id, which is one effect.
"""

from typing import Any

from connectors.mysql import server as db
from connectors.mysql.log.access import LogAccess
from connectors.mysql.log.gtid_set import GtidSet
from connectors.mysql.position import BinlogPosition
from contract.errors import TransientError

_TRIES = 5
"""Snapshots that are opened in the hope that nothing is committed meanwhile, so that nothing comes twice."""
_OPEN = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"


def open_snapshot(
    probe: Any, scan: Any, access: LogAccess, *, by_gtid: bool, mariadb: bool, gtids: bool
) -> BinlogPosition:
    """Opens a consistent snapshot on `scan`; returns the position (without the server's name) that the stream starts from.

    Args:
        probe: A connection for questions.
        scan: The connection that will read the tables.
        access: The server's log.
        by_gtid: Whether positions go by GTID.
        mariadb: Whether the server is MariaDB.
        gtids: Whether a MySQL server gives every transaction a GTID.
    """
    if mariadb:
        found = _by_snapshot_status(probe, scan, by_gtid=by_gtid)
    elif gtids:
        found = _by_committed(probe, scan, access, by_gtid=by_gtid)
    else:
        file, _ = db.read_binlog_end(probe)
        _execute(scan, _OPEN)
        found = BinlogPosition(file=file, offset=4)
    return BinlogPosition(file=found.file, offset=found.offset, gtid=found.gtid, born=access.find_created_s(found.file))


def _by_snapshot_status(probe: Any, scan: Any, *, by_gtid: bool) -> BinlogPosition:
    _execute(scan, _OPEN)
    status = {
        _text(name).lower(): _text(value)
        for name, value in db.fetch_rows(scan, "SHOW STATUS LIKE %s", ("binlog_snapshot_%",))
    }
    file, offset = status.get("binlog_snapshot_file", ""), status.get("binlog_snapshot_position", "")
    if not file or not offset.isdecimal():
        raise TransientError("MariaDB does not tell where in its log a consistent snapshot stands")
    gtid = None
    if by_gtid:
        gtid = _text(db.fetch_rows(probe, "SELECT BINLOG_GTID_POS(%s, %s)", (file, int(offset)))[0][0] or "")
    return BinlogPosition(file=file, offset=int(offset), gtid=gtid)


def _by_committed(probe: Any, scan: Any, access: LogAccess, *, by_gtid: bool) -> BinlogPosition:
    for _ in range(_TRIES):
        known = db.read_gtid_end(probe, mariadb=False)
        _execute(scan, _OPEN)
        if db.read_gtid_end(probe, mariadb=False) == known:
            break
    file, offset = db.read_binlog_end(probe)
    end = BinlogPosition(file=file, offset=offset, gtid=known if by_gtid else None)
    if by_gtid:
        return end
    first = access.find_first_unknown(GtidSet.parse(known))
    return first if first is not None and end.has_reached(first) else end


def _execute(connection: Any, statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
