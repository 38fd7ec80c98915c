"""Files as a source: Parquet, CSV or JSON lines, replayed in event-time order, at a set rate or as fast as Kafka takes them."""

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import msgspec

from connectors.config.connector_file import ConnectorConfig
from connectors.config.file_settings import Files
from connectors.drafting.first_file import UNKNOWN
from connectors.files.file_row import FileRow
from connectors.files.looks import is_row
from connectors.files.order import sort_rows
from connectors.files.parts import list_parts
from connectors.files.rows import read, read_column_names, sample_rows
from connectors.files.text_settings import find_disguise, find_text_settings
from connectors.ports import Checkpoint, Extent, Item, Position, Row, Unreadable
from connectors.values import ABSENT, as_key, get_at_path
from contract.errors import ConfigurationError, InvalidEventError, PositionDeadError

MARK_ROWS = 500
NO_HEADER = "has no header, it seems: its first line holds values; put a line with the names of the columns before it"


class FilePosition(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows, in replay order, were given, and what tells whether the order is still the same."""

    rows: int
    size: int
    """Of all files, in bytes."""
    order: str = ""
    """Digest of the settings that the order depends on; empty in positions that an older version saved."""


class FileSource:
    """See connectors.ports.Source. Its table is the empty name."""

    def __init__(
        self,
        config: ConnectorConfig,
        files: Files,
        folder: Path,
        *,
        event_time_ms: Callable[[Row], int | None],
        columns: set[str],
        pause: Callable[[float], bool],
    ) -> None:
        """Opens nothing yet.

        Args:
            config: The connector file.
            files: Its `source`.
            folder: What a relative path starts from.
            event_time_ms: Reads a row's event time by the mapping.
            columns: Columns or paths that the mapping reads.
            pause: Waits this many seconds; True when asked to stop meanwhile.
        """
        self._config = config
        self._files = files
        self._path = folder / files.path
        self._event_time_ms = event_time_ms
        self._mapped = columns
        self._columns = {name for full in columns for name in (full, full.partition(".")[0])}
        self._pause = pause

    def check(self) -> list[str]:
        try:
            return [fault for path in self._parts for fault in self._faults(path)]
        except ConfigurationError as error:
            return error.faults

    def _faults(self, path: Path) -> list[str]:
        if (form := find_disguise(self._files, path)) is not None:
            return [f"{path.name} {form}"]
        names = read_column_names(self._files, path)
        if names is None:
            return [f"{UNKNOWN} stands where nothing was found: write the path of the value"] * (
                UNKNOWN in self._mapped
            )
        return self._column_faults(path, names)

    def _column_faults(self, path: Path, names: list[str]) -> list[str]:
        wanted = {name for name in self._mapped if name not in names and name.partition(".")[0] not in names}
        if len(names) == 1:
            return [f"{path.name} is empty: it has no header"]
        if wanted:
            return [self._missing(path, names, sorted(wanted))]
        twice = [name for name, count in Counter(names).items() if count > 1 and name in self._columns]
        return [f"{path.name} has {name} twice: rename one of these columns" for name in twice]

    def _missing(self, path: Path, names: list[str], wanted: list[str]) -> str:
        """Why columns are missing, as likely as not, and what to do."""
        if fitting := find_text_settings(self._files, path):
            told = ", ".join(f"{name}: {json.dumps(value)}" for name, value in fitting.items())
            return f"{path.name} has no column {', '.join(wanted)}: it is written otherwise, `{told}` in `source` would fit"
        if len(names) == 2:
            return f"{path.name} has one column only, {names[0]}: is `delimiter` in `source` another, or does the header stand in a later line?"
        if is_row(names):
            return f"{path.name} {NO_HEADER}"
        listed = ", ".join(names)
        if UNKNOWN in wanted:
            return f"{UNKNOWN} stands where no column was found: name one of {listed}"
        return f"{path.name} has no column {', '.join(wanted)}; it has {listed}"

    def sample(self, table: str, limit: int) -> list[Row | Unreadable]:
        items = map(self._item, sample_rows(self._rows(), limit))
        return [item._replace(table=table, phase="direct") if isinstance(item, Row) else item for item in items]

    def fetch(self, table: str, key: str) -> Row | None:
        name = self._config.get_key_column(self._config.transactions)
        for row in read(self._files, self._parts, self._columns | {name}):
            item = self._item(row)
            if isinstance(item, Row) and _text(get_at_path(item.values, name)) == key:
                return item._replace(table=table, phase="direct")
        return None

    def read_snapshot(self, resume: Position | None) -> Iterator[Item]:  # noqa: ARG002 - a file has no rows before its first
        yield Checkpoint(self._position(0))

    def read_stream(self, start: Position) -> Iterator[Item]:
        begin = self._parsed(start)
        began_s, given, totals = time.monotonic(), 0, list[int]()
        for number, row in enumerate(sort_rows(self._rows, self._time_of, totals.append), start=1):
            if number == 1:
                yield Extent("", totals[0], min(begin.rows, totals[0]))
            if number <= begin.rows:
                continue
            if self._files.rate is not None:
                ahead_s = given / self._files.rate - (time.monotonic() - began_s)
                if ahead_s > 0 and self._pause(ahead_s):
                    return
            given += 1
            yield self._item(row)
            if given % MARK_ROWS == 0 or self._files.rate is not None:
                yield Checkpoint(self._position(number))
        yield Checkpoint(self._position(begin.rows + given), idle=True)

    def acknowledge(self, position: Position) -> None:
        """Nothing to free."""

    def describe_position(self, position: Position) -> str:
        return f"row {msgspec.json.decode(position.text, type=FilePosition).rows}"

    def close(self) -> None:
        """Nothing is left open between items."""

    def _rows(self) -> Iterator[FileRow]:
        return read(self._files, self._parts, self._columns)

    def _time_of(self, row: FileRow) -> int | None:
        item = self._item(row)
        return self._event_time_ms(item) if isinstance(item, Row) else None

    def _item(self, row: FileRow) -> Row | Unreadable:
        where = f"{row.part} row {row.number}" if row.part else f"row {row.number}"
        if row.values is None:
            return Unreadable("", where, row.reason, row.detail, row.known)
        return Row("", "read", row.values, where, "replay")

    @cached_property
    def _parts(self) -> list[Path]:
        return list_parts(self._files, self._path)

    @cached_property
    def _order(self) -> str:
        """Whoever corrects the reading of times gets the rows in another order: a count of rows means nothing then."""
        event_time = self._config.transactions.fields.event_time.model_dump_json()
        source = self._files.model_dump_json(include={"format", "delimiter", "encoding"})
        nulls = "".join(self._files.nulls)
        return hashlib.sha256(f"{event_time}{source}{nulls}".encode()).hexdigest()[:12]

    def _position(self, rows: int) -> Position:
        position = FilePosition(rows=rows, size=self._size(), order=self._order)
        return Position("stream", msgspec.json.encode(position).decode())

    def _size(self) -> int:
        try:
            return sum(path.stat().st_size for path in self._parts)
        except OSError:
            raise ConfigurationError([f"{self._path} is not there any more"]) from None

    def _parsed(self, position: Position) -> FilePosition:
        try:
            found = msgspec.json.decode(position.text, type=FilePosition)
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise ConfigurationError(['a file position looks like {"rows": 1000, "size": 52345}']) from None
        if found.size != self._size():
            raise PositionDeadError(f"{self._path.name} changed since the position was saved")
        if found.order not in ("", self._order):
            raise PositionDeadError("event_time is read in another way than when the position was saved")
        return found


def _text(value: object) -> str | None:
    try:
        return None if value is ABSENT else as_key(value)
    except InvalidEventError:
        return None
