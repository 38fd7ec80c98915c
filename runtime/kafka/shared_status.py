"""Heartbeats through the producer that a process's threads share: no further connection, no further thread of a client."""

import time

from confluent_kafka import KafkaError, Message

from runtime.kafka.producer import DeliveryError, SharedProducer

CROWDED_FROM = 10_000
"""Messages under way from which heartbeats are dropped: what the process is there for goes first."""
POLL_S = 0.05


class SharedStatusOutlet:
    """See runtime.heartbeat.StatusOutlet."""

    def __init__(self, producer: SharedProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic
        self._under_way = False
        self._refusal: str | None = None

    def offer(self, key: bytes, value: bytes) -> None:
        self._producer.poll()
        if not self._under_way and self._producer.queued < CROWDED_FROM:
            self._under_way = True
            try:
                self._producer.produce(self._topic, key, value, self._report)
            except DeliveryError:
                self._under_way = False
                raise
        refusal, self._refusal = self._refusal, None
        if refusal is not None:
            raise DeliveryError(f"{self._topic}: {refusal}")

    def settle(self, timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while self._under_way and time.monotonic() < deadline_s:
            self._producer.poll(POLL_S)
        return not self._under_way

    def close(self) -> None:
        """The producer is its owner's to close."""

    def _report(self, error: KafkaError | None, _message: Message) -> None:
        self._refusal = None if error is None else error.name()
        self._under_way = False
