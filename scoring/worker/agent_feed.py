"""The agent feed: Faust does group membership and fetching, and a batch is whatever came while the one before was scored.

Two faults of Faust 0.15.3 shape this file: its acknowledgements can stop committing behind a gap (faust-streaming #596), so
offsets are computed by our own tracker and Faust only carries the commit (the topic is declared with acks=False); its own
producer saturates near 2,000 messages/s, so messages leave through librdkafka. Concurrency stays 1 (#606).
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP

from contract.clock import Clock
from scoring.feeds.offsets import count_unread
from scoring.feeds.pipeline import Pipeline
from scoring.feeds.ports import BackpressurePublisher, FeedState
from scoring.ports import RawEvent

TICK_S = 0.02
"""How often the agent feed looks at deliveries, retries and commits while no transaction arrives."""
COMMIT_EVERY_S = 0.25
ASK_S = 1.0
"""Longest wait for where Faust's consumer stands."""
GATHER_S = 0.025
"""Longest wait for a whole batch while there is a backlog."""

log = structlog.get_logger()


class CommittedConsumerThread(AIOKafkaConsumerThread):
    """Reads as librdkafka does: nothing of a transaction that was aborted, or that is still open."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust asks for it only together with transactional producers.
        consumer._isolation_level = "read_committed"  # noqa: SLF001
        return consumer

    def highwater(self, tp: TP) -> int:
        """Up to where the partition can be read; 0 or below where no broker said it yet."""
        return self._ensure_consumer().last_stable_offset(tp) or 0


class CommittedConsumer(Consumer):
    """Faust's consumer over such a thread."""

    async def perform_seek(self) -> None:
        """As Faust's, which drops every record below a committed offset: one beyond the log's end is not heeded."""
        await super().perform_seek()
        begins = {place: offset for place, offset in self._read_offset.items() if offset is not None}
        ends = await self.highwaters(*begins) if begins else {}
        for place, offset in begins.items():
            if offset > ends[place]:
                self._read_offset[place] = None

    def _new_consumer_thread(self) -> CommittedConsumerThread:
        return CommittedConsumerThread(self, loop=self.loop, beacon=self.beacon)


