"""From documents and change events to rows: one reading for scan, stream, sample and fetch. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bson.code import Code
from bson.dbref import DBRef
from bson.timestamp import Timestamp

from connectors.config.connector_file import ConnectorConfig, Table
from connectors.mongodb.values import Spelling, convert_value, spell_key
from connectors.ports import Row, Unreadable
from connectors.values import ABSENT, get_at_path

Document = Mapping[str, Any]
_REFERENCE_PARTS = ("$id", "$ref", "$db")
"""Field names of a DBRef; no other may begin with a dollar sign."""


class Reading:
    """How the documents of one collection are read."""

    def __init__(self, config: ConnectorConfig, table: Table, names: set[str], representation: int) -> None:
        """Compiles what the connector file says of `table`.

        Args:
            config: The connector file.
            table: One of its collections.
            names: Paths that the mapping reads; empty: the whole document.
            representation: How UUIDs of subtype 3 order their bytes (bson.binary.UuidRepresentation).
        """
        self.table = table.name
        self.key = config.get_key_column(table)
        own = table.name == config.transactions.name
        named = config.transactions.fields.transaction_id.list_names()
        self.identity = named[0] if own and len(named) == 1 else self.key
        """The path whose text must differ from document to document."""
        self._references = set() if own else _references(config, table.name)
        self._names = names
        self._representation = representation

    def read_values(self, document: Document, spelling: Spelling, references: Spelling) -> dict[str, object]:
        """Values by path: those that the mapping reads, keys as text; a path that the document lacks is left out.

        Args:
            document: As the driver gives it.
            spelling: Of this collection's keys.
            references: Of the transactions' ids, which labels and resolutions name.
        """
        if not self._names:
            return {name: convert_value(value, self._representation) for name, value in document.items()}
        found = {}
        for name in self._names | {self.key}:
            value = get_value(document, name)
            if value is ABSENT:
                continue
            if name in self._references:
                found[name] = self._reference(value, references)
            elif name in (self.key, self.identity):
                found[name] = spell_key(value, spelling, self._representation)
            else:
                found[name] = convert_value(value, self._representation)
        return found

    def read_key(self, document: Document, spelling: Spelling) -> str | None:
        """The document's key as text."""
        value = get_value(document, self.key)
        return None if value is ABSENT else spell_key(value, spelling, self._representation)

    def read_change(self, event: Document, spelling: Spelling, references: Spelling) -> Row | Unreadable | None:
        """What a change event tells of: a row, one that is too large, or nothing (deletes, drops, documents gone since)."""
        kind = event["operationType"]
        if kind not in ("insert", "update", "replace"):
            return None
        moment = event.get("clusterTime")
        at = f"oplog {moment.time}.{moment.inc}" if isinstance(moment, Timestamp) else "oplog unknown"
        if event.get(OVERSIZED):
            known = {self.key: self.read_key(event.get("documentKey") or {}, spelling)}
            return Unreadable(self.table, at, "oversized", "a change event of more than 16 MB", known)
        document = event.get("fullDocument")
        if not document:
            return None
        return Row(
            self.table,
            "insert" if kind == "insert" else "update",
            self.read_values(document, spelling, references),
            at,
            "stream",
            None,
            datetime.fromtimestamp(moment.time, UTC) if isinstance(moment, Timestamp) else None,
            find_touched(event.get("updateDescription")),
        )

    def _reference(self, value: object, references: Spelling) -> object:
        # where keys are of one kind, a reference may be of another: an ObjectId's hex digits, a number as text
        return (
            spell_key(value, references, self._representation)
            if references.mixed
            else convert_value(value, self._representation)
        )


OVERSIZED = "tillguardOversized"
"""Set by connectors.mongodb.stream in an event of which only the document's key could be read."""


def find_touched(description: Document | None) -> frozenset[str] | None:
    """Top-level names that an update wrote, removed or shortened; None where the event does not say."""
    if description is None:
        return None
    shortened = [each.get("field", "") for each in description.get("truncatedArrays") or []]
    names = [*(description.get("updatedFields") or {}), *(description.get("removedFields") or []), *shortened]
    return frozenset(name.partition(".")[0] for name in names)


def get_value(document: Document, path: str) -> object:
    """The value at `path`; a dot always leads into a nested document, as for the server's own projections."""
    first, dot, rest = path.partition(".")
    value = document.get(first, ABSENT)
    if not dot or value is ABSENT or value is None:
        return value
    return get_at_path({"nested": _opened(value)}, f"nested.{rest}")


def _opened(value: object) -> object:
    if isinstance(value, DBRef):
        return _opened(value.as_doc())
    if isinstance(value, Code):
        return None  # JavaScript holds no fields, and its type is no text to the JSON decoder
    if isinstance(value, Mapping):
        return {name: _opened(each) for name, each in value.items()}
    return [_opened(each) for each in value] if isinstance(value, list) else value


def list_top_level(names: set[str]) -> list[str]:
    """The fields that a scan or stream must carry for these paths, the key among them, sorted."""
    return sorted({name.partition(".")[0] for name in names} | {"_id"})


def find_path_faults(names: set[str]) -> list[str]:
    """Paths that no server can be asked for."""
    return [
        f"{name} is no path: every part between dots must be a field name, and none may begin with $"
        for name in sorted(names)
        if any(not part or (part.startswith("$") and part not in _REFERENCE_PARTS) for part in name.split("."))
    ]


def _references(config: ConnectorConfig, table: str) -> set[str]:
    """Paths of `table` that name transactions of another collection."""
    specs: list[Any] = [each.fields.transaction_id for each in config.labels if each.name == table]
    specs += [each.fields.transaction_id for each in config.resolutions if each.name == table]
    return {name for spec in specs if spec is not None for name in spec.list_names()}
