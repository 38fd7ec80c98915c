"""From a record of a topic to the change that it makes. Pure; what cannot be used is None, since its own part made a dead letter of it."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from typing import NamedTuple

import msgspec

from backoffice.projection.changes import (
    AlarmChange,
    Change,
    ErasureChange,
    LabelChange,
    LetterChange,
    LetterErasureChange,
    ProcessChange,
    ResolutionChange,
    TransactionChange,
    VerdictChange,
)
from backoffice.projection.results import ENTITY_KINDS
from contract.alarms import Alarm
from contract.clock import to_epoch_ms
from contract.codec import Decoder, encode
from contract.dead_letters import DeadLetter
from contract.errors import InvalidEventError
from contract.events import Label, Resolution, Transaction
from contract.money import convert_to_base_minor
from contract.status.message import ProcessStatus
from contract.topics import ALARMS, DEAD_LETTERS, LABELS, RESOLUTIONS, STATUS, TRANSACTIONS, VERDICTS, Topic
from contract.verdicts import Verdict

TOPICS: tuple[Topic, ...] = (TRANSACTIONS, VERDICTS, LABELS, RESOLUTIONS, ALARMS, DEAD_LETTERS, STATUS)
"""What a projector reads."""
OF_TRANSACTIONS = frozenset({TRANSACTIONS.kind, VERDICTS.kind, LABELS.kind})
"""Topics whose keys are transaction ids, and where a null value erases one."""
HISTORY_PHASES = frozenset({"snapshot", "replay"})
REVISION_MAX = 2**31 - 1
OUTCOME_MAX = 32
KEY_MAX = 256
ID_MAX = 128
"""Of contract.events.Identifier."""


class TopicRecord(NamedTuple):
    """A record, and the topic that it stands on."""

    kind: str
    """Of contract.topics.Topic."""
    topic_id: str
    """The broker's id, which another topic of the same name does not have."""
    partition: int
    offset: int
    appended_ms: int
    """By the broker's clock."""
    key: bytes | None
    value: bytes | None


