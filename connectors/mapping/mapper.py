"""From a row to canonical messages: pure, total, and the only place that sees raw personal data and messages together.

`Mapper.map_row` never raises for any row: what cannot be used comes out as a DeadLetter that names table, position, key and
reason, and no value.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from connectors.config.connector_file import ConnectorConfig
from connectors.mapping.label_mapping import Feedback, LabelRule, ResolutionRule
from connectors.mapping.transaction_mapping import TransactionRule
from connectors.ports import Outgoing, Row, Unreadable
from connectors.values import ABSENT, as_key, get_at_path, require_usable
from contract.codec import Admission, Decoder, encode
from contract.dead_letters import DeadLetter
from contract.errors import InvalidEventError
from contract.events import Label, Origin, Resolution, Transaction
from contract.partitions import get_partition_key
from contract.tokens import Tokeniser, normalise
from contract.topics import DEAD_LETTERS, LABELS, RESOLUTIONS, TRANSACTIONS

MappedMessage = Transaction | Label | Resolution | DeadLetter
KEY_LENGTH_MAX = 256


class Mapper:
    """One connector file at work for one retailer."""

    def __init__(
        self,
        config: ConnectorConfig,
        admission: Admission,
        tokens: Tokeniser | None,
        *,
        untimed_label: timedelta | None = None,
    ) -> None:
        """Compiles the file; raises ConfigurationError when a token is wanted and no key is there.

        Args:
            config: The connector file.
            admission: What the retailer accepts.
            tokens: Makes tokens of personal data.
            untimed_label: How long after its transaction a label in the same row counts as known where nothing says when;
                None: it counts as known when its row was written or read.
        """
        self.config = config
        self._admission = admission
        self._tokens = tokens
        self._flat = config.source.kind == "mysql" or (
            config.source.kind == "file" and config.source.identify_format() != "jsonl"
        )
        self.transactions = TransactionRule(config, admission.retailer, tokens, flat=self._flat)
        self._main = config.transactions.name
        self._own = [
            LabelRule(section, self.transactions, flat=self._flat, untimed=untimed_label)
            for section in config.labels
            if not section.name
        ]
        self._feedback: dict[str, list[Feedback]] = {}
        for labels in config.labels:
            if labels.name:
                rule = LabelRule(labels, self.transactions, flat=self._flat)
                self._feedback.setdefault(labels.name, []).append(rule)
        for resolutions in config.resolutions:
            verdict = ResolutionRule(config, resolutions, tokens, flat=self._flat)
            self._feedback.setdefault(resolutions.name, []).append(verdict)
        self._keys = {
            section.name: config.get_key_column(section) for section in (config.transactions, *config.list_tables())
        }
        self._checks = {kind: Decoder(kind) for kind in (Transaction, Label, Resolution)}

    def map_row(self, row: Row, now: datetime) -> list[MappedMessage]:
        """What `row` means: usually one message, sometimes none or several; `now` becomes ingest_time."""
        found: list[MappedMessage] = []
        try:
            key = self._key(row)
        except InvalidEventError as error:
            return [self._letter(row, now, error, None)]
        origin = Origin(
            connector=self.config.name,
            phase=row.phase,
            source=self.name_source(row.table),
            position=row.coordinates[:512],
        )
        if row.table == self._main:
            self._collect(found, self._transaction(row, origin, now), row, now, key)
            if any(isinstance(outcome, DeadLetter) for outcome in found):
                return found
            for rule in self._own:
                self._collect(found, self._told(rule, row, key, origin, now), row, now, key)
        for rule_ in self._feedback.get(row.table, ()):
            self._collect(found, self._told(rule_, row, key, origin, now), row, now, key)
        return found

    def refuse(self, item: Unreadable, now: datetime) -> DeadLetter:
        """The dead letter of a row that the source could not decode."""
        row = Row(item.table, "read", item.known or {}, item.coordinates, "stream")
        return self.reject(row, now, item.reason, item.detail)

    def reject(self, row: Row, now: datetime, reason: str, detail: str) -> DeadLetter:
        """The dead letter of a row that may not be mapped at all (its table's schema changed)."""
        try:
            key: str | None = self._key(row)
        except InvalidEventError:
            key = None
        return self._letter(row, now, InvalidEventError(reason, detail), key)

    def read_event_time(self, row: Row) -> datetime | None:
        """When the row's transaction happened, for ordering a replay; None when that cannot be read."""
        try:
            return self.transactions.event_time(row.values, None)
        except InvalidEventError:
            return None

    def list_columns(self, table: str) -> set[str]:
        """Columns or paths that are read from `table`."""
        names = {self._keys[table]}
        if table == self._main:
            names |= self.transactions.names
            for rule in self._own:
                names |= rule.names
        for rule_ in self._feedback.get(table, ()):
            names |= rule_.names
        return names

    def name_source(self, table: str) -> str:
        """`database.table`, or the file's name."""
        source = self.config.source
        return source.path.name[:256] if source.kind == "file" else f"{source.database}.{table}"[:256]

    def make_outgoing(self, outcome: MappedMessage) -> Outgoing:
        """`outcome` as a Kafka message."""
        retailer = self._admission.retailer
        if isinstance(outcome, Transaction):
            partition_by = get_partition_key(outcome)
            return _outgoing(TRANSACTIONS.name(retailer), outcome.transaction_id, outcome, partition_by)
        if isinstance(outcome, Label):
            return _outgoing(LABELS.name(retailer), outcome.transaction_id, outcome, outcome.transaction_id.encode())
        if isinstance(outcome, Resolution):
            return _outgoing(
                RESOLUTIONS.name(retailer), outcome.transaction_id, outcome, outcome.transaction_id.encode()
            )
        # the same bad row again replaces its earlier letter when the topic is compacted
        key = f"{outcome.source}:{outcome.key or outcome.position}:{outcome.reason}"
        return _outgoing(DEAD_LETTERS.name(retailer), key, outcome, key.encode())

    def _transaction(self, row: Row, origin: Origin, now: datetime) -> Iterator[MappedMessage]:
        transaction = self.transactions.read(row, origin, now)
        if transaction is not None:
            self._checks[Transaction].decode(encode(transaction))
            self._admission.admit(transaction, now)
            yield transaction

    def _told(self, rule: Feedback, row: Row, key: str, origin: Origin, now: datetime) -> Iterator[MappedMessage]:
        message = rule.read(row, key, origin, now, self._admission)
        if message is not None:
            self._checks[type(message)].decode(encode(message))
            yield message

    def _collect(
        self, found: list[MappedMessage], outcomes: Iterator[MappedMessage], row: Row, now: datetime, key: str
    ) -> None:
        try:
            found.extend(outcomes)
        except InvalidEventError as error:
            found.append(self._letter(row, now, error, key))

    def _key(self, row: Row) -> str:
        name = self._keys.get(row.table, "")
        value = get_at_path(row.values, name)
        if value is ABSENT:
            if self._flat:
                raise InvalidEventError("schema_changed", f"the row has no column {name} any more")
            value = None
        text = as_key(require_usable("key", value))
        if text is None:
            raise InvalidEventError("key_missing", f"{name} is null or empty")
        return text

    def _letter(self, row: Row, now: datetime, error: InvalidEventError, key: str | None) -> DeadLetter:
        return DeadLetter(
            retailer=self._admission.retailer,
            part=f"connector:{self.config.name}",
            reason=error.reason,
            detail=error.detail[:1024],
            source=self.name_source(row.table),
            position=row.coordinates[:512] or "unknown",
            failed_at=now,
            key=None if key is None else self._shown_key(row.table, key),
        )

    def _shown_key(self, table: str, key: str) -> str:
        """The key as a dead letter may carry it: a token where the key column is personal data."""
        field = self.transactions.personal.get(self._keys[table])
        if field is not None and self._tokens is not None:
            try:
                return self._tokens.make_token(field, normalise(field, key))
            except InvalidEventError:
                return self._tokens.make_token(field, key)
        return key if len(key) <= KEY_LENGTH_MAX else "sha256:" + hashlib.sha256(key.encode()).hexdigest()


def _outgoing(topic: str, key: str, message: msgspec.Struct, partition_by: bytes) -> Outgoing:
    return Outgoing(topic, key.encode(), encode(message), partition_by)
