"""Takes what the feature log and the labels topic hold now into the examples store, for a training by hand.

The running trainer does so all the time. Where one runs, this waits until it has come as far as the topics reach now; where none
does, this does the same work once, as the same consumer group, and continues from where the last trainer stopped.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import structlog
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError

from contract.clock import Clock
from contract.errors import TransientError
from contract.settings import Settings
from contract.topics import DEAD_LETTERS, FEATURES, LABELS
from runtime.kafka.producer import SharedProducer
from runtime.locks import LockBusyError
from trainer.examples.intake import Intake, Message, encode_letters
from trainer.examples.store import ExampleStore
from trainer.registry.registry import Registry

BATCH_MAX = 500
POLL_S = 0.5
CAUGHT_UP_WITHIN_S = 120.0
"""For the running trainer to come as far as the topics reached."""

Ends = dict[TopicPartition, int]

log = structlog.get_logger()


def group_of(retailer: str) -> str:
    """The consumer group of a retailer's trainer."""
    return f"{retailer}.trainer"


def take_in(settings: Settings, store: ExampleStore, clock: Clock, progress: Callable[[int], None]) -> None:
    """Until the store holds all that stood on both topics at the call; `progress` is told how many messages were read.

    Raises TransientError where Kafka or the store does not answer, or the running trainer does not catch up.
    """
    trainer = settings.trainer
    registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
    try:
        with closing(_consumer(settings)) as consumer:
            partitions = _partitions(consumer, settings.retailer)
            ends = consumer.end_offsets(partitions) if partitions else {}
            try:
                with registry.hold("trainer", settings.retailer):
                    _seek(store, consumer, ends)
                    taker = _Taker(settings, store, clock)
                    _take_all(consumer, ends, taker, progress, settings.kafka.request_timeout_s)
            except LockBusyError:
                _wait(consumer, ends)
    except KafkaError as error:
        raise TransientError(f"the topics of {settings.retailer} cannot be read: {type(error).__name__}") from None
    finally:
        registry.close()


def _consumer(settings: Settings) -> KafkaConsumer:
    try:
        return KafkaConsumer(
            **settings.kafka.to_kafka_python(),
            group_id=group_of(settings.retailer),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=BATCH_MAX,
            check_crcs=True,
        )
    except KafkaError as error:
        raise TransientError(f"Kafka does not answer: {type(error).__name__}") from None


def _partitions(consumer: KafkaConsumer, retailer: str) -> list[TopicPartition]:
    """None for a topic that does not exist: nothing was ever written to it."""
    names = [topic.name(retailer) for topic in (FEATURES, LABELS)]
    return [TopicPartition(name, number) for name in names for number in consumer.partitions_for_topic(name) or ()]


def _seek(store: ExampleStore, consumer: KafkaConsumer, ends: Ends) -> None:
    """Where the last trainer stopped; at the beginning where the store knows nothing, as after a loss."""
    consumer.assign(list(ends))  # no member of the group: nothing is taken from a trainer that starts meanwhile
    empty = store.read_watermark_ms() is None and store.read_label_number() == 0
    for partition in ends:
        at = None if empty else consumer.committed(partition)
        if at is None:
            consumer.seek_to_beginning(partition)
        else:
            consumer.seek(partition, at)


def _take_all(
    consumer: KafkaConsumer, ends: Ends, taker: "_Taker", progress: Callable[[int], None], silence_s: float
) -> None:
    count = 0
    try:
        for messages in _batches(consumer, ends, silence_s):
            taker.take(messages)
            consumer.commit()
            count += len(messages)
            progress(count)
    finally:
        taker.close()
    log.info("topics_taken_in", messages=count)


class _Taker:
    """Puts batches into the store, as the running trainer does."""

    def __init__(self, settings: Settings, store: ExampleStore, clock: Clock) -> None:
        retailer = settings.retailer
        self._producer = SharedProducer(settings.kafka, f"{retailer}-intake")
        self._dead_letters = DEAD_LETTERS.name(retailer)
        self._intake = Intake(retailer, FEATURES.name(retailer), LABELS.name(retailer))
        self._store, self._clock = store, clock

    def take(self, messages: Sequence[Message]) -> None:
        batch = self._intake.read_batch(messages, self._clock.now())
        if batch.letters:
            self._producer.deliver(self._dead_letters, encode_letters(batch.letters))
        self._store.forget(batch.forgotten)
        self._store.put(batch.records, batch.labels)

    def close(self) -> None:
        """Ends the producer."""
        self._producer.close()


def _batches(consumer: KafkaConsumer, ends: Ends, silence_s: float) -> Iterator[Sequence[Message]]:
    silent_since_s = time.monotonic()
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        found = consumer.poll(timeout_ms=int(POLL_S * 1000))
        if found:
            silent_since_s = time.monotonic()
            yield [
                Message(record.topic, record.partition, record.offset, record.key, record.value)
                for records in found.values()
                for record in records
            ]
        elif time.monotonic() - silent_since_s > silence_s:
            raise TransientError(f"the feature log or the labels topic gave nothing for {silence_s:g} s")


def _wait(consumer: KafkaConsumer, ends: Ends) -> None:
    log.info("waits_for_running_trainer")
    deadline_s = time.monotonic() + CAUGHT_UP_WITHIN_S
    while any((consumer.committed(partition) or 0) < end for partition, end in ends.items()):
        if time.monotonic() > deadline_s:
            raise TransientError(
                f"the running trainer has not taken in within {CAUGHT_UP_WITHIN_S:.0f} s what the topics hold; its /health says "
                "more, and this training can be started again"
            )
        time.sleep(POLL_S)
