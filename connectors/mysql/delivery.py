"""Held row events into items: decoded by the columns that their table had then, filled up where the log left columns out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from connectors.mysql.columns.column_types import find_logged_type, may_be_named_bytes
from connectors.mysql.columns.packed import UndecodableError
from connectors.mysql.columns.row_images import RowDecoder, RowFault, RowImage, complete_images
from connectors.mysql.columns.table_map import TableMap, parse_table_map
from connectors.mysql.history import drop_past_rows
from connectors.mysql.log.event_types import Code
from connectors.mysql.log.transactions import Held
from connectors.mysql.nameless import Definition, add_names, name_key
from connectors.mysql.names import TableNames
from connectors.ports import Item, Row, SchemaSeen, Unreadable
from connectors.values import UNTOLD

_TABLES_MAX = 1000
"""Different table maps that are remembered."""


class Tables(Protocol):
    """The tables as they stand on the server now."""

    def read_definition(self, table: str) -> Definition:
        """Columns of `table` in order; empty when it is gone."""
        ...

    def find_row_end(self, table: str) -> str:
        """Column that tells the rows that count now from earlier ones; empty where `table` keeps no earlier rows."""
        ...

    def fetch_current(self, table: str, values: Mapping[str, object]) -> Mapping[str, object] | None:
        """The mapped columns of the row whose key is in `values`; None when it is gone or the key is not among them."""
        ...


@dataclass(slots=True)
class _Table:
    """One table map, compiled."""

    name: str
    families: Mapping[str, str]
    decoder: RowDecoder | None
    fault: str = ""
    """Why its rows cannot be read; the decoder then reads keys at most."""
    row_end: str = ""
    """See Tables.find_row_end."""
    wanted: frozenset[str] = frozenset()
    """Columns that rows are given with."""


class Delivery:
    """See log.reader.Rows."""

    def __init__(
        self,
        names: TableNames,
        mapped: Callable[[str], set[str]],
        key_of: Callable[[str], str],
        tables: Tables,
        *,
        mariadb: bool,
    ) -> None:
        """Reads nothing yet.

        Args:
            names: The mapped tables.
            mapped: Columns or paths that the mapping reads from a table.
            key_of: Column that names a table's rows.
            tables: The tables as they stand on the server now.
            mariadb: Whether MariaDB writes the log.
        """
        self._names = names
        self._mapped = mapped
        self._key_of = key_of
        self._tables = tables
        self._mariadb = mariadb
        self._compiled: dict[bytes, _Table] = {}
        self._named: dict[str, TableMap] = {}
        self._definitions: dict[str, Definition] = {}
        self._row_ends: dict[str, str] = {}
        self._seen: dict[str, Mapping[str, str]] = {}

    def forget(self) -> None:
        self._compiled.clear()
        self._named.clear()
        self._definitions.clear()
        self._row_ends.clear()

    def deliver(self, held: Held) -> Iterator[Item]:
        """The rows of a committed transaction, in the order of the log, and the columns of their tables where they changed."""
        tables: dict[bytes, _Table] = {}
        number = 0
        for code, timestamp, body in held.store.read_records():  # type: ignore[attr-defined]
            if code == Code.TABLE_MAP:
                table = tables[body[:6]] = self._compile(body)
                if table.decoder is not None and not table.fault and self._seen.get(table.name) != table.families:
                    self._seen[table.name] = table.families
                    yield SchemaSeen(table.name, table.families)
                continue
            changed_at = datetime.fromtimestamp(timestamp, UTC)
            for item in self._rows(tables[body[:6]], code, body, changed_at):
                number += 1
                yield item._replace(coordinates=f"{held.begin}+{number}")

    def _rows(self, table: _Table, code: int, body: bytes, changed_at: datetime) -> Iterator[Row | Unreadable]:
        name, decoder = table.name, table.decoder
        if decoder is None:
            yield Unreadable(name, "", "malformed", table.fault)
            return
        wanted = table.wanted
        for image in drop_past_rows(decoder.decode_rows(code, body), table.row_end, wanted):
            if isinstance(image, RowFault):
                yield Unreadable(
                    name,
                    "",
                    "malformed",
                    f"this row and those of its event behind it: {image.detail}",
                    image.known,
                )
            elif table.fault:
                yield Unreadable(name, "", "malformed", table.fault, image.after or image.before)
            elif len(image.after or ()) == len(wanted) and (image.before is None or len(image.before) == len(wanted)):
                change = "insert" if image.before is None else "update"
                yield Row(name, change, image.after or {}, "", "stream", image.before, changed_at)  # type: ignore[arg-type]
            else:
                yield self._filled(table, image, changed_at)

    def _filled(self, table: _Table, image: RowImage, changed_at: datetime) -> Row:
        """A row of which the log left columns out: what it leaves out is read from the table, as far as the row is there.

        What the log does say stands: it is what was written then.
        """
        wanted = table.wanted
        _, after = complete_images(image, wanted)
        values = dict(after or {})
        missing = [name for name, value in values.items() if value is UNTOLD]
        if missing:
            current = self._tables.fetch_current(table.name, values)
            values.update({name: current[name] for name in missing if name in current} if current else {})
        if image.before is None:
            return Row(table.name, "insert", values, "", "stream", None, changed_at)
        before = image.before if len(image.before) == len(wanted) else None
        touched = None if before is not None else frozenset(image.after or ())
        return Row(table.name, "update", values, "", "stream", before, changed_at, touched)

    def _compile(self, body: bytes) -> _Table:
        found = self._compiled.get(body)
        if found is None:
            if len(self._compiled) >= _TABLES_MAX:
                self._compiled.clear()
            found = self._compiled[body] = self._compiled_table(body)
        return found

    def _compiled_table(self, body: bytes) -> _Table:
        try:
            table_map = parse_table_map(body, mariadb=self._mariadb)
        except UndecodableError as error:
            return _Table(self._names.get_first(), {}, None, str(error))
        name = self._names.find(table_map.database, table_map.table) or table_map.table
        try:
            return self._decoding(name, table_map)
        except UndecodableError as error:
            return _Table(name, {}, None, str(error))

    def _decoding(self, name: str, table_map: TableMap) -> _Table:
        fault = ""
        if table_map.named:
            self._named[name] = table_map
        else:
            definition = self._definition(name)
            named = add_names(table_map, self._named.get(name), definition)
            if named is None:
                fault = "the log does not name the columns (binlog_row_metadata is not FULL), and the table's definition has changed since"
                named = name_key(table_map, definition, self._key_of(name))
            table_map = named
        columns = {column.name: column for column in table_map.columns if column.name is not None}
        wanted = {_column(path, columns) for path in self._mapped(name)}
        types = None
        if may_be_named_bytes(table_map, wanted):
            types = {column.name: column.data_type for column in self._definition(name)}
        families = {column: str(find_logged_type(each).family) for column, each in columns.items()}
        row_end = self._row_end(name)
        decoder = RowDecoder(table_map, wanted | {row_end}, types)
        given = decoder.wanted & wanted
        return _Table(name, families, decoder if given or not fault else None, fault, row_end, given)

    def _row_end(self, name: str) -> str:
        if not self._mariadb:
            return ""
        found = self._row_ends.get(name)
        if found is None:
            found = self._row_ends[name] = self._tables.find_row_end(name)
        return found

    def _definition(self, name: str) -> Definition:
        found = self._definitions.get(name)
        if found is None:
            found = self._definitions[name] = self._tables.read_definition(name)
        return found


def _column(name: str, columns: Mapping[str, object]) -> str:
    """The column that a mapped name starts with: `details.card` reads inside the JSON column `details`."""
    return name if name in columns else name.partition(".")[0]
