"""A file as a source: Parquet, CSV or JSON lines, replayed in event-time order, at a set rate or as fast as Kafka takes it."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from connectors.config import ConnectorConfig, Files
from connectors.file_rows import FileRow, column_names, read
from connectors.ports import Item, Mark, Position, Row, Unreadable
from connectors.replay_order import in_order
from connectors.values import ABSENT, as_text, at_path
from contract.errors import ConfigurationError, InvalidEventError, PositionDeadError

MARK_ROWS = 500


class FilePosition(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows, in replay order, were given; `size` (bytes) tells whether the file is still the same."""

    rows: int
    size: int


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
            pause: Waits so many seconds; True when asked to stop meanwhile.
        """
        self._config = config
        self._files = files
        self._path = folder / files.path
        self._event_time_ms = event_time_ms
        self._mapped = columns
        self._columns = {name for full in columns for name in (full, full.partition(".")[0])}
        self._pause = pause

    def check(self) -> list[str]:
        if not self._path.is_file():
            return [f"{self._path} is not there"]
        names = column_names(self._files, self._path)
        if names is None:
            return []
        wanted = {name for name in self._mapped if name not in names and name.partition(".")[0] not in names}
        return [f"{self._path.name} has no column {name}" for name in sorted(wanted)]

    def sample(self, table: str, limit: int) -> list[Row]:
        found = []
        for row in read(self._files, self._path):
            item = self._item(row)
            if isinstance(item, Row):
                found.append(item._replace(table=table, phase="direct"))
            if len(found) == limit:
                break
        return found

    def fetch(self, table: str, key: str) -> Row | None:
        name = self._config.key_of(self._config.transactions)
        for row in read(self._files, self._path):
            item = self._item(row)
            if isinstance(item, Row) and _text(at_path(item.values, name)) == key:
                return item._replace(table=table, phase="direct")
        return None

    def snapshot(self, resume: Position | None) -> Iterator[Item]:  # noqa: ARG002 - a file has no rows before its first
        yield Mark(self._position(0))

    def stream(self, start: Position) -> Iterator[Item]:
        begin = self._parsed(start)
        began_s, given = time.monotonic(), 0
        for number, row in enumerate(in_order(self._rows, self._time_of), start=1):
            if number <= begin.rows:
                continue
            if self._files.rate is not None:
                ahead_s = given / self._files.rate - (time.monotonic() - began_s)
                if ahead_s > 0 and self._pause(ahead_s):
                    return
            given += 1
            yield self._item(row)
            if given % MARK_ROWS == 0 or self._files.rate is not None:
                yield Mark(self._position(number))
        yield Mark(self._position(begin.rows + given), idle=True)

    def acknowledge(self, position: Position) -> None:
        """Nothing to free."""

    def close(self) -> None:
        """Nothing is left open between items."""

    def _rows(self) -> Iterator[FileRow]:
        return read(self._files, self._path, self._columns)

    def _time_of(self, row: FileRow) -> int | None:
        item = self._item(row)
        return self._event_time_ms(item) if isinstance(item, Row) else None

    def _item(self, row: FileRow) -> Row | Unreadable:
        if row.values is None:
            return Unreadable("", f"row {row.number}", row.reason, row.detail)
        return Row("", "read", row.values, f"row {row.number}", "replay")

    def _position(self, rows: int) -> Position:
        return Position("stream", msgspec.json.encode(FilePosition(rows=rows, size=self._size())).decode())

    def _size(self) -> int:
        try:
            return self._path.stat().st_size
        except OSError:
            raise ConfigurationError([f"{self._path} is not there"]) from None

    def _parsed(self, position: Position) -> FilePosition:
        try:
            found = msgspec.json.decode(position.text, type=FilePosition)
        except (msgspec.DecodeError, msgspec.ValidationError):
            raise ConfigurationError(['a file position looks like {"rows": 1000, "size": 52345}']) from None
        if found.size != self._size():
            raise PositionDeadError(f"{self._path.name} changed since the position was saved")
        return found


def _text(value: object) -> str | None:
    try:
        return None if value is ABSENT else as_text("key", value)
    except InvalidEventError:
        return None
