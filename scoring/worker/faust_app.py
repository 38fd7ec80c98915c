"""The worker as a Faust application, which gives the lifecycle and the web server; only this file and the agent feed import Faust."""

import asyncio
import logging
import os
import ssl
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Protocol

import faust
import structlog
from aiohttp.web import TCPSite
from faust.auth import SASLCredentials, SSLCredentials
from faust.web.drivers.aiohttp import Web
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from contract.settings import KafkaSettings
from runtime.kafka.client_log import quieten_loggers
from scoring.worker.agent_feed import AgentFeed
from scoring.worker.health import Readiness

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
    agent: AgentFeed | None = None
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
        return web.json(found.to_document(), status=200 if found.ready else 503)

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
    quieten_loggers("aiokafka")
    worker = WorkerProcess(app, quiet=True, override_logging=False, redirect_stdouts=False, loglevel=level)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        return 1 if worker.crash_reason or app.crash_reason or end.code else 0
