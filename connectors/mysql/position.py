"""Positions in a MySQL binary log, and how an unfinished snapshot continues. Pure."""

import msgspec

from connectors.ports import Position
from contract.errors import ConfigurationError


class BinlogPosition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A boundary between transactions."""

    file: str
    offset: int
    gtid: str | None = None
    """Everything up to here, where positions go by GTID."""
    born: int = 0
    """When the server created `file`, in seconds since 1970; 0: not known. A file of the same name and another time is another log."""
    server: str = ""
    """The server whose files these are."""

    def has_reached(self, other: "BinlogPosition") -> bool:
        """Whether this position is at or behind `other` in the same server's log."""
        # binlog.999999 is followed by binlog.1000000
        return (len(self.file), self.file, self.offset) >= (len(other.file), other.file, other.offset)


class SnapshotPosition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a snapshot got, and where the stream will start after it."""

    start: BinlogPosition
    table: str
    after: str | None = None
    """Value of the ordering column of the last row given; None: from the first row."""
    rows: int = 0
    """Given of this table so far."""


def encode_stream(position: BinlogPosition) -> Position:
    """`position` as the runner keeps it."""
    return Position("stream", msgspec.json.encode(position).decode())


def encode_snapshot(position: SnapshotPosition) -> Position:
    """`position` as the runner keeps it."""
    return Position("snapshot", msgspec.json.encode(position).decode())


def describe_place(position: BinlogPosition) -> str:
    """Where in the log it lies, for people."""
    return f"{position.file}:{position.offset}" + (f", GTIDs up to {position.gtid}" if position.gtid else "")


def parse_stream(position: Position) -> BinlogPosition:
    """Reads a stream position; raises ConfigurationError when an operator set something else."""
    try:
        return msgspec.json.decode(position.text, type=BinlogPosition)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise ConfigurationError(
            ['a MySQL position looks like {"file": "binlog.000003", "offset": 1234}; add "gtid" for position_by: gtid']
        ) from None


def parse_snapshot(position: Position) -> SnapshotPosition:
    """Reads a snapshot position; raises ConfigurationError when it is none."""
    try:
        return msgspec.json.decode(position.text, type=SnapshotPosition)
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise ConfigurationError(
            ["the saved snapshot position cannot be read; reset the connector's position"]
        ) from None
