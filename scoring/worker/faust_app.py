"""The worker as a Faust application; the only file that imports faust and mode.

Faust gives the lifecycle, the web server, the agent and, for the agent feed, group membership and fetching. Two faults of
0.15.3 shape this file: its acknowledgements can stop committing behind a gap (faust-streaming #596), so offsets are computed
by our own tracker and Faust only carries the commit (the topic is declared with acks=False); its own producer saturates
near 2,000 messages/s, so messages leave through librdkafka. Concurrency stays 1 (#606).
"""

import asyncio
import logging
import os
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import faust
import structlog
from aiohttp.web import TCPSite
from aiokafka.errors import KafkaError
from faust.auth import SASLCredentials, SSLCredentials
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer
from faust.types import TP
from faust.web.drivers.aiohttp import Web
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from contract.clock import Clock
from contract.settings import KafkaSettings
from runtime.kafka.client_log import calm
from scoring.feeds.offsets import unread
from scoring.feeds.pipeline import Pipeline
from scoring.feeds.ports import FeedState
from scoring.feeds.publisher import KafkaPublisher
from scoring.ports import RawEvent
from scoring.worker.health import Readiness

AGENT_TICK_S = 0.02
"""How often the agent feed looks at deliveries, retries and commits while no transaction arrives."""
AGENT_COMMIT_EVERY_S = 0.25
AGENT_ASK_S = 1.0
"""Longest wait for where Faust's consumer stands."""
AGENT_GATHER_S = 0.025
"""Longest wait for a whole batch while there is a backlog."""
STOP_WITHIN_S = 30.0
"""From SIGTERM or a failure to the end of the process, at most: as long as Kubernetes waits before it kills."""

log = structlog.get_logger()


class Loop(Protocol):
    """Something that works in a thread of its own until it is told to stop."""

    def run(self) -> None:
        """Returns after `stop`; an exception ends the worker."""
        ...

    def stop(self) -> None:
        """Asks for the end; returns at once, may be called from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class Hosted:
    """Everything the application runs."""

    name: str
    """Application id; for the agent feed also the consumer group."""
    kafka: KafkaSettings
    control_topic: str
    web_host: str
    web_port: int
    """0 chooses a free one."""
    ready: Callable[[], Readiness]
    registry: CollectorRegistry
    loops: dict[str, Loop] = field(default_factory=dict)
    """By name; started in this order, stopped in the opposite one."""
    agent: "AgentFeed | None" = None
    on_address: Callable[[str], None] = lambda _url: None
    """Called once with the URL of the web server."""
    stop_within_s: float = 15.0
    """A loop that has not ended by then is left behind."""


class WorkerWeb(Web):
    """Faust's web server, on a free port where port 0 is asked for (Faust's own setting refuses 0)."""

    hosted: Hosted

    def _new_transport_tcp(self) -> TCPSite:
        return TCPSite(self._runner, self.hosted.web_host, self.hosted.web_port)

    async def start_server(self) -> None:
        await super().start_server()
        host, port = self._runner.addresses[0][:2]
        url = f"http://{host}:{port}"
        log.info("web_listens", url=url)
        self.hosted.on_address(url)


class WorkerApp(faust.App):
    """A Faust application that knows what it hosts."""

    hosted: Hosted

    def _create_directories(self) -> None:
        """Nothing is kept on this machine's disk: there are no tables."""

    def _new_web(self) -> WorkerWeb:
        web = WorkerWeb(self)
        web.hosted = self.hosted
        return web


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


