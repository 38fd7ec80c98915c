"""The log as a flow of items: the rows of each committed transaction, and a Checkpoint at boundaries between transactions."""

from collections.abc import Callable, Iterator
from typing import Literal, Protocol

import msgspec
import structlog

from connectors.mysql.log.cursor import MalformedEventError
from connectors.mysql.log.event_types import ARTIFICIAL_FLAG, Code
from connectors.mysql.log.follower import Defined, Ended, Follower, Loud
from connectors.mysql.log.framing import ChecksumError, Event, Frames, read_heartbeat, read_rotate
from connectors.mysql.log.identifiers import History, Xid
from connectors.mysql.log.spool import Spool
from connectors.mysql.log.transactions import Held
from connectors.mysql.names import TableNames
from connectors.mysql.position import BinlogPosition, encode_stream
from connectors.ports import Checkpoint, Item, Rowless, Unreadable
from contract.errors import ConfigurationError, TransientError

_LOG = structlog.get_logger()
_HEARTBEATS = frozenset((Code.HEARTBEAT, Code.HEARTBEAT_V2))
_OFFSET_MAX = 2**32 - 1
"""The protocol asks for offsets of 32 bits."""
MARK_EVERY = 500
"""Transactions without rows between two marks; those with rows have one each."""
_STOPPED = (
    "at {place}{named}: {why}. Rows of mapped tables may be missing from here on, so the connector stops before it. Remedy: "
    "`tillguard connector positions reset` reads the tables again as a whole; or set source.on_unreadable: dead_letter in the "
    "connector file to leave a dead letter and continue"
)
Policy = Literal["stop", "dead_letter"]


class Feed(Protocol):
    """Where packets come from."""

    checksums: bool

    def read_packets(self) -> Iterator[bytes]:
        """Events with their headers, one after another."""
        ...


class Rows(Protocol):
    """Turns held events into items."""

    def deliver(self, held: Held) -> Iterator[Item]:
        """The rows of a committed transaction, and the columns of their tables where they changed."""
        ...

    def forget(self) -> None:
        """A definition was changed: what was remembered of columns may no longer hold."""
        ...


