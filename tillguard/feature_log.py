"""What serving saw, read back from Kafka for training: the feature log joined with the labels.

Reads up to where the topics ended when it began, so that it ends while transactions go on coming.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contract.clock import epoch_ms
from contract.codec import Decoder
from contract.errors import InvalidEventError, TransientError
from contract.events import Label
from contract.features import FeatureRecord
from contract.settings import KafkaSettings, Settings
from contract.topics import FEATURES, LABELS
from trainer.spool import Spool
from trainer.widen import widened

M = TypeVar("M", bound=msgspec.Struct)
POLL_S = 0.5
POLL_RECORDS = 2_000


class LogRead(NamedTuple):
    """What the topics held."""

    labels: dict[str, bool]
    """By transaction_id: the label with the latest label_time, of equals the one read last."""
    records: int
    refused: Counter[str]
    """Left out, by reason; `other_schema`: recorded under a feature schema that this one does not begin with."""


def read(settings: Settings, spool: Spool, progress: Callable[[int], None] | None = None) -> LogRead:
    """Appends the retailer's feature log to `spool` and gives the labels; raises TransientError where Kafka stays away."""
    refused: Counter[str] = Counter()
    labels = newest_labels(_decoded(_values(settings.kafka, LABELS.name(settings.retailer)), Decoder(Label), refused))
    records: list[FeatureRecord] = []
    values = _values(settings.kafka, FEATURES.name(settings.retailer))
    for record in _decoded(values, Decoder(FeatureRecord), refused):
        if widened(record.values, record.feature_schema) is None:
            refused["other_schema"] += 1
            continue
        records.append(record)
        if len(records) >= POLL_RECORDS:
            _append(spool, records)
            records.clear()
            if progress is not None:
                progress(len(spool))
    _append(spool, records)
    return LogRead(labels, len(spool), refused)


def newest_labels(labels: Iterable[Label]) -> dict[str, bool]:
    """By transaction_id, whether it was fraud: the label with the latest label_time wins, of equals the one read last."""
    newest: dict[str, tuple[datetime, bool]] = {}
    for label in labels:
        known = newest.get(label.transaction_id)
        if known is None or label.label_time >= known[0]:
            newest[label.transaction_id] = (label.label_time, label.fraud)
    return {transaction_id: fraud for transaction_id, (_, fraud) in newest.items()}


def _decoded(values: Iterable[bytes], decoder: Decoder[M], refused: Counter[str]) -> Iterator[M]:
    for value in values:
        try:
            yield decoder.decode(value)
        except InvalidEventError as error:
            refused[error.reason] += 1


def _append(spool: Spool, records: list[FeatureRecord]) -> None:
    if records:
        spool.append(
            [record.transaction_id for record in records],
            [epoch_ms(record.event_time) for record in records],
            [record.applied_seq for record in records],
            [record.amount_base_minor for record in records],
            np.stack([row for record in records if (row := widened(record.values, record.feature_schema)) is not None]),
        )


def _values(settings: KafkaSettings, topic: str) -> Iterator[bytes]:
    """Every value from the beginning to the end as it is now; tombstones are passed over."""
    try:
        consumer = KafkaConsumer(
            **settings.kafka_python(), enable_auto_commit=False, max_poll_records=POLL_RECORDS, check_crcs=True
        )
    except KafkaError as error:
        raise TransientError(f"Kafka does not answer: {type(error).__name__}") from None
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not partitions:
            return  # no such topic: nothing was ever written
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        silent_since_s = time.monotonic()
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            found = consumer.poll(timeout_ms=int(POLL_S * 1000))
            if found:
                silent_since_s = time.monotonic()
            elif time.monotonic() - silent_since_s > settings.request_timeout_s:
                raise TransientError(f"topic {topic} gave nothing for {settings.request_timeout_s:g} s")
            for batch in found.values():
                yield from (record.value for record in batch if record.value is not None)
    except KafkaError as error:
        raise TransientError(f"topic {topic} cannot be read: {type(error).__name__}") from None
    finally:
        consumer.close()
