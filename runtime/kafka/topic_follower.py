"""Follows a topic from its beginning and offers every message, in order, to one listener, as long as the process lives.

No group and no commits: every process reads everything, and a message that its listener knows already must cost little.
"""

import threading
from collections.abc import Callable
from typing import Any

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from contract.clock import Clock
from contract.errors import TransientError
from contract.settings import KafkaSettings
from runtime.kafka.client_log import get_client_logger

WAIT_S = 0.2
"""Longest sleep of the consumer, hence how long `stop` takes."""
MESSAGES_AT_ONCE = 16
QUEUE_KBYTES_MAX = 4096
"""Read ahead of the listener: a few of the largest messages."""

log = structlog.get_logger()


class TopicFollower:
    """A loop; `catch_up` comes first and in the thread of its caller."""

    def __init__(
        self,
        kafka: KafkaSettings,
        offer: Callable[[bytes | None], None],
        clock: Clock,
        *,
        topic: str,
        client_id: str,
    ) -> None:
        """`offer` takes a message's value, None for a tombstone; what it raises ends the loop."""
        self._topic = topic
        self._offer = offer
        self._clock = clock
        self._request_timeout_s = kafka.request_timeout_s
        self._servers = kafka.bootstrap_servers
        self._stop = threading.Event()
        self._behind: set[int] = set()
        properties = {
            "client.id": client_id,
            "group.id": client_id,  # librdkafka asks for a name; nothing is ever committed to it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": QUEUE_KBYTES_MAX,
            "reconnect.backoff.ms": 200,
            "reconnect.backoff.max.ms": 1000,
        }
        self._consumer = Consumer(kafka.to_librdkafka() | properties, logger=get_client_logger(client_id))

    def list_topics(self) -> set[str]:
        """Names of all topics that this process may see; raises TransientError when no broker answers."""
        return set(self._ask())

    def catch_up(self, within_s: float) -> bool:
        """Reads what stands on the topic now; False when time ran out (reading continues in `run`).

        Raises TransientError when no broker answers.
        """
        self._behind = set(self._ask(self._topic)[self._topic].partitions)
        self._consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in self._behind])
        deadline_s = self._clock.monotonic_s() + within_s
        while self._behind and self._clock.monotonic_s() < deadline_s:
            self._offer_next()
        return not self._behind

    def run(self) -> None:
        """Until `stop`: offers what arrives, within a fraction of a second."""
        try:
            while not self._stop.is_set():
                self._offer_next()
        finally:
            self._consumer.close()

    def stop(self) -> None:
        """Asks the loop to end."""
        self._stop.set()

    def _ask(self, topic: str | None = None) -> dict[str, Any]:
        """What the brokers say of `topic`, or of every topic, by name."""
        try:
            return dict(self._consumer.list_topics(topic, timeout=self._request_timeout_s).topics)
        except KafkaException as error:
            raise TransientError(f"no Kafka broker answers at {self._servers} ({error.args[0].name()})") from None

    def _offer_next(self) -> None:
        messages = self._consumer.consume(MESSAGES_AT_ONCE, 0)
        if not messages and (first := self._consumer.poll(WAIT_S)) is not None:
            messages = [first]
        for message in messages:
            error = message.error()
            if error is None:
                self._offer(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name begins so
                self._behind.discard(message.partition() or 0)
            else:
                log.warning("topic_not_read", topic=self._topic, error=error.name())