class AgentFeed:
    """Drives a pipeline by what Faust fetches.

    Scoring runs in the event loop: a thread next to it waits for the interpreter's lock at every step while Faust decodes, and
    took twice as long. A batch's share of the time budget is what Kafka and the web wait for, at most; what may take longer
    (retries, draining) runs in a thread, one thing at a time.
    """

    def __init__(
        self, pipeline: Pipeline, publisher: BackpressurePublisher, clock: Clock, *, topic: str, batch_max: int
    ) -> None:
        """`batch_max` bounds a batch and, fourfold, what Faust holds ready."""
        self._pipeline = pipeline
        self._publisher = publisher
        self._clock = clock
        self._topic = topic
        self._batch_max = batch_max
        self._app: Any = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scoring")
        self._turn = asyncio.Lock()
        self._waiting: list[Any] = []
        self._arrived, self._enough, self._taken = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._behind = False
        self._assigned = False
        self._committed: dict[int, int] = {}
        self._commit_due_s = 0.0
        self._lag = 0
        self._stopping = False

    @property
    def state(self) -> FeedState:
        """As LibrdkafkaFeed.state."""
        tracker = self._pipeline.tracker
        lag = self._lag + tracker.outstanding
        return FeedState(
            assigned=tuple(sorted(tracker.assignment)) if self._assigned else None,
            lag=lag,
            behind_s=self._pipeline.measure_behind_s(lag),
            pending=len(self._pipeline.pending),
            progress=self._pipeline.taken_total + tracker.completed_total,
            paused=self._full,
            committed=dict(self._committed),
        )

    @property
    def buffer_events(self) -> int:
        """How many events Faust may hold ready."""
        return 4 * self._batch_max

    @property
    def _full(self) -> bool:
        return self._pipeline.full or self._publisher.full

    def install(self, app: faust.App) -> None:
        """Adds the agent, its tick and its part in rebalances to the application."""
        self._app = app
        app.transport.Consumer = CommittedConsumer  # type: ignore[misc] # this application's transport alone
        topic = app.topic(self._topic, value_type=bytes, value_serializer="raw", key_serializer="raw", acks=False)

        async def transactions(stream: Any) -> None:
            async for event in stream.noack().events():
                await self._take(event)

        app.agent(topic, name="transactions", concurrency=1)(transactions)
        app.task(self._work)
        app.task(self._tick)
        # Faust keeps weak references to receivers unless told otherwise.
        app.on_partitions_assigned.connect(self._on_assigned, weak=False)
        app.on_partitions_revoked.connect(self._on_revoked, weak=False)
        app.on_before_shutdown.connect(self._on_shutdown, weak=False)

    async def _take(self, event: Any) -> None:
        while len(self._waiting) >= self._pipeline.batch_max:
            self._enough.set()
            await self._taken.wait()
        self._waiting.append(event)
        self._taken.clear()
        self._arrived.set()

    async def _work(self) -> None:
        try:
            while not self._stopping:
                await self._score(await self._batch())
        except Exception as failure:  # noqa: BLE001 - without this task nothing would be scored any more
            await self._app.crash(failure)

    async def _batch(self) -> list[Any]:
        """What has come; behind a backlog it is worth waiting for a whole batch, for Faust hands on one event at a time."""
        await self._arrived.wait()
        if self._behind:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), GATHER_S)
        events, self._waiting = self._waiting, []
        self._arrived.clear()
        self._enough.clear()
        self._taken.set()
        return events

    async def _score(self, events: Sequence[Any]) -> None:
        while self._full and not self._stopping:  # noqa: ASYNC110 - retries and deliveries make room, no event tells of it
            await asyncio.sleep(TICK_S)
        generation = self._app.consumer_generation_id
        raw = [_raw(event.message) for event in events if event.message.generation_id == generation]
        async with self._turn:
            self._behind = self._unread() > self._batch_max
            self._score_now(raw, more=self._behind)

    def _score_now(self, events: list[RawEvent], *, more: bool) -> None:
        """With `more` to come the batch is left open: the store works on it while the next one is decoded."""
        pipeline = self._pipeline
        if self._stopping:
            return  # what was drained is committed; these are the next worker's
        ours = [event for event in events if event.partition in pipeline.tracker.assignment]
        if ours:
            pipeline.submit(ours)
        while pipeline.open_batches > (1 if more else 0):
            pipeline.collect()
        self._publisher.serve()

    async def _tick(self) -> None:
        while not self._stopping:
            async with self._turn:
                self._score_now([], more=False)
                if self._pipeline.pending:
                    await self._in_thread(self._pipeline.retry)
                due = await self._commit_when_due()
            if due:
                await self._look_where_idle()
                self._lag = self._unread()
            await asyncio.sleep(TICK_S)

    async def _commit_when_due(self) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._commit_due_s:
            return False
        self._commit_due_s = now_s + COMMIT_EVERY_S
        await self._commit()
        return True

    def _unread(self) -> int:
        ends = self._ends()
        return sum(
            count_unread(position, 0, ends.get(partition, 0))
            for partition, position in self._pipeline.tracker.list_positions().items()
        )

    def _ends(self) -> dict[int, int]:
        """Up to where partitions can be read, as the newest answer of their brokers said; 0 before the first."""
        consumer = self._app.consumer
        return {place.partition: max(0, consumer.highwater(place)) for place in consumer.assignment()}

    async def _look_where_idle(self) -> None:
        """Asks where the consumer stands in partitions that seem unread though all that Faust handed over was taken.

        Nothing was handed over yet, or the log ends in records that are not handed out.
        """
        ends = self._ends()
        for partition, position in self._pipeline.tracker.list_positions().items():
            place = TP(self._topic, partition)
            if position is not None and position >= ends.get(partition, 0):
                continue
            try:
                stands = await asyncio.wait_for(self._app.consumer.position(place), ASK_S)
            except (TimeoutError, KafkaError):  # a rebalance, or a broker that is away: the next look asks again
                continue
            if stands is not None and not self._waiting and self._all_taken(partition):
                self._pipeline.tracker.note_position(partition, stands)

    def _all_taken(self, partition: int) -> bool:
        place, consumer = TP(self._topic, partition), self._app.consumer
        # Faust tells nobody what it handed over: the first is the newest offset that it did, or the committed one it began at.
        handed, began = consumer._read_offset.get(place), consumer._committed_offset.get(place)  # noqa: SLF001
        position = self._pipeline.tracker.list_positions().get(partition)
        return handed is None or handed == began or (position is not None and handed < position)

    async def _commit(self) -> None:
        tracker = self._pipeline.tracker
        offsets = tracker.list_committable()
        if not offsets:
            return
        # Faust's public commit() goes through its own acknowledgements (#596).
        done = await self._app.consumer._commit(  # noqa: SLF001
            {TP(self._topic, partition): offset for partition, offset in offsets.items()}
        )
        if done:
            self._committed |= offsets
            tracker.note_committed(offsets)

    async def _on_assigned(self, *arguments: Any, **_: Any) -> None:
        assigned: Iterable[TP] = arguments[1]
        numbers = [tp.partition for tp in assigned if tp.topic == self._topic]
        async with self._turn:
            self._pipeline.tracker.assign(numbers)
        self._assigned = True
        log.info("partitions_assigned", topic=self._topic, partitions=sorted(numbers))

    async def _on_revoked(self, *arguments: Any, **_: Any) -> None:
        revoked: Iterable[TP] = arguments[1]
        numbers = {tp.partition for tp in revoked if tp.topic == self._topic}
        async with self._turn:
            drained = await self._drain_and_commit()
            self._pipeline.revoke(numbers)
        log.info("partitions_revoked", topic=self._topic, partitions=sorted(numbers), drained=drained)

    async def _on_shutdown(self, *_arguments: Any, **_: Any) -> None:
        self._stopping = True
        async with self._turn:
            drained = await self._drain_and_commit()
        log.info("feed_finished", topic=self._topic, drained=drained, pending=len(self._pipeline.pending))

    async def _drain_and_commit(self) -> Any:
        drained = await self._in_thread(self._pipeline.drain, self._app.conf.broker_session_timeout / 2)
        await self._commit()
        return drained

    def _in_thread(self, work: Callable[..., Any], *arguments: Any) -> "asyncio.Future[Any]":
        return asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)


def _raw(message: Any) -> RawEvent:
    return RawEvent(
        message.value, message.topic, message.partition, message.offset, int(message.timestamp * 1000), message.key
    )
