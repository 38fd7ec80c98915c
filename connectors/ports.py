"""What the runner needs from the outside: a source of rows, a sink of messages, a store of positions.

Knows no database, no Kafka, no file. Invariant held by everyone here: a position may be saved only when every row that the
source gave before it has been delivered, so a killed connector repeats rows and never skips one.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from contract.events import Phase

Change = Literal["read", "insert", "update"]
"""`read`: the row as it stands (snapshot, replay, fetch); deletes change no verdict and are not given."""

Stage = Literal["snapshot", "stream"]


class Position(NamedTuple):
    """Where a source can continue. `text` is the source's own notation (JSON); nobody else reads it."""

    stage: Stage
    text: str


class Row(NamedTuple):
    """One row or document, as the source holds it; raw personal data, so it is never logged."""

    table: str
    """Table, collection or file, as the connector file names it."""
    change: Change
    values: Mapping[str, object]
    coordinates: str
    """Exact enough to find the row again: `binlog.000003:1234`, an oplog time, a row number. No personal data."""
    phase: Phase
    before: Mapping[str, object] | None = None
    """The row before an update, where the source knows it."""
    changed_at: datetime | None = None
    """When the source committed it, UTC; None in a snapshot or replay."""
    touched: frozenset[str] | None = None
    """Top-level names that an update wrote, for sources that know them without the row before."""


class Checkpoint(NamedTuple):
    """Everything given before this may be left behind once it is delivered."""

    position: Position
    idle: bool = False
    """True: the source has nothing more at the moment."""


class SchemaSeen(NamedTuple):
    """The columns of a table from here on, by family; given at the start of a stream and whenever they change."""

    table: str
    families: Mapping[str, str]
    """Column name to `number`, `text`, `time`, `binary` or `other`."""


class Unreadable(NamedTuple):
    """A row that the source could not decode; it becomes a dead letter."""

    table: str
    coordinates: str
    reason: str
    """A code of contract.dead_letters.REASONS."""
    detail: str
    known: Mapping[str, object] | None = None
    """What was read of the row, its key among it if all went well; treated as `Row.values`."""


class Rowless(NamedTuple):
    """A transaction touched a mapped table, and no row comes of it."""

    table: str
    why: str
    """`deleted` or `rolled_back`."""


class Extent(NamedTuple):
    """How much a table, collection or file holds; given before the first of the rows that stand there."""

    table: str
    rows: int | None
    """All of them, by an estimate; None: the source cannot tell."""
    before: int = 0
    """Of these, given at earlier starts; they do not come again."""


Item = Row | Checkpoint | SchemaSeen | Unreadable | Rowless | Extent


class Source(Protocol):
    """One database or file. Used by one thread; every method may block on the network for at most its time limit.

    Errors: TransientError (connect again later), PositionDeadError (the position is gone for good), ConfigurationError
    (only a person can help: privileges, server settings, missing table).
    """

    def check(self) -> list[str]:
        """Called by `connector check` and before the first snapshot: what a person must change, in words; empty when all is well."""
        ...

    def sample(self, table: str, limit: int) -> Sequence[Row | Unreadable]:
        """Called by `connector check` and `new`: up to `limit` rows of `table`, in any order, also those it cannot decode."""
        ...

    def fetch(self, table: str, key: str) -> Row | None:
        """Called to retry a dead letter: the row whose key reads `key` today, or None when it is gone."""
        ...

    def read_snapshot(self, resume: Position | None) -> Iterator[Item]:
        """Called once at the first start, or to continue with an unfinished snapshot.

        Takes the stream's start position before it reads the first row, so that nothing committed later is missed. Gives
        every row at least once, a Checkpoint now and then, and as its last item a Checkpoint of stage `stream`. Rows may come twice
        after a resume and may also come again in the stream.
        """
        ...

    def read_stream(self, start: Position) -> Iterator[Item]:
        """Called after the snapshot and at every later start: what was committed after `start`, in commit order, at least once.

        Ends only for sources that end (files). A quiet source gives an idle Checkpoint at least every few seconds; when it
        cannot (silent connection), it raises TransientError.
        """
        ...

    def acknowledge(self, position: Position) -> None:
        """Called after `position` was saved, about once a second; the source may free what lies before it. Never blocks."""
        ...

    def describe_position(self, position: Position) -> str:
        """Called after a position of stage `stream` was saved: where it stands, without a key of a row. Never blocks, never fails."""
        ...

    def close(self) -> None:
        """Called once at the end, also after an error; never raises."""
        ...


class Outgoing(NamedTuple):
    """One message on its way to Kafka."""

    topic: str
    key: bytes
    value: bytes
    partition_by: bytes
    """Messages with equal bytes here go to the same partition and stay in order."""


class Sink(Protocol):
    """Kafka, as the connector sees it. Used by one thread."""

    def send(self, message: Outgoing) -> None:
        """Called for every message; blocks while too much is in flight (back-pressure), for as long as the broker is away.

        Delivered at least once, in order per partition. Raises Interrupted when asked to stop while blocked.
        """
        ...

    def count_sent(self) -> int:
        """How many messages `send` took so far."""
        ...

    def count_confirmed(self) -> int:
        """How many of them, counted from the first without a gap, the broker confirmed. Called for every Checkpoint.

        Blocks only when a send failed for good: then everything unconfirmed is sent again first.
        """
        ...

    def flush(self, timeout_s: float) -> bool:
        """Waits until all is confirmed; False when `timeout_s` passed before."""
        ...

    def close(self) -> None:
        """Drops what is not confirmed (it comes again from the source); never raises."""
        ...


class Interrupted(Exception):  # noqa: N818 - not an error: someone asked to stop
    """A stop was asked for while the sink was blocked."""


class Saved(NamedTuple):
    """What is remembered of one connector."""

    connector: str
    position: Position
    schema: Mapping[str, Mapping[str, str]]
    """Families of columns by table, as first seen under this mapping."""
    mapping: str
    """Fingerprint of the mapping that the schema belongs to."""
    resnapshots: int
    """Snapshots taken in a row because of dead positions, without progress since."""
    version: int
    """Goes up by one with every save, so that two processes cannot both move one connector."""
    saved_at: datetime


class OffsetStore(Protocol):
    """Positions of all connectors of a retailer. Errors: TransientError when the store does not take the write.

    A failed save changes nothing: the position stays where it was.
    """

    def load(self, connector: str) -> Saved | None:
        """Called at start and by `connector positions`."""
        ...

    def save(self, saved: Saved) -> Saved:
        """Called about once a second, only after delivery; durable when it returns. Gives back what now stands there.

        `saved.version` must be the version last loaded or saved (0: none yet); otherwise somebody else moved the
        position, and ConfigurationError says so.
        """
        ...

    def reset(self, connector: str) -> bool:
        """Called by an operator: forgets the connector, so that it starts with a snapshot. False: nothing was there."""
        ...

    def list_names(self) -> Sequence[str]:
        """Connectors with a saved position, sorted."""
        ...
