"""Short looks into a server's log next to the stream: when a file was created, where a transaction stands, what was prepared."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from connectors.mysql.log.commands import FromFile, FromGtids, Start
from connectors.mysql.log.cursor import MalformedEventError
from connectors.mysql.log.dump import Dump
from connectors.mysql.log.event_types import ARTIFICIAL_FLAG, Code
from connectors.mysql.log.follower import Follower
from connectors.mysql.log.framing import ChecksumError, Event, Frames, read_rotate
from connectors.mysql.log.gtid_set import GtidSet
from connectors.mysql.log.identifiers import Xid
from connectors.mysql.log.spool import Spool
from connectors.mysql.log.transactions import Held
from connectors.mysql.names import TableNames
from connectors.mysql.position import BinlogPosition
from contract.errors import TransientError

_BEGINS = frozenset((Code.GTID, Code.ANONYMOUS_GTID, Code.GTID_TAGGED))


class LogAccess:
    """One server's log. Every look has a connection of its own, which ends with it."""

    def __init__(self, options: Mapping[str, Any], *, replica_id: int, mariadb: bool) -> None:
        """Connects to nothing yet.

        Args:
            options: The driver's.
            replica_id: An id that no dump which is under way has.
            mariadb: Whether the server is MariaDB.
        """
        self._options = options
        self._replica_id = replica_id
        self._mariadb = mariadb

    def find_created_s(self, file: str) -> int:
        """When the server created `file`, in seconds since 1970; 0 where it does not say."""
        with self._events(FromFile(file, 4)) as events:
            return next((event.timestamp for event in events if event.code == Code.FORMAT_DESCRIPTION), 0)

    def find_first_unknown(self, known: GtidSet) -> BinlogPosition | None:
        """Where the first transaction that is not in `known` begins on a MySQL server; None where there is none."""
        file = ""
        with self._events(FromGtids(known)) as events:
            for event in events:
                if event.code == Code.ROTATE:
                    file, _ = read_rotate(event)
                elif event.code in _BEGINS:
                    return BinlogPosition(file=file, offset=event.end - event.size)
        return None

    def find_prepared(self, xid: Xid, before: BinlogPosition, files: Sequence[str], names: TableNames) -> Held | None:
        """The rows of a transaction that was prepared before a place in the log; LookupError where it is not there.

        A transaction lies in one file, so files are read whole, the newest first.

        Args:
            xid: Its name.
            before: Where its verdict stands.
            files: Log files of the server, the oldest first.
            names: The mapped tables.
        """
        known = list(files)
        last = known.index(before.file) if before.file in known else len(known) - 1
        for file in reversed(known[: last + 1]):
            follower = Follower(names, Spool)
            try:
                with self._events(FromFile(file, 4)) as events:
                    self._replay(events, follower, file, before)
                if follower.transactions.has_prepared(xid):
                    return follower.transactions.take_prepared(xid)
            finally:
                follower.transactions.close()
        raise LookupError

    def _replay(self, events: Iterator[Event], follower: Follower, file: str, before: BinlogPosition) -> None:
        for event in events:
            if event.code == Code.ROTATE:
                if read_rotate(event)[0] != file:
                    return
                continue
            if event.code == Code.FORMAT_DESCRIPTION:
                continue
            for outcome in follower.follow(event, f"{file}:{max(event.end - event.size, 0)}"):
                held = getattr(outcome, "held", None)
                if held is not None:
                    held.store.close()
            at_end = event.end and not event.flags & ARTIFICIAL_FLAG and not follower.inside
            if at_end and file == before.file and event.end >= before.offset:
                return

    @contextmanager
    def _events(self, start: Start) -> Iterator[Iterator[Event]]:
        dump = Dump(
            self._options, start, replica_id=self._replica_id, heartbeat_s=10.0, mariadb=self._mariadb, blocking=False
        )
        try:
            frames = Frames(checksums=dump.checksums)
            yield (frames.read(packet) for packet in dump.read_packets())
        except (MalformedEventError, ChecksumError) as error:
            raise TransientError(f"the server's log cannot be read: {error}") from None
        finally:
            dump.close()
