"""The librdkafka feed: group membership, fetching and committing by confluent-kafka, one loop in one thread.

Takes what is there: with little to do an event waits for nothing, on a backlog the next batch is on its way to the store
while the one before it is finished. Offsets are committed only as far as everything before them is complete and delivered.
"""

import threading
from collections.abc import Sequence
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from contract.clock import Clock
from contract.errors import TransientError
from contract.settings import KafkaSettings
from runtime.kafka.client_log import get_client_logger
from scoring.feeds.offsets import count_unread
from scoring.feeds.pipeline import Pipeline
from scoring.feeds.ports import BackpressurePublisher, FeedState
from scoring.ports import RawEvent

IDLE_WAIT_S = 0.02
"""Longest sleep in the consumer; deliveries and retries are looked at in between."""
COMMIT_EVERY_S = 0.25
"""What a crash makes the next worker read again, at most."""
STATE_EVERY_S = 0.5
ASK_S = 0.5
"""Longest wait for what a broker says of offsets: at a rebalance, and while a partition does not move."""
REFUSED = frozenset({
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError._FATAL,  # noqa: SLF001 - the library's public names for its own codes begin so
    KafkaError._BAD_MSG,  # noqa: SLF001 - as above; a damaged log must be seen, not skipped
    KafkaError._BAD_COMPRESSION,  # noqa: SLF001 - as above
})  # fmt: skip
"""Errors that waiting does not heal."""

log = structlog.get_logger()


class KafkaRefusedError(TransientError):
    """The broker refuses this worker; an operator must act."""


