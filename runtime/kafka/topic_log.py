"""Reads topics for commands and trainers: whole topics up to their present end, the newest records, single ones.

No consumer group, no commits: nothing that a service relies on is moved.
"""

import math
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from typing import NamedTuple, TypeVar

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from contract.clock import to_epoch_ms
from contract.errors import TransientError
from contract.settings import KafkaSettings
from runtime.kafka.client_log import get_client_logger

AT_ONCE = 1000
WAIT_S = 0.2
LEADER_POLL_S = 0.1
LEADERLESS = frozenset({KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE})
"""What a broker says of a partition whose leader it does not know yet."""
SLICES = 24
"""Of a spread reading: enough that every hour of a day has its share in a window of some days."""


T = TypeVar("T")


class Record(NamedTuple):
    """One record and where it stands."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    """None: a tombstone."""
    appended_ms: int = 0
    """When the broker appended it, ms since 1970 UTC."""


class TopicReader:
    """Reads topics of one retailer. Every method raises TransientError when Kafka does not answer or refuses."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka

    def read_until_now(self, topic: str, since: datetime | None = None) -> Iterator[Record]:
        """Every record that stands on the topic, partition by partition in their order; ends at the end of now.

        `since`: only what was appended then or later, by the broker's clock.
        """
        consumer = self._assigned(topic, OFFSET_BEGINNING)
        try:
            # Where somebody writes all the time, no answer of a broker is empty, and the client never tells that the end is reached.
            ends = {number: end for number, _, end in self._stretches(consumer, None)}
            if since is not None:
                self._seek_to(consumer, to_epoch_ms(since))
            left = {number for number, end in ends.items() if end}
            idle_since_s = time.monotonic()
            while left:
                messages = consumer.consume(AT_ONCE, WAIT_S)
                for message in messages:
                    number, offset = message.partition() or 0, message.offset() or 0
                    if not _ends(message) and number in left and offset < ends[number]:
                        yield _record(message)
                    if _ends(message) or offset >= ends[number] - 1:
                        left.discard(number)
                if messages:
                    idle_since_s = time.monotonic()
                elif time.monotonic() - idle_since_s > self._kafka.request_timeout_s:
                    raise TransientError(f"{topic}: Kafka stopped answering")
        finally:
            consumer.close()

    def sample(self, topic: str, at_most: int, since: datetime | None = None) -> Iterator[Record]:
        """About `at_most` records, or all where there are fewer: the ends of SLICES stretches, evenly over what stands there now.

        So the newest records are among them.

        `since`: only of what was appended then or later, by the broker's clock.
        """
        consumer = self._assigned(topic, OFFSET_BEGINNING)
        try:
            stretches = self._stretches(consumer, None if since is None else to_epoch_ms(since))
            total = sum(end - start for _, start, end in stretches)
            slices = 1 if total <= at_most else SLICES
            for at in range(slices):
                share = min(1.0, at_most / max(total, 1))
                cut = {number: _cut(start, end, at, slices, share) for number, start, end in stretches}
                yield from self._slice(consumer, topic, cut)
        finally:
            consumer.close()

    def _stretches(self, consumer: Consumer, appended_ms: int | None) -> list[tuple[int, int, int]]:
        """(partition, first offset, end offset) of what stands on the topic, or was appended since."""
        timeout_s, found = self._kafka.request_timeout_s, []
        try:
            for one in consumer.assignment():
                low, high = _ask_leader(partial(consumer.get_watermark_offsets, one, timeout=timeout_s), timeout_s)
                if appended_ms is not None:
                    wanted = [TopicPartition(one.topic, one.partition, appended_ms)]
                    start = _ask_leader(partial(consumer.offsets_for_times, wanted, timeout=timeout_s), timeout_s)[
                        0
                    ].offset
                    low = high if start < 0 else max(low, start)
                found.append((one.partition, low, high))
        except KafkaException as error:
            raise TransientError(f"Kafka does not say how far its topics reach ({error.args[0].name()})") from None
        return found

    def _slice(self, consumer: Consumer, topic: str, cut: dict[int, tuple[int, int, int]]) -> Iterator[Record]:
        """For each partition (first offset, number of records, end offset): this many records before the end."""
        left = {number: count for number, (start, count, end) in cut.items() if count > 0 and start < end}
        consumer.assign([TopicPartition(topic, number, cut[number][0]) for number in left])
        idle_since_s = time.monotonic()
        while left:
            messages = consumer.consume(AT_ONCE, WAIT_S)
            for message in messages:
                number = message.partition() or 0
                if _ends(message) or (message.offset() or 0) >= cut[number][2]:
                    left.pop(number, None)
                elif number in left:
                    yield _record(message)
                    left[number] -= 1
                    if not left[number]:
                        del left[number]
            if messages:
                idle_since_s = time.monotonic()
            elif time.monotonic() - idle_since_s > self._kafka.request_timeout_s:
                raise TransientError(f"{topic}: Kafka stopped answering")

    def read_from_now(self, topic: str) -> Iterator[Record | None]:
        """What is appended from now on, without an end; None whenever there is nothing for a moment.

        The first item is None and comes when reading has begun: what is appended after it is seen.
        """
        consumer = self._assigned(topic, OFFSET_END)
        try:
            waiting = {position.partition for position in consumer.assignment()}
            while waiting:
                for message in consumer.consume(AT_ONCE, WAIT_S):
                    if _ends(message):
                        waiting.discard(message.partition() or 0)
            yield None
            while True:
                messages = consumer.consume(AT_ONCE, WAIT_S)
                yield from [_record(message) for message in messages if not _ends(message)]
                if not messages:
                    yield None
        finally:
            consumer.close()

    def read_at(self, topic: str, partition: int, offset: int) -> Record | None:
        """One record, or None where it is not on the topic any more."""
        consumer = self._assigned(topic, offset, partition)
        try:
            deadline_s = time.monotonic() + self._kafka.request_timeout_s
            while time.monotonic() < deadline_s:
                message = consumer.poll(WAIT_S)
                if message is None:
                    continue
                found = None if _ends(message) else _record(message)
                return found if found is not None and found.offset == offset else None
            raise TransientError(f"{topic}: Kafka does not answer")
        finally:
            consumer.close()

    def _seek_to(self, consumer: Consumer, appended_ms: int) -> None:
        wanted = [TopicPartition(one.topic, one.partition, appended_ms) for one in consumer.assignment()]
        try:
            # A partition with nothing so young answers with its end, where reading it ends at once.
            ask = partial(consumer.offsets_for_times, wanted, timeout=self._kafka.request_timeout_s)
            consumer.assign(_ask_leader(ask, self._kafka.request_timeout_s))
        except KafkaException as error:
            raise TransientError(f"Kafka does not say where a time begins ({error.args[0].name()})") from None

    def _assigned(self, topic: str, offset: int, partition: int | None = None) -> Consumer:
        properties = {
            "group.id": "tillguard-operator",  # librdkafka asks for a name; nothing is ever committed to it
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
        }
        consumer = Consumer(self._kafka.to_librdkafka() | properties, logger=get_client_logger("operator"))
        try:
            found = consumer.list_topics(topic, timeout=self._kafka.request_timeout_s).topics[topic]
        except KafkaException as error:
            consumer.close()
            raise TransientError(
                f"no Kafka broker answers at {self._kafka.bootstrap_servers} ({error.args[0].name()})"
            ) from None
        if found.error is not None:
            consumer.close()
            raise TransientError(f"{topic} cannot be read: {found.error.name()}")
        numbers = sorted(found.partitions) if partition is None else [partition]
        consumer.assign([TopicPartition(topic, number, offset) for number in numbers])
        return consumer


def _ask_leader(ask: Callable[[], T], patience_s: float) -> T:
    """What `ask` gives, asked again while the partition has no leader: a moment after its topic was made, or a broker ended."""
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            return ask()
        except KafkaException as error:
            if error.args[0].code() not in LEADERLESS or time.monotonic() > deadline_s:
                raise
        time.sleep(LEADER_POLL_S)


def _cut(start: int, end: int, at: int, slices: int, share: float) -> tuple[int, int, int]:
    """Of stretch `at` of `slices` of [start, end): (first offset, number of records, end offset) of its newest share."""
    first, last = start + (end - start) * at // slices, start + (end - start) * (at + 1) // slices
    count = math.ceil((end - start) * share / slices)
    return max(first, last - count), count, last


def _ends(message: Message) -> bool:
    """Whether this says that a partition's end is reached; raises TransientError for anything else that is no record."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name begins so
        return True
    raise TransientError(f"{message.topic()} cannot be read: {error.name()}")


def _record(message: Message) -> Record:
    return Record(
        message.topic() or "",
        message.partition() or 0,
        message.offset() or 0,
        message.key(),
        message.value(),
        message.timestamp()[1],
    )