class LoopService(Service):
    """Hosts a Loop in a thread; its failure is the worker's."""

    hosted_loop: Loop
    hosted_name: str
    stop_within_s: float

    def __post_init__(self) -> None:
        self._finished: asyncio.Future[BaseException | None] | None = None

    async def on_start(self) -> None:
        self._finished = asyncio.get_running_loop().create_future()
        threading.Thread(target=self._run, name=self.hosted_name, daemon=True, args=(self._finished,)).start()
        self.add_future(self._watch(self._finished))

    def _run(self, finished: "asyncio.Future[BaseException | None]") -> None:
        failure: BaseException | None = None
        try:
            self.hosted_loop.run()
        except BaseException as error:  # noqa: BLE001 - handed to the event loop, which ends the worker with it
            failure = error
        finished.get_loop().call_soon_threadsafe(_settle, finished, failure)

    async def _watch(self, finished: "asyncio.Future[BaseException | None]") -> None:
        failure = await asyncio.shield(finished)
        if failure is not None:
            log.error("loop_failed", loop=self.hosted_name, error=type(failure).__name__, reason=str(failure))
            await self.crash(failure)

    async def on_stop(self) -> None:
        self.hosted_loop.stop()
        if self._finished is not None:
            done, _ = await asyncio.wait([self._finished], timeout=self.stop_within_s)
            if not done:
                log.error("loop_left_behind", loop=self.hosted_name, after_s=self.stop_within_s)


def _settle(finished: "asyncio.Future[BaseException | None]", failure: BaseException | None) -> None:
    if not finished.done():
        finished.set_result(failure)


