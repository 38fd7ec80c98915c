"""Heartbeats of a process that has no librdkafka: a producer of kafka-python for nothing else.

A connector's own producer must not carry them: it counts every message up to which a position may be saved, and a refused heartbeat
would make it start again.
"""

from contextlib import suppress
from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaError

from contract.errors import TransientError
from contract.settings import KafkaSettings
from runtime.kafka.brokers import close_producer, is_reachable

ANSWER_S = 5.0
"""A broker that does not answer for so long gets the next heartbeat by a new connection."""


class OwnStatusOutlet:
    """See runtime.heartbeat.StatusOutlet. Connects with the first record."""

    def __init__(self, kafka: KafkaSettings, client_id: str, topic: str) -> None:
        limit_ms = round(ANSWER_S * 1000)
        self._options = kafka.to_kafka_python() | {
            "client_id": client_id,
            "acks": 1,
            "enable_idempotence": False,
            "linger_ms": 0,
            "request_timeout_ms": limit_ms,
            "delivery_timeout_ms": 2 * limit_ms,
            "max_block_ms": limit_ms,
            "bootstrap_timeout_ms": limit_ms,
            "allow_auto_create_topics": False,
            "reconnect_backoff_max_ms": 1000,
            "metrics_enabled": False,
        }
        self._topic = topic
        self._producer: Any = None
        self._sent: Any = None

    def offer(self, key: bytes, value: bytes) -> None:
        if self._sent is not None and not self._sent.is_done:
            return
        try:
            if self._sent is not None and self._sent.failed():
                raise self._sent.exception
            self._sent = self._connected().send(self._topic, value, key=key, partition=0)
        except (KafkaError, OSError, RuntimeError) as error:
            self.close()
            raise TransientError(f"{self._topic}: {type(error).__name__}") from None

    def settle(self, timeout_s: float) -> bool:
        if self._sent is None:
            return True
        with suppress(KafkaError):  # refused, or time ran out
            self._sent.get(timeout=timeout_s)
        return bool(self._sent.is_done)

    def close(self) -> None:
        producer, self._producer, self._sent = self._producer, None, None
        if producer is not None:
            close_producer(producer)

    def _connected(self) -> Any:
        if self._producer is None:
            # a producer that is made while no broker answers leaves sockets behind
            if not is_reachable(self._options["bootstrap_servers"]):
                raise TransientError(f"no Kafka broker answers at {','.join(self._options['bootstrap_servers'])}")
            self._producer = KafkaProducer(**self._options)
        return self._producer
