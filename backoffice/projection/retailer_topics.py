"""Reads all topics of a retailer from given positions, as one librdkafka client without a consumer group's commits."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient

from backoffice.projection.record_reader import TOPICS, TopicRecord
from backoffice.projection.starting_point import choose_start
from backoffice.projection.store import Position, Positions
from contract.errors import TransientError
from contract.settings import KafkaSettings
from runtime.kafka.client_log import get_client_logger

QUEUE_KB_MAX = 32_768
_PASSED = frozenset({KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION})  # noqa: SLF001 - the library's public names begin so
"""A topic that is deleted while it is read: `has_changed` sees it."""
log = structlog.get_logger()


class _Layout(NamedTuple):
    """The topics as the broker has them."""

    topic_ids: Mapping[str, str]
    partitions: Mapping[str, int]


class RetailerTopics:
    """Used by one thread. A context manager: leaving it ends the client."""

    def __init__(self, kafka: KafkaSettings, retailer: str, positions: Positions) -> None:
        """Begins at `positions`, and where there are none at the oldest record; raises TransientError."""
        self._timeout_s, self._server = kafka.request_timeout_s, kafka.bootstrap_servers
        self._kinds = {topic.name(retailer): topic.kind for topic in TOPICS}
        self._fault: str | None = None
        self._next: dict[tuple[str, int], int] = {}
        self.missed = 0
        """Records that retention dropped before they were read."""
        connection = kafka.to_librdkafka() | {"client.id": f"{retailer}-projector", "error_cb": self._note}
        self._admin = AdminClient(connection, logger=get_client_logger("projector"))
        self._consumer = Consumer(connection | _reading(retailer), logger=get_client_logger("projector"))
        try:
            self._layout = self._describe()
            self._assign(positions)
        except BaseException:
            self._consumer.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._consumer.close()

    @property
    def missing(self) -> list[str]:
        """Topics that do not exist."""
        return sorted(self._kinds.keys() - self._layout.topic_ids.keys())

    @property
    def fault(self) -> str | None:
        """Why nothing comes, in words, where no broker answers."""
        return self._fault

    def has_changed(self) -> bool:
        """Whether topics or partitions came, went, or were made again since this began; raises TransientError."""
        return self._describe() != self._layout

    def read(self, records_max: int, wait_s: float) -> list[TopicRecord]:
        """What comes within `wait_s`; raises TransientError where a topic must not be read."""
        records = []
        for message in self._consumer.consume(records_max, wait_s):
            place = (message.topic() or "", message.partition() or 0)
            if self._is_record(message):
                records.append(self._make_record(message))
                self._next[place] = (message.offset() or 0) + 1
            elif _is_end(message):
                self._next[place] = message.offset() or 0
        if records:
            self._fault = None
        return records

    def find_positions(self, records: list[TopicRecord]) -> dict[tuple[str, int], Position]:
        """The positions after these records."""
        names = {kind: name for name, kind in self._kinds.items()}
        return {(names[each.kind], each.partition): Position(each.topic_id, each.offset + 1) for each in records}

    def count_lag(self) -> int | None:
        """Records that are not read yet; None until every partition has said how far it reaches."""
        lag = 0
        for (topic, partition), offset in self._next.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            if high < 0:
                return None
            lag += max(0, high - offset)
        return lag

    def _describe(self) -> _Layout:
        topic_ids, partitions = {}, {}
        for name, answer in self._admin.describe_topics(
            TopicCollection(list(self._kinds)), request_timeout=self._timeout_s
        ).items():
            try:
                found = answer.result(self._timeout_s)
            except KafkaException as error:
                if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                    continue
                raise self._refused(error) from None
            topic_ids[name], partitions[name] = str(found.topic_id), len(found.partitions)
        self._fault = None
        return _Layout(topic_ids, partitions)

    def _assign(self, positions: Positions) -> None:
        wanted = []
        try:
            for topic, count in self._layout.partitions.items():
                wanted += [self._begin(topic, partition, positions) for partition in range(count)]
        except KafkaException as error:
            raise self._refused(error) from None
        self._next = {(each.topic, each.partition): each.offset for each in wanted}
        self._consumer.assign(wanted)

    def _begin(self, topic: str, partition: int, positions: Positions) -> TopicPartition:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=self._timeout_s)
        start = choose_start(positions.get((topic, partition)), self._layout.topic_ids[topic], low, high)
        if start.missed:
            self.missed += start.missed
            log.warning("read_model_gap", topic=topic, partition=partition, records=start.missed)
        if start.is_other_topic:
            log.warning("read_model_topic_made_again", topic=topic, partition=partition)
        return TopicPartition(topic, partition, start.offset)

    def _is_record(self, message: Message) -> bool:
        error = message.error()
        if error is None:
            return True
        if not _is_end(message) and error.code() not in _PASSED:
            raise TransientError(f"{message.topic()} cannot be read: {error.name()}")
        return False

    def _make_record(self, message: Message) -> TopicRecord:
        topic = message.topic() or ""
        return TopicRecord(
            self._kinds[topic],
            self._layout.topic_ids[topic],
            message.partition() or 0,
            message.offset() or 0,
            message.timestamp()[1],
            message.key(),
            message.value(),
        )

    def _note(self, error: KafkaError) -> None:
        """Called by the client while it is polled."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - as above
            self._fault = f"no Kafka broker answers at {self._server}"

    def _refused(self, error: KafkaException) -> TransientError:
        return TransientError(f"Kafka at {self._server} does not say what its topics hold ({error.args[0].name()})")


def _reading(retailer: str) -> dict[str, Any]:
    return {
        "group.id": f"{retailer}.projector",  # librdkafka asks for a name; nothing is ever committed to it
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "enable.partition.eof": True,
        # Retention that overtakes the projector: it continues with what is left.
        "auto.offset.reset": "earliest",
        "queued.max.messages.kbytes": QUEUE_KB_MAX,
    }


def _is_end(message: Message) -> bool:
    error = message.error()
    return error is not None and error.code() == KafkaError._PARTITION_EOF  # noqa: SLF001 - as above
