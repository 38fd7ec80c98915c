"""Rows of the binary log: only wanted columns are decoded, all others are stepped over. Pure.

Layout: https://dev.mysql.com/doc/dev/mysql-server/latest/classmysql_1_1binlog_1_1event_1_1Rows__event.html
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from connectors.mysql.columns.column_types import build_reader, find_logged_type
from connectors.mysql.columns.json_changes import apply_changes
from connectors.mysql.columns.packed import (
    Skip,
    UndecodableError,
    build_prefixed_reader,
    read_length_encoded,
    read_part,
)
from connectors.mysql.columns.table_map import JSON, TableMap
from connectors.values import UNTOLD

WRITE, UPDATE, DELETE = frozenset((23, 30)), frozenset((24, 31, 39)), frozenset((25, 32))
"""Types of events by what they do; 39 is an update that may tell JSON columns by their changes."""
PARTIAL_UPDATE = 39
_WITH_EXTRA = frozenset((30, 31, 32, PARTIAL_UPDATE))
"""Types whose head has a part of variable length."""
_CHANGES = build_prefixed_reader(4)

Image = Mapping[str, object]


class RowImage(NamedTuple):
    """One row. A wanted column that the log leaves out of an image is not in it (binlog_row_image=MINIMAL or NOBLOB)."""

    before: Image | None
    """None for an insert."""
    after: Image | None
    """None for a delete."""


class RowFault(NamedTuple):
    """The end of an event that cannot be read: this row and all that follow it in the event."""

    known: Image
    """What was read of the row before."""
    detail: str


class RowDecoder:
    """Decodes the rows that follow one table map; compiled once for each map."""

    def __init__(
        self, table_map: TableMap, wanted: Collection[str], data_types: Mapping[str, str] | None = None
    ) -> None:
        """Compiles.

        Args:
            table_map: The map.
            wanted: Names of the columns to decode; names that the table does not have are left aside.
            data_types: Types in information_schema by column, which tell MariaDB's UUID and INET columns from BINARY ones.

        Raises:
            UndecodableError: A wanted column is of a type or character set that nobody here knows; names table and column.
        """
        types = data_types or {}
        self.wanted = frozenset(column.name for column in table_map.columns if column.name and column.name in wanted)
        self._steps: list[tuple[str | None, Any]] = []
        for column in table_map.columns:
            try:
                if column.name in self.wanted:
                    self._steps.append((column.name, build_reader(column, types.get(column.name or ""))))
                else:
                    self._steps.append((None, find_logged_type(column).skipped(column)))
            except UndecodableError as error:
                where = f"{table_map.database}.{table_map.table}, column {column.name}"
                raise UndecodableError(f"{where}: {error}") from None
        self._json = [number for number, column in enumerate(table_map.columns) if column.type == JSON]
        self._plans: dict[bytes, _Plan] = {}

    def decode_rows(self, event_type: int, body: bytes) -> Iterator[RowImage | RowFault]:
        """The rows of an event's body (without header and checksum), and perhaps a RowFault at the end; never raises."""
        known: dict[str, object] = {}
        try:
            first, second, at = self._head(event_type, body)
            while at < len(body):
                known = {}
                at = first.read(body, at, known)
                after: dict[str, object] = {}
                if second is None:
                    yield RowImage(known, None) if event_type in DELETE else RowImage(None, known)
                    continue
                if event_type == PARTIAL_UPDATE:
                    at = second.read_partial(body, at, after, known)
                else:
                    at = second.read(body, at, after)
                yield RowImage(known, after)
        except UndecodableError as error:
            yield RowFault(known, str(error))

    def _head(self, event_type: int, body: bytes) -> tuple["_Plan", "_Plan | None", int]:
        """Plans of the first and second image, and where the rows begin."""
        if event_type not in WRITE | UPDATE | DELETE:
            raise UndecodableError(f"events of type {event_type} hold no rows")
        at = 8
        if event_type in _WITH_EXTRA:
            at += max(2, int.from_bytes(read_part(body, at, 2), "little"))
        count, at = read_length_encoded(body, at)
        if count != len(self._steps):
            raise UndecodableError(f"rows of {count} columns after a table map of {len(self._steps)}")
        size = (count + 7) // 8
        first, at = self._plan(read_part(body, at, size)), at + size
        if first.empty:
            raise UndecodableError("rows of which no column is told (binlog_row_image=MINIMAL)")
        if event_type not in UPDATE:
            return first, None, at
        return first, self._plan(read_part(body, at, size)), at + size

    def _plan(self, present: bytes) -> "_Plan":
        """How to read images that hold the columns whose bits are set."""
        plan = self._plans.get(present)
        if plan is None:
            bits = int.from_bytes(present, "little")
            held = [number for number in range(len(self._steps)) if bits >> number & 1]
            plan = self._plans[present] = _Plan([(number, *self._steps[number]) for number in held], self._json)
        return plan


class _Plan:
    """Reads images that hold certain columns."""

    def __init__(self, held: list[tuple[int, str | None, Any]], json: list[int]) -> None:
        self.empty = not held
        self._nulls = (len(held) + 7) // 8
        self._steps = [(1 << place, name, step) for place, (_, name, step) in enumerate(held)]
        self._json = len(json)
        partial = {number: 1 << place for place, number in enumerate(json)}
        self._partial = [partial.get(number, 0) for number, _, _ in held]

    def read(self, body: bytes, at: int, values: dict[str, object]) -> int:
        """Puts the wanted columns of the image at `at` into `values`; returns the offset behind the image."""
        start = at + self._nulls
        nulls = int.from_bytes(body[at:start], "little")
        at = start
        for bit, name, step in self._steps:
            if nulls & bit:
                if name is not None:
                    values[name] = None
            elif name is None:
                at = step(body, at)
            else:
                values[name], at = step(body, at)
        return _inside(body, at)

    def read_partial(self, body: bytes, at: int, values: dict[str, object], before: Image) -> int:
        """As `read`, for an image whose JSON columns may be told by what changed since `before`."""
        options, at = read_length_encoded(body, at)
        if not options & 1:
            return self.read(body, at, values)
        size = (self._json + 7) // 8
        partial = int.from_bytes(read_part(body, at, size), "little")
        nulls = int.from_bytes(read_part(body, at + size, self._nulls), "little")
        at += size + self._nulls
        for (bit, name, step), change in zip(self._steps, self._partial, strict=True):
            if nulls & bit:
                if name is not None:
                    values[name] = None
            elif partial & change:
                data, at = _CHANGES(body, at)
                if name is not None:
                    values[name] = apply_changes(before.get(name, UNTOLD), data)
            elif name is None:
                skip: Skip = step
                at = skip(body, at)
            else:
                values[name], at = step(body, at)
        return _inside(body, at)


def _inside(body: bytes, at: int) -> int:
    if at > len(body):
        raise UndecodableError("the event ends within a row")
    return at


def complete_images(image: RowImage, wanted: Collection[str]) -> tuple[Image | None, Image | None]:
    """What is known of a row before and after it was written; None where there was none.

    An update's image that leaves out columns is filled up from the other one: what is not in the later image did not change.
    What neither holds is UNTOLD, which is not the same as NULL.
    """
    before, after = image
    if before is not None and after is not None and len(after) < len(wanted):
        after = {**before, **after}
    return _complete(before, wanted), _complete(after, wanted)


def _complete(image: Image | None, wanted: Collection[str]) -> Image | None:
    if image is None or len(image) == len(wanted):
        return image
    return {name: image.get(name, UNTOLD) for name in wanted}