class LibrdkafkaFeed:
    """Reads one topic in one group and drives a pipeline. `run` is the thread; everything else may be called from others."""

    def __init__(
        self,
        kafka: KafkaSettings,
        pipeline: Pipeline,
        publisher: BackpressurePublisher,
        clock: Clock,
        *,
        topic: str,
        group: str,
        client_id: str,
    ) -> None:
        self._topic = topic
        self._pipeline = pipeline
        self._publisher = publisher
        self._clock = clock
        self._drain_timeout_s = kafka.session_timeout_s / 2
        self._stop = threading.Event()
        self._state = FeedState()
        self._paused = False
        self._assigned = False
        self._committed: dict[int, int] = {}
        self._commit_broken = False
        self._commit_due_s = 0.0
        self._state_due_s = 0.0
        self._stuck_at: dict[int, int | None] = {}
        self._consumer = Consumer(
            build_consumer_properties(kafka, group, client_id)
            # The end of a partition is told, for a log may end in records that are not handed out.
            | {"on_commit": self._on_commit, "enable.partition.eof": True},
            logger=get_client_logger(client_id),
        )

    @property
    def state(self) -> FeedState:
        """The newest picture, at most half a second old while the loop turns."""
        return self._state

    def stop(self) -> None:
        """Asks the loop to finish what it has, commit and leave."""
        self._stop.set()

    def run(self) -> None:
        """Until `stop`: reads, scores, publishes, commits. Raises DeliveryError, KafkaRefusedError, InvariantError."""
        self._consumer.subscribe(
            [self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost
        )
        try:
            while not self._stop.is_set():
                self._turn()
            self._finish()
        finally:
            self._consumer.close()

    def _turn(self) -> None:
        pipeline = self._pipeline
        self._publisher.serve()
        self._pause_or_resume()
        events = self._take()
        if events:
            pipeline.submit(events)
        if pipeline.open_batches > (1 if events else 0):
            pipeline.collect()
        pipeline.retry()
        now_s = self._clock.monotonic_s()
        if now_s >= self._commit_due_s:
            self._commit_due_s = now_s + COMMIT_EVERY_S
            self._commit()
        if now_s >= self._state_due_s:
            self._state_due_s = now_s + STATE_EVERY_S
            self._state = self._picture()

    def _take(self) -> list[RawEvent]:
        """What is there now; with nothing to finish, waits for the first event."""
        batch_max = self._pipeline.batch_max
        messages = self._consumer.consume(batch_max, 0)
        if not messages and not self._pipeline.open_batches:
            first = self._consumer.poll(IDLE_WAIT_S)
            messages = [] if first is None else [first, *self._consumer.consume(batch_max - 1, 0)]
        if not messages:
            return []
        assigned = self._pipeline.tracker.assignment
        return [
            RawEvent(
                message.value(),
                self._topic,
                partition,
                offset,
                message.timestamp()[1],
                message.key(),
            )
            for message in messages
            if not self._is_notice(message)
            and (offset := message.offset()) is not None
            and (partition := message.partition()) is not None
            and partition in assigned
        ]

    def _is_notice(self, message: Message) -> bool:
        """Whether this is no record but what the client has to say; raises KafkaRefusedError where waiting does not help."""
        error = message.error()
        if error is None:
            return False
        if error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - the library's public name begins so
            self._pipeline.tracker.note_position(message.partition() or 0, message.offset() or 0)
            return True
        if error.code() in REFUSED:
            raise KafkaRefusedError(
                f"Kafka refuses to serve {self._topic}: {error.name()}; check the ACLs of this user"
            )
        log.warning("consume_error", topic=self._topic, error=error.name())
        return True

    def _pause_or_resume(self) -> None:
        full = self._pipeline.full or self._publisher.full
        if full != self._paused:
            partitions = self._consumer.assignment()
            (self._consumer.pause if full else self._consumer.resume)(partitions)
            self._paused = full
            log.warning("feed_paused" if full else "feed_resumed", pending=len(self._pipeline.pending))

    def _commit(self, *, wait: bool = False) -> None:
        offsets = self._pipeline.tracker.list_committable()
        if not offsets:
            return
        positions = [TopicPartition(self._topic, partition, offset) for partition, offset in offsets.items()]
        try:
            if wait:
                self._on_commit(None, self._consumer.commit(offsets=positions, asynchronous=False))
            else:
                self._consumer.commit(offsets=positions, asynchronous=True)
        except KafkaException as error:
            self._not_committed(error.args[0], list(offsets))
            return
        self._pipeline.tracker.note_committed(offsets)

    def _on_commit(self, error: KafkaError | None, partitions: Sequence[TopicPartition]) -> None:
        for position in partitions:
            fault = error or position.error
            if fault is None:
                self._committed[position.partition] = position.offset
            else:
                self._not_committed(fault, [position.partition])
        self._commit_broken = self._commit_broken and error is not None

    def _not_committed(self, error: KafkaError, partitions: Sequence[int]) -> None:
        """Harmless: the next commit covers it, and what is read again meanwhile is answered the same."""
        self._pipeline.tracker.note_not_committed(partitions)
        if not self._commit_broken:
            log.warning("commit_failed", topic=self._topic, error=error.name())
        self._commit_broken = True

    def _on_assign(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        numbers = [partition.partition for partition in partitions]
        self._pipeline.tracker.assign(numbers)
        for partition, offset in self._begins(partitions).items():
            self._pipeline.tracker.note_position(partition, offset)
        self._assigned = True
        if self._paused:
            self._paused = False
        log.info("partitions_assigned", topic=self._topic, partitions=numbers)

    def _on_revoke(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        numbers = [partition.partition for partition in partitions]
        drained = self._pipeline.drain(self._drain_timeout_s)
        self._commit(wait=True)
        self._pipeline.revoke(numbers)
        log.info("partitions_revoked", topic=self._topic, partitions=numbers, drained=drained)

    def _on_lost(self, _consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        numbers = [partition.partition for partition in partitions]
        self._pipeline.revoke(numbers)
        self._assigned = False
        log.warning("partitions_lost", topic=self._topic, partitions=numbers)

    def _finish(self) -> None:
        drained = self._pipeline.drain(self._drain_timeout_s)
        self._commit(wait=True)
        self._state = self._picture()
        log.info("feed_finished", topic=self._topic, drained=drained, pending=len(self._pipeline.pending))

    def _picture(self) -> FeedState:
        tracker = self._pipeline.tracker
        lag = self._unread() + tracker.outstanding
        return FeedState(
            assigned=tuple(sorted(tracker.assignment)) if self._assigned else None,
            lag=lag,
            behind_s=self._pipeline.measure_behind_s(lag),
            pending=len(self._pipeline.pending),
            progress=self._pipeline.taken_total + tracker.completed_total,
            paused=self._paused,
            committed=dict(self._committed),
        )

    def _begins(self, partitions: Sequence[TopicPartition]) -> dict[int, int]:
        """The group's committed offsets, of partitions that have one; none where the broker does not say."""
        try:
            found = self._consumer.committed(list(partitions), timeout=ASK_S)
        except KafkaException as error:
            log.info("committed_offsets_not_read", topic=self._topic, error=error.args[0].name())
            return {}
        return {one.partition: one.offset for one in found if one.error is None and one.offset >= 0}

    def _unread(self) -> int:
        total, before = 0, self._stuck_at
        self._stuck_at = {}
        for partition, position in self._pipeline.tracker.list_positions().items():
            place = TopicPartition(self._topic, partition)
            low, high = self._consumer.get_watermark_offsets(place, cached=True)
            count = count_unread(position, low, high)
            if count and partition in before and before[partition] == position:
                low, high = self._readable(place) or (low, high)
                count = count_unread(position, low, high)
            if count:
                self._stuck_at[partition] = position
            total += count
        return total

    def _readable(self, place: TopicPartition) -> tuple[int, int] | None:
        """Where the log of a partition that does not move begins, and where an open transaction ends what can be read of it."""
        try:
            found: tuple[int, int] | None = self._consumer.get_watermark_offsets(place, timeout=ASK_S)
        except KafkaException:
            return None
        return found


def build_consumer_properties(kafka: KafkaSettings, group: str, client_id: str) -> dict[str, Any]:
    """Properties of a worker's group member."""
    session_ms = int(kafka.session_timeout_s * 1000)
    return kafka.to_librdkafka() | {
        "client.id": client_id,
        "group.id": group,
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": session_ms,
        "heartbeat.interval.ms": max(1, session_ms // 5),
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
        "fetch.wait.max.ms": 100,
        "queued.max.messages.kbytes": 16 * 1024,
        "reconnect.backoff.ms": 200,
        "reconnect.backoff.max.ms": 1000,
    }
