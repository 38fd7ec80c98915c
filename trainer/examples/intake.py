"""From records of the features and labels topics to one batch for the examples store. Pure; knows no Kafka client."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import msgspec

from contract.codec import DOCUMENT_BYTES_MAX, Decoder
from contract.dead_letters import DeadLetter
from contract.errors import InvalidEventError
from contract.events import Label
from contract.features import FeatureRecord
from trainer.examples.upgrade_vector import BYTES

VALUES_BYTES_MAX = 65_535
"""What the examples store's column holds on every database."""
DETAIL_MAX = 1_024
KEY_MAX = 256


class Message(NamedTuple):
    """One record as it stands on its topic."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    """None: a tombstone; the transaction is to be forgotten."""


@dataclass(slots=True)
class Batch:
    """What some messages mean: first `forgotten` is erased, then the others are put in."""

    forgotten: list[str] = field(default_factory=list)
    records: list[FeatureRecord] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    letters: list[tuple[bytes, DeadLetter]] = field(default_factory=list)
    """Key and letter of every message that could not be used."""


class Intake:
    """Decodes and checks; one for a retailer's two topics."""

    def __init__(self, retailer: str, features_topic: str, labels_topic: str) -> None:
        self._retailer = retailer
        self._features_topic, self._labels_topic = features_topic, labels_topic
        self._features, self._labels = Decoder(FeatureRecord), Decoder(Label)

    def read_batch(self, messages: Iterable[Message], now: datetime) -> Batch:
        """What `messages`, in the order of their partitions, amount to; the same again gives the same."""
        batch = Batch()
        for message in messages:
            try:
                self._add(batch, message)
            except InvalidEventError as error:
                batch.letters.append((_key(message), self._letter(message, error, now)))
        return batch

    def _add(self, batch: Batch, message: Message) -> None:
        if message.value is None:
            _forget(batch, message)
        elif message.topic == self._features_topic:
            record = self._features.decode(message.value)
            self._check(record.retailer)
            if len(record.values) % BYTES or not 0 < len(record.values) <= VALUES_BYTES_MAX:
                raise InvalidEventError("field_invalid", "values: not the bytes of float32 numbers")
            if len(record.feature_schema) > 64:
                raise InvalidEventError("field_invalid", "feature_schema: longer than any schema's hash")
            batch.records.append(record)
        elif message.topic == self._labels_topic:
            label = self._labels.decode(message.value)
            self._check(label.retailer)
            batch.labels.append(label)

    def _check(self, retailer: str) -> None:
        if retailer != self._retailer:
            raise InvalidEventError("retailer_mismatch", "field retailer names another retailer")

    def _letter(self, message: Message, error: InvalidEventError, now: datetime) -> DeadLetter:
        value = message.value
        return DeadLetter(
            retailer=self._retailer,
            part="trainer",
            reason=error.reason,
            detail=error.detail[:DETAIL_MAX],
            source=message.topic[-256:],
            position=f"{message.partition}:{message.offset}",
            failed_at=now,
            key=None if message.key is None else message.key.decode(errors="replace")[:KEY_MAX],
            payload=value if value is not None and len(value) <= DOCUMENT_BYTES_MAX else None,
        )


def encode_letters(letters: Iterable[tuple[bytes, DeadLetter]]) -> list[tuple[bytes, bytes]]:
    """(key, value) for the dead-letters topic."""
    return [(key, msgspec.json.encode(letter)) for key, letter in letters]


def _forget(batch: Batch, message: Message) -> None:
    """What came before the tombstone goes with it; what comes after it is new."""
    if message.key is None:
        return
    name = message.key.decode(errors="replace")
    batch.forgotten.append(name)
    batch.records = [record for record in batch.records if record.transaction_id != name]
    batch.labels = [label for label in batch.labels if label.transaction_id != name]


def _key(message: Message) -> bytes:
    """Never empty: the topic is compacted, and under one common key only the newest letter would stay."""
    return message.key or f"{message.topic}/{message.partition}/{message.offset}".encode()