class AgentFeed:
    """The agent feed: Faust fetches, and a batch is whatever has come while the one before it was scored.

    Scoring runs in the event loop: a thread next to it waits for the interpreter's lock at every step while Faust decodes, and
    took twice as long. A batch's share of the time budget is what Kafka and the web wait for, at most; what may take longer
    (retries, draining) runs in a thread, one thing at a time.
    """

    def __init__(
        self, pipeline: Pipeline, publisher: KafkaPublisher, clock: Clock, *, topic: str, batch_max: int
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
        return FeedState(
            assigned=tuple(sorted(tracker.assignment)) if self._assigned else None,
            lag=self._lag + tracker.outstanding,
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

    def install(self, app: "WorkerApp") -> None:
        """Adds the agent, its tick and its part in rebalances to the application."""
        self._app = app
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
                await asyncio.wait_for(self._enough.wait(), AGENT_GATHER_S)
        events, self._waiting = self._waiting, []
        self._arrived.clear()
        self._enough.clear()
        self._taken.set()
        return events

    async def _score(self, events: Sequence[Any]) -> None:
        while self._full and not self._stopping:  # noqa: ASYNC110 - retries and deliveries make room, no event tells of it
            await asyncio.sleep(AGENT_TICK_S)
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
            await asyncio.sleep(AGENT_TICK_S)

    async def _commit_when_due(self) -> bool:
        now_s = self._clock.monotonic_s()
        if now_s < self._commit_due_s:
            return False
        self._commit_due_s = now_s + AGENT_COMMIT_EVERY_S
        await self._commit()
        return True

    def _unread(self) -> int:
        ends = self._ends()
        return sum(
            unread(position, 0, ends.get(partition, 0))
            for partition, position in self._pipeline.tracker.positions().items()
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
        for partition, position in self._pipeline.tracker.positions().items():
            place = TP(self._topic, partition)
            if position is not None and position >= ends.get(partition, 0):
                continue
            try:
                stands = await asyncio.wait_for(self._app.consumer.position(place), AGENT_ASK_S)
            except (TimeoutError, KafkaError):  # a rebalance, or a broker that is away: the next look asks again
                continue
            if stands is not None and not self._waiting and self._all_taken(partition):
                self._pipeline.tracker.reach(partition, stands)

    def _all_taken(self, partition: int) -> bool:
        place, consumer = TP(self._topic, partition), self._app.consumer
        # Faust tells nobody what it handed over: the first is the newest offset that it did, or the committed one it began at.
        handed, began = consumer._read_offset.get(place), consumer._committed_offset.get(place)  # noqa: SLF001
        position = self._pipeline.tracker.positions().get(partition)
        return handed is None or handed == began or (position is not None and handed < position)

    async def _commit(self) -> None:
        tracker = self._pipeline.tracker
        offsets = tracker.committable()
        if not offsets:
            return
        # Faust's public commit() goes through its own acknowledgements (#596).
        done = await self._app.consumer._commit(  # noqa: SLF001
            {TP(self._topic, partition): offset for partition, offset in offsets.items()}
        )
        if done:
            self._committed |= offsets
            tracker.committed(offsets)

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


def build(hosted: Hosted) -> WorkerApp:
    """The application, ready for `run`."""
    WorkerApp.hosted = hosted
    app = WorkerApp(
        hosted.name,
        broker=[f"kafka://{server.strip()}" for server in hosted.kafka.bootstrap_servers.split(",")],
        broker_credentials=_credentials(hosted.kafka),
        broker_session_timeout=hosted.kafka.session_timeout_s,
        broker_heartbeat_interval=hosted.kafka.session_timeout_s / 5,
        broker_request_timeout=max(hosted.kafka.request_timeout_s, hosted.kafka.session_timeout_s + 1),
        consumer_auto_offset_reset="earliest",
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_buffer_maxsize=hosted.agent.buffer_events if hosted.agent else 16,
        loghandlers=[],
    )
    for name, loop in hosted.loops.items():
        attributes = {"hosted_loop": loop, "hosted_name": name, "stop_within_s": hosted.stop_within_s}
        app.service(type(f"{name.title().replace('-', '')}Service", (LoopService,), attributes))
    if hosted.agent:
        app.transport.Consumer = CommittedConsumer  # type: ignore[misc] # this application's transport alone
        hosted.agent.install(app)
    else:
        _keep_alive(app, hosted.control_topic)
    _add_pages(app, hosted)
    return app


def _keep_alive(app: WorkerApp, control_topic: str) -> None:
    """Faust refuses to start without a topic."""

    async def control(stream: Any) -> None:
        async for _ in stream:
            log.warning("control_message_ignored")

    app.agent(app.topic(control_topic, value_type=bytes, value_serializer="raw"), name="control", concurrency=1)(
        control
    )


def _add_pages(app: WorkerApp, hosted: Hosted) -> None:
    async def health(web: Any, _request: Any) -> Any:
        return web.json({"alive": True})

    async def ready(web: Any, _request: Any) -> Any:
        found = await asyncio.get_running_loop().run_in_executor(None, hosted.ready)
        return web.json(found.document(), status=200 if found.ready else 503)

    async def metrics(web: Any, _request: Any) -> Any:
        return web.bytes(generate_latest(hosted.registry), content_type=CONTENT_TYPE_LATEST.partition(";")[0])

    pages: dict[str, Callable[..., Coroutine[Any, Any, Any]]] = {
        "/health": health,
        "/ready": ready,
        "/metrics": metrics,
    }
    for path, page in pages.items():
        app.page(path, name=path[1:])(page)


def _credentials(kafka: KafkaSettings) -> SASLCredentials | SSLCredentials | None:
    context = _ssl_context(kafka) if kafka.security_protocol.endswith("SSL") else None
    if kafka.security_protocol.startswith("SASL") and kafka.sasl_password is not None:
        return SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password.get_secret_value(),
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    return SSLCredentials(context) if context else None


def _ssl_context(kafka: KafkaSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(kafka.ssl_ca_file) if kafka.ssl_ca_file else None)
    if kafka.ssl_cert_file:
        context.load_cert_chain(kafka.ssl_cert_file, kafka.ssl_key_file)
    return context


class WorkerProcess(faust.Worker):
    """Faust's worker, whose stopping takes a bounded time, whatever hangs: offsets that were not committed are read again."""

    def __init__(self, app: WorkerApp, **options: Any) -> None:
        super().__init__(app, **options)
        self._cut: threading.Timer | None = None

    async def stop(self) -> None:
        if self._cut is None:
            self._cut = threading.Timer(STOP_WITHIN_S, _cut_short)
            self._cut.daemon = True
            self._cut.start()
        await super().stop()


def _cut_short() -> None:
    log.error("stop_cut_short", after_s=STOP_WITHIN_S, remedy="nothing is lost: what was not committed is read again")
    os._exit(1)


def run(app: WorkerApp, *, level: str) -> int:
    """Runs until SIGTERM or SIGINT (0) or a failure (1). Takes over the process: signals, event loop, logging levels."""
    for name in ("faust", "mode", "aiokafka", "aiohttp"):
        logging.getLogger(name).setLevel(max(logging.getLevelName(level), logging.WARNING))
    calm("aiokafka")
    worker = WorkerProcess(app, quiet=True, override_logging=False, redirect_stdouts=False, loglevel=level)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        return 1 if worker.crash_reason or app.crash_reason or end.code else 0
