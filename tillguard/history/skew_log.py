"""What the topics say of what serving applied, in which order, what it saw, and what had become known."""

import heapq
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple, TypeVar

import msgspec

from contract.clock import to_epoch_ms
from contract.codec import Decoder
from contract.errors import InvalidEventError
from contract.events import Transaction
from contract.features import FeatureRecord, get_feature_names, get_schema_hash
from contract.risk import KnownOutcome
from contract.settings import Settings
from contract.topics import FEATURES, OUTCOMES, TRANSACTIONS, Topic
from runtime.kafka.topic_log import TopicReader
from scoring.ports import Finding
from scoring.store.outcomes import decode_entities

M = TypeVar("M", bound=msgspec.Struct)

ROW_BYTES = 4 * len(get_feature_names())


class Applied(NamedTuple):
    """One transaction that the live windows took."""

    applied_seq: int
    event_time_ms: int
    transaction_id: str
    amount_base_minor: int
    entities: bytes
    """As FeatureRecord.entities."""


class Due(NamedTuple):
    """What became known, in the order of label_time."""

    known_ms: int
    number: int
    finding: Finding


class Served(NamedTuple):
    """What the topics hold."""

    applied: list[Applied]
    """In the order in which the store applied them."""
    values: Mapping[int, bytes]
    """Of the newest, by applied_seq: features as recorded."""
    transactions: Mapping[str, Transaction]
    """Of these."""
    due: list[Due]


def read(settings: Settings, newest: int) -> Served:
    """Everything that the check needs from the topics; raises TransientError."""
    applied, values = _feature_log(settings, newest)
    chosen = {one.transaction_id for one in applied if one.applied_seq in values}
    return Served(applied, values, _transactions(settings, chosen), _outcomes(settings))


def _feature_log(settings: Settings, newest: int) -> tuple[list[Applied], dict[int, bytes]]:
    applied: dict[int, Applied] = {}
    values: dict[int, bytes] = {}
    heap: list[int] = []
    for record in _decoded(settings, FEATURES, FeatureRecord):
        seq = record.applied_seq
        if seq in applied or not record.entities:
            continue
        applied[seq] = Applied(
            seq, to_epoch_ms(record.event_time), record.transaction_id, record.amount_base_minor, record.entities
        )
        if record.feature_schema == get_schema_hash() and len(record.values) == ROW_BYTES:
            heapq.heappush(heap, seq)
            values[seq] = record.values
            if len(heap) > newest:
                del values[heapq.heappop(heap)]
    return [applied[seq] for seq in sorted(applied)], values


def _transactions(settings: Settings, chosen: set[str]) -> dict[str, Transaction]:
    found: dict[str, Transaction] = {}
    for one in _decoded(settings, TRANSACTIONS, Transaction):
        if one.transaction_id in chosen:
            found.setdefault(one.transaction_id, one)
    return found


def _outcomes(settings: Settings) -> list[Due]:
    due = []
    for number, one in enumerate(_decoded(settings, OUTCOMES, KnownOutcome)):
        finding = Finding(
            one.transaction_id,
            to_epoch_ms(one.event_time),
            decode_entities(one.entities),
            one.fraud,
            one.fraud and one.plain,
        )
        due.append(Due(to_epoch_ms(one.label_time), number, finding))
    return sorted(due, key=lambda each: each[:2])


def _decoded(settings: Settings, topic: Topic, message_type: type[M]) -> Iterator[M]:
    """What stands on the topic now, without tombstones and what cannot be decoded: others count that."""
    decoder = Decoder(message_type)
    for record in TopicReader(settings.kafka).read_until_now(topic.name(settings.retailer)):
        if record.value is not None:
            with suppress(InvalidEventError):
                yield decoder.decode(record.value)