class LogReader:
    """Reads from one position; one use. `read_items` blocks up to the heartbeat."""

    def __init__(
        self,
        start: BinlogPosition,
        *,
        end: BinlogPosition,
        names: TableNames,
        rows: Rows,
        history: History | None,
        policy: Policy,
        find_prepared: Callable[[Xid, BinlogPosition], Held | None],
    ) -> None:
        """Prepares to read.

        Args:
            start: Where to start.
            end: The end of the log when reading began; once it is passed, the reader has caught up.
            names: The mapped tables.
            rows: Turns held events into items.
            history: The transactions before `start`, where positions go by GTID.
            policy: What becomes of changes that cannot be read.
            find_prepared: Looks in the log before `start` for a prepared transaction; None where it is not there.
        """
        self._at = start
        self._end = end
        self._history = history
        self._rows = rows
        self._policy = policy
        self._table = names.get_first()
        self._find_prepared = find_prepared
        self._follower = Follower(names, Spool)
        self._began = start
        self._caught_up = self._placed = False
        self._unmarked = 0
        self._last: BinlogPosition = start

    def read_items(self, feed: Feed) -> Iterator[Item]:
        """Rows and marks, in the order of the log; the driver's errors pass through."""
        frames = Frames(checksums=feed.checksums)
        for packet in feed.read_packets():
            try:
                event = frames.read(packet)
            except ChecksumError:
                raise TransientError(
                    f"an event behind {self._place()} was damaged on its way (its checksum differs)"
                ) from None
            except MalformedEventError as error:
                raise TransientError(f"behind {self._place()}: {error}") from None
            yield from self._take(event)
        raise TransientError("the server ended the binary log stream")

    def close(self) -> None:
        """Lets go of what is held; never raises."""
        self._follower.transactions.close()

    def _take(self, event: Event) -> Iterator[Item]:
        code = event.code
        if code == Code.ROTATE:
            self._rotate(event)
        elif code == Code.FORMAT_DESCRIPTION:
            yield from self._describe(event)
        elif code in _HEARTBEATS:
            yield from self._heartbeat(event)
        else:
            yield from self._follow(event)

    def _follow(self, event: Event) -> Iterator[Item]:
        follower, ended = self._follower, False
        if not follower.inside:
            self._began = self._before(event)
        for outcome in follower.follow(event, self._place()):
            if isinstance(outcome, Ended):
                ended = True
                if outcome.held is not None:
                    yield from self._deliver(outcome.held)
                elif outcome.rowless is not None:
                    yield Rowless(self._table, outcome.rowless)
            elif isinstance(outcome, Loud):
                yield self._loud(outcome.why)
            elif isinstance(outcome, Defined):
                self._rows.forget()
            else:
                yield from self._recover(outcome.xid)
        if follower.inside or event.flags & ARTIFICIAL_FLAG:
            return
        self._advance(event.end)
        if ended and self._history is not None and follower.gtid is not None:
            self._history.add(follower.gtid)
        yield from self._boundary()

    def _deliver(self, held: Held) -> Iterator[Item]:
        self._unmarked = MARK_EVERY
        try:
            yield from self._rows.deliver(held)
        finally:
            held.store.close()

    def _recover(self, xid: Xid) -> Iterator[Item]:
        """A transaction that was prepared before reading began: its rows are looked for in the log before."""
        try:
            held = self._find_prepared(xid, self._began)
        except LookupError:
            yield self._loud(
                "a distributed (XA) transaction was committed that was prepared before the oldest log file that the server still has"
            )
            return
        if held is not None:
            yield from self._deliver(held)

    def _loud(self, why: str) -> Item:
        gtid = self._follower.gtid
        named = f" (transaction {gtid.to_text()})" if gtid else ""
        if self._policy == "stop":
            raise ConfigurationError([_STOPPED.format(place=self._place(), named=named, why=why)])
        _LOG.error("change_not_readable", place=self._place(), why=why)
        return Unreadable(self._table, self._place(), "unseen", f"{why}; at {self._place()}{named}")

    def _rotate(self, event: Event) -> None:
        try:
            file, offset = read_rotate(event)
        except MalformedEventError as error:
            raise TransientError(f"behind {self._place()}: {error}") from None
        if file != self._at.file or offset != self._at.offset:
            self._at = msgspec.structs.replace(self._at, file=file, offset=offset, born=0)

    def _describe(self, event: Event) -> Iterator[Item]:
        """A file begins, or reading begins within it."""
        self._placed = True
        self._at = msgspec.structs.replace(self._at, born=event.timestamp, server=self._end.server)
        if self._follower.inside:
            self._follower.break_off()
        self._unmarked = MARK_EVERY
        self._advance(event.end)
        yield from self._boundary()

    def _heartbeat(self, event: Event) -> Iterator[Item]:
        if self._follower.inside or not self._placed:
            return
        try:
            file, offset = read_heartbeat(event)
        except MalformedEventError as error:
            raise TransientError(f"behind {self._place()}: {error}") from None
        if file == self._at.file and offset is not None:
            self._advance(offset & _OFFSET_MAX)
        yield self._mark(idle=True)

    def _advance(self, end: int) -> None:
        """Moves on within the file; MariaDB gives no places inside transactions."""
        if end:
            self._at = msgspec.structs.replace(self._at, offset=self._offset(end))

    def _before(self, event: Event) -> BinlogPosition:
        """Where `event` begins: by GTID, a server leaves out transactions that are known, so it may lie further on."""
        if event.end == 0 or event.flags & ARTIFICIAL_FLAG or event.end < event.size:
            return self._at
        return msgspec.structs.replace(self._at, offset=max(self._at.offset, self._offset(event.end) - event.size))

    def _offset(self, end: int) -> int:
        """The log gives the lowest 32 bits of offsets, which only grow within a file."""
        offset = self._at.offset & ~_OFFSET_MAX | end
        return offset if offset >= self._at.offset else offset + _OFFSET_MAX + 1

    def _boundary(self) -> Iterator[Item]:
        self._unmarked += 1
        reached = self._placed and not self._caught_up and self._at.has_reached(self._end)
        if reached or self._unmarked >= MARK_EVERY:
            yield self._mark(idle=False)

    def _mark(self, *, idle: bool) -> Checkpoint:
        self._unmarked = 0
        reached = not self._caught_up and self._at.has_reached(self._end)
        self._caught_up = self._caught_up or reached
        if self._history is not None:
            self._at = msgspec.structs.replace(self._at, gtid=self._history.to_text())
            self._last = self._at
        elif self._at.offset <= _OFFSET_MAX:  # beyond, nobody can start by file; the next file begins soon
            self._last = self._at
        return Checkpoint(encode_stream(self._last), idle=reached or (idle and self._caught_up))

    def _place(self) -> str:
        return f"{self._began.file}:{self._began.offset}"
