"""Sends outcomes to Kafka by librdkafka: idempotent, acknowledged by all in-sync replicas, retried without an end.

A message never times out here, because there is nothing better to do with a verdict than to continue trying: back-pressure
(`full`) stops the reading instead. What the broker refuses for good ends the worker; offsets stay where they were.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contract.errors import TransientError
from contract.settings import KafkaSettings
from contract.topics import ALARMS, DEAD_LETTERS, FEATURES, LABELS, SHADOW_SCORES, VERDICTS
from runtime.kafka.client_log import client_logger
from scoring.ports import EventResult

QUEUE_MESSAGES_MAX = 200_000
FULL_FROM_MESSAGES = 50_000
"""Leaves room for the batches that are already open."""
FULL_FOR_S_MAX = 60.0
"""A queue that stays full for so long: stop, and start again where the offsets stand."""
ROOM_WAIT_S = 0.1
UNHURRIED_LINGER_MS = 10
"""For feature records, labels and dead letters: fewer and larger requests."""

log = structlog.get_logger()


class DeliveryError(TransientError):
    """Kafka refused a message for good; the event's offset stays uncommitted."""


class _Parcel:
    """The messages of one `publish`, counted down as Kafka confirms them."""

    __slots__ = ("_delivered", "_failed", "remaining")

    def __init__(self, delivered: Callable[[], None], failed: Callable[[str], None]) -> None:
        self._delivered = delivered
        self._failed = failed
        self.remaining = 0

    def confirm(self, error: KafkaError | None, message: Message) -> None:
        """Delivery report of one message."""
        if error is not None:
            self._failed(f"{message.topic()}: {error.name()}")
            return
        self.remaining -= 1
        if not self.remaining:
            self._delivered()


class KafkaPublisher:
    """The Publisher of a worker; used by one thread."""

    def __init__(self, kafka: KafkaSettings, retailer: str, *, client_id: str) -> None:
        self._verdicts = VERDICTS.name(retailer)
        self._features = FEATURES.name(retailer)
        self._dead_letters = DEAD_LETTERS.name(retailer)
        self._labels = LABELS.name(retailer)
        self._shadow_scores = SHADOW_SCORES.name(retailer)
        self._alarms = ALARMS.name(retailer)
        self._failure: str | None = None
        self._without_messages: list[Callable[[], None]] = []
        # A broker takes one request of a connection at a time, and each partition has its own requests: what nobody waits for
        # would stand before the verdicts.
        properties, logger = producer_properties(kafka, client_id), client_logger(client_id)
        self._producer = Producer(properties, logger=logger)
        self._unhurried = Producer(properties | {"linger.ms": UNHURRIED_LINGER_MS}, logger=logger)

    @property
    def full(self) -> bool:
        """True: Kafka does not take messages as fast as they come; read nothing more for now."""
        return max(len(self._producer), len(self._unhurried)) >= FULL_FROM_MESSAGES

    def brokers_answer(self, timeout_s: float) -> bool:
        """Whether Kafka can be reached; may be called from any thread, blocks for `timeout_s` at most."""
        try:
            self._producer.list_topics(self._verdicts, timeout=timeout_s)
        except KafkaException:
            return False
        return True

    def publish(self, outcomes: Sequence[EventResult], delivered: Callable[[], None]) -> None:
        parcel = _Parcel(delivered, self._fail)
        messages = [
            (topic, outcome.key, value)
            for outcome in outcomes
            for topic, value in (
                (self._verdicts, outcome.verdict),
                (self._features, outcome.features),
                (self._dead_letters, outcome.dead_letter),
                (self._shadow_scores, outcome.shadow_score),
                (self._alarms, outcome.alarm),
                *((self._labels, label) for label in outcome.labels),
            )
            if value is not None
        ]
        if not messages:
            self._without_messages.append(delivered)
            return
        parcel.remaining = len(messages)
        confirm = parcel.confirm
        for topic, key, value in messages:
            producer = self._producer if topic == self._verdicts else self._unhurried
            try:
                producer.produce(topic, value, key, on_delivery=confirm)
            except BufferError:
                _produce_when_there_is_room(producer, topic, value, key, confirm)
            except KafkaException as error:
                raise DeliveryError(f"{topic}: {error.args[0].name()}") from None
        self._poll()

    def _poll(self) -> None:
        self._producer.poll(0)
        self._unhurried.poll(0)

    def serve(self) -> None:
        self._poll()
        self._settle()

    def flush(self, timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        left = self._producer.flush(timeout_s)
        left += self._unhurried.flush(max(0.0, deadline_s - time.monotonic()))
        self._settle()
        return left == 0

    def _settle(self) -> None:
        if self._failure is not None:
            raise DeliveryError(self._failure)
        done, self._without_messages = self._without_messages, []
        for delivered in done:
            delivered()

    def _fail(self, reason: str) -> None:
        log.error("message_refused", reason=reason)
        self._failure = reason


def _produce_when_there_is_room(
    producer: Producer, topic: str, value: bytes, key: bytes, confirm: Callable[..., Any]
) -> None:
    for _ in range(int(FULL_FOR_S_MAX / ROOM_WAIT_S)):
        producer.poll(ROOM_WAIT_S)
        try:
            producer.produce(topic, value, key, on_delivery=confirm)
        except BufferError:
            continue
        return
    raise DeliveryError(f"{topic}: the queue has been full for {FULL_FOR_S_MAX:.0f} s")


def producer_properties(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Properties of every producer of the worker."""
    return kafka.librdkafka() | {
        "client.id": client_id,
        "acks": "all",
        "enable.idempotence": True,
        "message.timeout.ms": 0,
        "linger.ms": 0.2,
        # The trainer's client reads gzip without a further package; lz4 and zstd it cannot, and would stand still.
        "compression.type": "gzip",
        "compression.level": 1,
        "partitioner": "murmur2_random",  # as Kafka's own clients, so that one key has one partition whoever writes
        "queue.buffering.max.messages": QUEUE_MESSAGES_MAX,
        "queue.buffering.max.kbytes": 512 * 1024,
        "reconnect.backoff.ms": 200,
        "reconnect.backoff.max.ms": 1000,
    }