class RecordReader:
    """Reads the records of one retailer."""

    def __init__(self, retailer: str, base_currency: str, rates: Mapping[str, float]) -> None:
        """Amounts are compared in `base_currency`; `rates` are those of the retailer's settings."""
        self._retailer, self._base_currency, self._rates = retailer, base_currency, rates
        self._readers: dict[str, Callable[[TopicRecord, bytes], Change | None]] = {
            TRANSACTIONS.kind: self._read_transaction,
            VERDICTS.kind: self._read_verdict,
            LABELS.kind: self._read_label,
            RESOLUTIONS.kind: self._read_resolution,
            ALARMS.kind: self._read_alarm,
            DEAD_LETTERS.kind: self._read_letter,
            STATUS.kind: self._read_process,
        }
        self._transactions, self._verdicts = Decoder(Transaction), Decoder(Verdict)
        self._labels, self._resolutions = Decoder(Label), Decoder(Resolution)
        self._alarms, self._letters = Decoder(Alarm), Decoder(DeadLetter)
        self._processes = Decoder(ProcessStatus)

    def read(self, record: TopicRecord) -> Change | None:
        """The change that the record makes, None where it makes none."""
        if record.value is None:
            return _read_tombstone(record)
        with suppress(InvalidEventError):
            return self._readers[record.kind](record, record.value)
        return None

    def _read_transaction(self, record: TopicRecord, value: bytes) -> TransactionChange | None:
        told = self._transactions.decode(value)
        # Under another key it could not be erased: a null value names the key.
        if told.retailer != self._retailer or record.key != told.transaction_id.encode():
            return None
        return TransactionChange(
            told.transaction_id,
            to_epoch_ms(told.event_time),
            to_epoch_ms(told.ingest_time),
            self._convert(told),
            told.origin.phase in HISTORY_PHASES,
            list_entities(told),
            _write(told),
        )

    def _convert(self, told: Transaction) -> int | None:
        with suppress(InvalidEventError):
            return convert_to_base_minor(told.amount_minor, told.currency, self._base_currency, self._rates)
        return None

    def _read_verdict(self, record: TopicRecord, value: bytes) -> VerdictChange | None:
        told = self._verdicts.decode(value)
        if told.retailer != self._retailer or told.revision > REVISION_MAX:
            return None
        return VerdictChange(
            told.transaction_id,
            told.revision,
            to_epoch_ms(told.event_time),
            to_epoch_ms(told.scored_at),
            record.appended_ms,
            told.decision,
            told.score,
            told.degraded,
            told.late,
            _clean(told.outcome, OUTCOME_MAX),
            _to_ms(told.hold_until),
            _write(told),
        )

    def _read_label(self, record: TopicRecord, value: bytes) -> LabelChange | None:
        told = self._labels.decode(value)
        if told.retailer != self._retailer:
            return None
        label_ms = to_epoch_ms(told.label_time)
        meaning = _digest(told.fraud, told.source, told.kind, told.label_time.isoformat())
        return LabelChange(told.transaction_id, meaning, label_ms, record.appended_ms, record.offset, _write(told))

    def _read_resolution(self, record: TopicRecord, value: bytes) -> ResolutionChange | None:  # noqa: ARG002 - as its brothers
        told = self._resolutions.decode(value)
        if told.retailer != self._retailer:
            return None
        return ResolutionChange(told.transaction_id, told.resolution_id, to_epoch_ms(told.resolved_at), _write(told))

    def _read_alarm(self, record: TopicRecord, value: bytes) -> AlarmChange | None:  # noqa: ARG002 - as its brothers
        told = self._alarms.decode(value)
        if told.retailer != self._retailer:
            return None
        return AlarmChange(told.alarm_id, to_epoch_ms(told.raised_at), _write(told))

    def _read_letter(self, record: TopicRecord, value: bytes) -> LetterChange | None:
        told = self._letters.decode(value)
        if told.retailer != self._retailer:
            return None
        return LetterChange(
            record.topic_id,
            record.partition,
            record.offset,
            _read_key(record.key),
            _clean(told.reason, KEY_MAX) or "",
            _clean(told.part, KEY_MAX) or "",
            to_epoch_ms(told.failed_at),
            _write(told),
        )

    def _read_process(self, record: TopicRecord, value: bytes) -> ProcessChange | None:
        told = self._processes.decode(value)
        if told.retailer != self._retailer:
            return None
        part = _clean(told.part, KEY_MAX) or ""
        return ProcessChange(part, told.process, record.appended_ms, record.offset, _write(told))


def list_entities(transaction: Transaction) -> tuple[tuple[str, str], ...]:
    """Kind and token of each entity, each once; a token of the previous key counts as the entity's too, while keys rotate."""
    named = {(kind, token) for kind in ENTITY_KINDS if (token := getattr(transaction, kind)) is not None}
    aliases = transaction.aliases or {}
    return tuple(sorted(named | {(kind, token) for kind, token in aliases.items() if kind in ENTITY_KINDS}))


def _digest(*parts: object) -> str:
    """32 hex digits that are equal where the parts are."""
    return sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def _read_tombstone(record: TopicRecord) -> Change | None:
    key = _read_key(record.key)
    if key is None:
        return None
    if record.kind in OF_TRANSACTIONS and len(key) <= ID_MAX:
        return ErasureChange(key, record.appended_ms)
    if record.kind == DEAD_LETTERS.kind:
        return LetterErasureChange(record.topic_id, record.partition, record.offset, key)
    return None


def _read_key(key: bytes | None) -> str | None:
    return None if key is None else _clean(key.decode(errors="replace"), KEY_MAX)


def _clean(text: str | None, length: int) -> str | None:
    """As a column takes it: PostgreSQL refuses a zero byte, and every other text of the batch with it."""
    return None if text is None else text.replace("\x00", "\ufffd")[:length]


def _to_ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_epoch_ms(moment)


def _write(message: msgspec.Struct) -> str:
    """A zero byte within a text is written as an escape by JSON, so PostgreSQL takes it."""
    return encode(message).decode()
