"""Kafka as a sink: acks from all replicas, idempotent, bounded in flight, and patient with a broker that is away.

Every message is kept until the broker confirmed it. When a send fails for good (time limit, lost session), the producer is
thrown away and everything unconfirmed is sent again by a new one: twice at worst, never not at all.

It is not `runtime.kafka.producer.SharedProducer`, which reports a failed message and forgets it: a connector's saved position may
not pass a row before its message is confirmed, in the order of sending, and a connector's install has no librdkafka.
"""

import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from threading import Event
from typing import Any

import structlog
from kafka import KafkaProducer
from kafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
)

from connectors.ports import Interrupted, Outgoing
from contract.errors import ConfigurationError
from contract.partitions import choose_partition
from runtime.kafka.brokers import close_producer, is_reachable

_LOG = structlog.get_logger()
_HOPELESS = (
    ClusterAuthorizationFailedError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
)
LINGER_MS = 5
"""How long a message may wait for company; far below a person's notice, and it triples the throughput of a backlog."""
BATCH_BYTES = 128 * 1024
METADATA_WAIT_S = 5.0
BACKOFF_S_MAX = 5.0
POLL_S = 0.1
"""How often a blocked send looks whether it should stop."""


class _Pending:
    """A message that the broker has not confirmed."""

    __slots__ = ("future", "message", "sent_at")

    def __init__(self, message: Outgoing, sent_at: float) -> None:
        self.message = message
        self.sent_at = sent_at
        self.future: Any = None


class KafkaSink:
    """See connectors.ports.Sink. `compute_blocked_s` may be read from another thread."""

    def __init__(
        self,
        options: Mapping[str, Any],
        *,
        client_id: str,
        messages_max: int,
        bytes_max: int,
        request_timeout_s: float,
        stop: Event,
    ) -> None:
        """Connects with the first message.

        Args:
            options: Connection settings of kafka-python.
            client_id: Shown in the broker's logs and quotas.
            messages_max: Sent and not confirmed, at most.
            bytes_max: Keys and values of these, at most.
            request_timeout_s: A broker that does not answer for so long counts as away.
            stop: Set from outside to interrupt a blocked send.
        """
        self._options = dict(options) | {
            "client_id": client_id,
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": LINGER_MS,
            "batch_size": BATCH_BYTES,
            "request_timeout_ms": int(request_timeout_s * 1000),
            "delivery_timeout_ms": int(request_timeout_s * 2000) + LINGER_MS,
            "max_block_ms": int(METADATA_WAIT_S * 1000),
            "bootstrap_timeout_ms": int(METADATA_WAIT_S * 1000),
            "allow_auto_create_topics": False,
            "reconnect_backoff_max_ms": 1000,
            "metrics_enabled": False,
        }
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._stop = stop
        self._producer: Any = None
        self._partitions: dict[str, int] = {}
        self._pending: deque[_Pending] = deque()
        self._bytes = 0
        self._sent = 0
        self._confirmed = 0

    def send(self, message: Outgoing) -> None:
        self._wait_for_room()
        pending = _Pending(message, time.monotonic())
        self._pending.append(pending)
        self._bytes += _size(message)
        self._sent += 1
        try:
            self._dispatch(pending)
        except KafkaError as error:
            self._renew(error)

    def count_sent(self) -> int:
        return self._sent

    def count_confirmed(self) -> int:
        self._collect()
        return self._confirmed

    def flush(self, timeout_s: float) -> bool:
        deadline = time.monotonic() + timeout_s
        while self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._await_oldest(min(left, POLL_S))
            try:
                self._collect()
            except Interrupted:
                return False
        return True

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer)

    @property
    def in_flight(self) -> int:
        """Messages sent and not confirmed."""
        return len(self._pending)

    def compute_blocked_s(self) -> float:
        """How long the oldest unconfirmed message has been waiting."""
        try:
            oldest = self._pending[0]
        except IndexError:
            return 0.0
        return time.monotonic() - oldest.sent_at

    def _wait_for_room(self) -> None:
        while len(self._pending) >= self._messages_max or (self._pending and self._bytes >= self._bytes_max):
            self._collect()
            if len(self._pending) < self._messages_max and self._bytes < self._bytes_max:
                return
            if self._stop.is_set():
                raise Interrupted
            self._await_oldest(POLL_S)

    def _await_oldest(self, timeout_s: float) -> None:
        oldest = self._pending[0].future
        if oldest is not None:
            # a failure is looked at by _collect
            with suppress(KafkaError):
                oldest.get(timeout=timeout_s)

    def _collect(self) -> None:
        """Counts what was confirmed, from the oldest on; a failure renews the producer."""
        pending = self._pending
        while pending:
            future = pending[0].future
            if future is None or not future.is_done:
                return
            if future.failed():
                self._renew(future.exception)
                return
            self._bytes -= _size(pending.popleft().message)
            self._confirmed += 1

    def _dispatch(self, pending: _Pending) -> None:
        message = pending.message
        producer = self._connected()
        count = self._partitions.get(message.topic)
        if count is None:
            count = self._partitions[message.topic] = self._partition_count(message.topic)
        partition = choose_partition(message.partition_by, count)
        pending.future = producer.send(message.topic, value=message.value, key=message.key, partition=partition)

    def _connected(self) -> Any:
        if self._producer is None:
            # a producer that is made while no broker answers leaves sockets behind forever
            if not is_reachable(self._options["bootstrap_servers"]):
                raise KafkaConnectionError("no broker answers")
            self._producer = KafkaProducer(**self._options)
            self._partitions = {}
        return self._producer

    def _partition_count(self, topic: str) -> int:
        found = self._connected().partitions_for(topic)
        if not found:
            raise KafkaError(f"topic {topic} is not there")
        return len(found)

    def _renew(self, error: Exception) -> None:
        """A new producer, and everything unconfirmed again; continues trying until the broker is back."""
        backoff_s = 0.1
        while True:
            if isinstance(error, _HOPELESS):
                raise ConfigurationError([f"Kafka refuses: {type(error).__name__}; see the settings under `kafka`"])
            _LOG.warning(
                "kafka_away", error=type(error).__name__, detail=str(error)[:200], unconfirmed=len(self._pending)
            )
            self.close()
            if self._stop.wait(backoff_s):
                raise Interrupted
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)
            try:
                self._drop_done()
                for pending in self._pending:
                    self._dispatch(pending)
            except (KafkaError, OSError, RuntimeError) as again:
                error = again
                continue
            _LOG.info("kafka_back", sent_again=len(self._pending))
            return

    def _drop_done(self) -> None:
        """Forgets the outcome of earlier sends, but what was confirmed at the head stays confirmed."""
        while self._pending and self._pending[0].future is not None and self._pending[0].future.succeeded():
            self._bytes -= _size(self._pending.popleft().message)
            self._confirmed += 1
        for pending in self._pending:
            pending.future = None


def _size(message: Outgoing) -> int:
    return len(message.key) + len(message.value)
