"""Erases an entity: its state in Redis, and by tombstones its records on the compacted topics.

Transactions name entities; verdicts, feature records and labels are found by the ids of those transactions. What a transaction
record no longer tells, because its retention is over, cannot be connected to the entity by anybody any more.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import msgspec

from contract.settings import Settings
from contract.topics import DEAD_LETTERS, FEATURES, LABELS, TRANSACTIONS, VERDICTS, Topic
from contract.windows import ENTITY_NAMES
from runtime.kafka.producer import SharedProducer
from runtime.kafka.topic_log import Record, TopicReader
from scoring.store.space import KeySpace


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was found, and erased unless it was a dry run."""

    states: int
    """Places in Redis that held the entity."""
    records: dict[str, int]
    """Records per kind of topic."""


def is_about_entity(value: bytes | None, entity: str, values: Sequence[str]) -> bool:
    """Whether a record is a JSON object that names the entity in its field or among its aliases."""
    if value is None:
        return False
    try:
        document = msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    if not isinstance(document, dict):
        return False
    aliases = document.get("aliases")
    alias = aliases.get(entity) if isinstance(aliases, dict) else None
    return document.get(entity) in values or alias in values


def forget(settings: Settings, entity: str, values: Sequence[str], *, dry_run: bool) -> Forgotten:
    """Erases the entity under all of `values`. Running it again is harmless and finishes what was cut short.

    Raises TransientError; what is erased by then stays erased.
    """
    reader = TopicReader(settings.kafka)

    def standing(topic: Topic, concerns: Callable[[Record], bool]) -> list[Record]:
        return _standing(reader.read_until_now(topic.name(settings.retailer)), concerns)

    transactions = standing(TRANSACTIONS, lambda record: is_about_entity(record.value, entity, values))
    ids = {record.key for record in transactions}
    doomed = {TRANSACTIONS.kind: transactions}
    for topic in (VERDICTS, FEATURES, LABELS):
        doomed[topic.kind] = standing(topic, lambda record: record.key in ids)
    doomed[DEAD_LETTERS.kind] = standing(
        DEAD_LETTERS, lambda record: record.key in ids or _letter_names(record.value, entity, values)
    )
    states = 0
    if not dry_run:
        states = _erase_states(settings, entity, values)
        _bury(settings, [record for records in doomed.values() for record in records])
    return Forgotten(states, {kind: len(records) for kind, records in doomed.items()})


def _standing(records: Iterable[Record], concerns: Callable[[Record], bool]) -> list[Record]:
    """The records that `concerns` accepts and that no later tombstone has taken back."""
    found: dict[tuple[int, bytes | None], list[Record]] = {}
    for record in records:
        place = (record.partition, record.key)
        if record.value is None:
            found.pop(place, None)
        elif concerns(record):
            found.setdefault(place, []).append(record)
    return [record for standing in found.values() for record in standing]


def _letter_names(value: bytes | None, entity: str, values: Sequence[str]) -> bool:
    try:
        letter = msgspec.json.decode(value or b"", type=_Letter)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return letter.key in values or is_about_entity(letter.payload, entity, values)


class _Letter(msgspec.Struct):
    key: str | None = None
    payload: bytes | None = None


def _erase_states(settings: Settings, entity: str, values: Sequence[str]) -> int:
    if entity not in ENTITY_NAMES:
        return 0
    with closing(KeySpace(settings)) as space:
        return sum(space.erase(entity, value) for value in values)


def _bury(settings: Settings, records: Iterable[Record]) -> None:
    """One tombstone per key and partition, to the partition where the record stands."""
    places = sorted({(r.topic, r.partition, r.key) for r in records if r.key is not None})
    with SharedProducer(settings.kafka, "operator") as producer:
        for (topic, partition), group in groupby(places, itemgetter(0, 1)):
            producer.deliver(topic, [(key, None) for *_, key in group], partition)
