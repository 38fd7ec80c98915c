"""Follows a retailer's models topic from its beginning and offers every message to the cache, as long as the worker lives.

No group and no commits: every worker reads everything, and a package that is on the cache already costs nothing.
"""

import threading

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

from contract.clock import Clock
from contract.errors import TransientError
from contract.models import CHUNK_BYTES
from contract.settings import KafkaSettings
from runtime.kafka.client_log import get_client_logger
from scoring.models.cache import ModelCache

WAIT_S = 0.2
"""Longest sleep of the consumer, hence how long `stop` takes."""
MESSAGES_AT_ONCE = 16

log = structlog.get_logger()


class ModelsFollower:
    """A Loop; `catch_up` comes first and in the thread of its caller."""

    def __init__(self, kafka: KafkaSettings, cache: ModelCache, clock: Clock, *, topic: str, client_id: str) -> None:
        self._topic = topic
        self._cache = cache
        self._clock = clock
        self._request_timeout_s = kafka.request_timeout_s
        self._servers = kafka.bootstrap_servers
        self._stop = threading.Event()
        self._behind: set[int] = set()
        properties = {
            "client.id": f"{client_id}-models",
            "group.id": f"{client_id}-models",  # librdkafka asks for a name; nothing is ever committed to it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 100,
            "queued.max.messages.kbytes": 16 * CHUNK_BYTES // 1024,
            "reconnect.backoff.ms": 200,
            "reconnect.backoff.max.ms": 1000,
        }
        self._consumer = Consumer(kafka.to_librdkafka() | properties, logger=get_client_logger(client_id))

    def list_topics(self) -> set[str]:
        """Names of all topics that this worker may see; raises TransientError when no broker answers."""
        try:
            return set(self._consumer.list_topics(timeout=self._request_timeout_s).topics)
        except KafkaException as error:
            raise TransientError(f"no Kafka broker answers at {self._servers} ({error.args[0].name()})") from None

    def catch_up(self, within_s: float) -> bool:
        """Reads what stands on the topic now; False when time ran out (reading continues in `run`)."""
        found = self._consumer.list_topics(self._topic, timeout=self._request_timeout_s).topics[self._topic]
        self._behind = set(found.partitions)
        self._consumer.assign([TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in found.partitions])
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

    def _offer_next(self) -> None:
        messages = self._consumer.consume(MESSAGES_AT_ONCE, 0)
        if not messages and (first := self._consumer.poll(WAIT_S)) is not None:
            messages = [first]
        for message in messages:
            error = message.error()
            if error is None:
                self._cache.offer(message.value())
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name begins so
                self._behind.discard(message.partition() or 0)
            else:
                log.warning("models_not_read", topic=self._topic, error=error.name())
