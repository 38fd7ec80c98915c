"""Topics as they grow, and offsets that a group has committed: what a crash test reads while servers come and go."""

import time
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition

from contract.settings import KafkaSettings

PATIENCE_S = 120.0
"""A broker that was killed is back before that."""
ASK_S = 20.0


class Entry(NamedTuple):
    """One record."""

    partition: int
    offset: int
    key: str
    value: bytes


class GrowingLog:
    """Every record of one topic, read once; `read` adds what has come since."""

    def __init__(self, kafka: KafkaSettings, topic: str, group: str) -> None:
        """`group` is whose commits `committed` tells; nothing is committed here."""
        self.entries: list[Entry] = []
        self._topic = topic
        self._consumer = Consumer(
            kafka.to_librdkafka()
            | {"group.id": group, "enable.auto.commit": False, "reconnect.backoff.max.ms": 500, "log_level": 0}
        )
        found = self._consumer.list_topics(topic, timeout=PATIENCE_S).topics[topic]
        self._next = dict.fromkeys(found.partitions, 0)
        self._consumer.assign([TopicPartition(topic, number, 0) for number in self._next])

    def read(self) -> list[Entry]:
        """Everything up to the present end."""
        deadline = time.monotonic() + PATIENCE_S
        ends = self.ends()
        while any(self._next[number] < end for number, end in ends.items()):
            assert time.monotonic() < deadline, f"{self._topic} cannot be read"
            for message in self._consumer.consume(2000, 0.1):
                partition, offset = message.partition(), message.offset()
                if message.error() is None and partition is not None and offset is not None:
                    self._next[partition] = offset + 1
                    key, value = message.key() or b"", message.value() or b""
                    self.entries.append(Entry(partition, offset, key.decode(), value))
        return self.entries

    def ends(self) -> dict[int, int]:
        """The end of every partition; waits for a broker that is on its way back."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return {
                    number: self._consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=ASK_S)[1]
                    for number in self._next
                }
            except KafkaException:
                if time.monotonic() > deadline:
                    raise

    def committed(self) -> dict[int, int]:
        """What the group has committed; partitions of which nothing is committed are absent."""
        deadline = time.monotonic() + PATIENCE_S
        partitions = [TopicPartition(self._topic, number) for number in self._next]
        while True:
            try:
                found = self._consumer.committed(partitions, timeout=ASK_S)
            except KafkaException:
                if time.monotonic() > deadline:
                    raise
                continue
            return {each.partition: each.offset for each in found if each.offset >= 0}

    def close(self) -> None:
        self._consumer.close()
