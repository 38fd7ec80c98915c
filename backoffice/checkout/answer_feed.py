"""Reads verdicts and dead letters as they are appended, for whoever waits. Commits nothing: who comes later asks the read model."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Self

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from backoffice.checkout.answers import AnswerHub
from contract.settings import KafkaSettings
from contract.topics import DEAD_LETTERS, VERDICTS
from runtime.kafka.client_log import get_client_logger

POLL_S = 0.2
METADATA_S = 5.0
RECHECK_S = 30.0
"""How often new partitions are looked for."""
RETRY_S = 1.0

log = structlog.get_logger()


class AnswerFeed:
    """One retailer's newest verdicts and dead letters into a hub, on a thread of its own. A context manager."""

    def __init__(
        self,
        kafka: KafkaSettings,
        retailer: str,
        hub: AnswerHub,
        *,
        client_id: str,
        watched: Mapping[str, Callable[[str, int], None]] | None = None,
    ) -> None:
        """`watched`: further topics; each is told how many partitions it has, at the start and when that changes."""
        self._kafka = kafka
        self._hub = hub
        self._client_id = client_id
        self._verdicts, self._letters = VERDICTS.name(retailer), DEAD_LETTERS.name(retailer)
        self._watched = dict(watched or {})
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._healthy_s = 0.0
        self._thread = threading.Thread(target=self._run, name=f"{retailer}-answers", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def is_reading(self) -> bool:
        """Whether every answer that is appended from now on arrives: the topics are assigned, and brokers answered lately."""
        return self._ready.is_set() and time.monotonic() - self._healthy_s < RECHECK_S + METADATA_S

    def wait_until_reading(self, timeout_s: float) -> bool:
        """Blocks until reading has begun, at most `timeout_s`."""
        return self._ready.wait(timeout_s)

    def _run(self) -> None:
        properties = {
            "group.id": "tillguard-backoffice",  # librdkafka asks for a name; nothing is ever committed to it
            "client.id": self._client_id,
            "enable.auto.commit": False,
            "auto.offset.reset": "latest",
            "fetch.wait.max.ms": 100,
        }
        consumer = Consumer(self._kafka.to_librdkafka() | properties, logger=get_client_logger(self._client_id))
        assigned: dict[str, int] = {}
        recheck_s = 0.0
        try:
            while not self._stop.is_set():
                if time.monotonic() >= recheck_s:
                    found = self._list_partitions(consumer)
                    if found and found != assigned:
                        assigned = self._assign(consumer, assigned, found)
                    recheck_s = time.monotonic() + (RECHECK_S if found and assigned else RETRY_S)
                if assigned:
                    self._take(consumer)
                else:
                    self._stop.wait(RETRY_S)
        finally:
            consumer.close()

    def _list_partitions(self, consumer: Consumer) -> dict[str, int]:
        """Partitions of every topic of concern; empty while Kafka does not answer or one of them is missing."""
        names = (self._verdicts, self._letters, *self._watched)
        try:
            topics = {name: consumer.list_topics(name, timeout=METADATA_S).topics[name] for name in names}
        except KafkaException:
            return {}
        if any(topic.error is not None for topic in topics.values()):
            return {}
        self._healthy_s = time.monotonic()
        return {name: len(topic.partitions) for name, topic in topics.items()}

    def _assign(self, consumer: Consumer, before: Mapping[str, int], found: dict[str, int]) -> dict[str, int]:
        """What is assigned now: every partition from its end, those that came later from their beginning."""
        for topic, tell in self._watched.items():
            tell(topic, found[topic])
        try:
            for topic in (self._verdicts, self._letters):
                for number in range(before.get(topic, 0), found[topic]):
                    place = TopicPartition(topic, number)
                    offset = 0 if before else consumer.get_watermark_offsets(place, timeout=METADATA_S)[1]
                    consumer.incremental_assign([TopicPartition(topic, number, offset)])
        except KafkaException as error:
            log.info("answers_not_assigned", reason=error.args[0].name())
            consumer.unassign()
            return {}
        self._ready.set()
        return found

    def _take(self, consumer: Consumer) -> None:
        message = consumer.poll(POLL_S)
        if message is None:
            return
        error = message.error()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name begins so
                log.warning("answers_not_read", reason=error.name())
            return
        if message.topic() == self._verdicts:
            self._hub.take_verdict(message.key(), message.value())
        else:
            self._hub.take_letter(message.value())
