"""The trainer's process: opens what it needs, is the only one of its retailer, and ends when it is asked to."""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import structlog
from kafka import KafkaConsumer
from kafka.errors import KafkaError

from contract.clock import Clock, SystemClock
from contract.errors import ConfigurationError, FencedError, TransientError
from contract.metrics import Metrics
from contract.settings import Settings
from contract.topics import FEATURES, LABELS, STATUS
from runtime import logs
from runtime.health_server import WebPage
from runtime.heartbeat import Heartbeat, name_process
from runtime.kafka.producer import SharedProducer
from runtime.kafka.shared_status import SharedStatusOutlet
from runtime.locks import HeldLock, LockBusyError
from runtime.signals import catch_stop_signals
from tillguard import __version__
from tillguard.wiring.address_file import write_address
from tillguard.wiring.heartbeats import build_heartbeat
from trainer.examples.store import ExampleStore
from trainer.feeds.topic_intake import group_of
from trainer.registry.registry import Registry
from trainer.worker.drift_watch import DriftWatch
from trainer.worker.service import BATCH_MAX, TrainerWorker, Vitals
from trainer.worker.status import describe_trainer
from trainer.worker.training_process import Learner

log = structlog.get_logger()


def run(settings: Settings, *, address_file: Path | None = None) -> None:
    """Runs the trainer until SIGTERM or SIGINT; takes over the process.

    `address_file` receives the URL of the web page once it listens. Raises ConfigurationError, and TransientError where
    Kafka or the examples store does not answer at the start.
    """
    logs.configure(settings.log)
    # its event loop complains of every pause on a busy machine; what matters is told by the worker itself
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop, clock, metrics = catch_stop_signals(), SystemClock(), Metrics()
    with ExitStack() as opened:
        alone = opened.enter_context(_alone(settings))
        store = ExampleStore(settings.trainer.examples_url.get_secret_value(), settings.retailer)
        opened.callback(store.close)
        consumer = _consumer(settings)
        opened.callback(consumer.close)
        producer = opened.enter_context(SharedProducer(settings.kafka, f"{settings.retailer}-trainer"))
        vitals = Vitals(clock.monotonic_s())
        opened.enter_context(_heartbeat(settings, vitals, producer, clock))
        learner = Learner(settings)
        opened.callback(learner.close)
        page = opened.enter_context(_page(settings, metrics, lambda: vitals.list_ailments(clock.monotonic_s())))
        url = f"http://{settings.trainer.web_host}:{page.port}"
        log.info("trainer_starts", version=__version__, retailer=settings.retailer, web=f"{url}/health")
        write_address(address_file, url)
        watch = DriftWatch(settings, producer, metrics, clock)
        opened.callback(watch.close)
        watch.start()
        learner.warm_up()
        TrainerWorker(settings, store, consumer, learner, producer, alone, clock, metrics, stop, vitals).run()
        log.info("trainer_ends")


@contextmanager
def _alone(settings: Settings) -> Iterator[HeldLock]:
    """Raises FencedError where another process is this retailer's trainer."""
    trainer = settings.trainer
    registry = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
    try:
        with registry.hold("trainer", settings.retailer) as held:
            yield held
    except LockBusyError as busy:
        raise FencedError(
            f"a trainer of {settings.retailer} runs already ({busy.by}); a second one would spoil its work"
        ) from None
    finally:
        registry.close()


def _heartbeat(settings: Settings, vitals: Vitals, producer: SharedProducer, clock: Clock) -> Heartbeat:
    outlet = SharedStatusOutlet(producer, STATUS.name(settings.retailer))
    return build_heartbeat(
        settings, "trainer", lambda: describe_trainer(vitals, clock.monotonic_s()), clock, outlet=outlet
    )


def _page(settings: Settings, metrics: Metrics, ailments: Callable[[], list[str]]) -> WebPage:
    host, port = settings.trainer.web_host, settings.trainer.web_port
    try:
        return WebPage(host, port, metrics=metrics, ailments=ailments)
    except OSError as error:
        raise ConfigurationError(
            [f"trainer.web_port: {host}:{port} cannot be used: {error.strerror}; --web-port 0 takes a free one"]
        ) from None


def _consumer(settings: Settings) -> Any:
    """A member of the group `<retailer>.trainer`, on both topics, from their beginning where nothing was committed."""
    wanted = [topic.name(settings.retailer) for topic in (FEATURES, LABELS)]
    kafka = settings.kafka
    try:
        consumer = KafkaConsumer(
            **kafka.to_kafka_python(),
            group_id=group_of(settings.retailer),
            client_id=f"{settings.retailer}-trainer-{name_process()}",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_poll_records=BATCH_MAX,
            session_timeout_ms=int(kafka.session_timeout_s * 1000),
            heartbeat_interval_ms=int(kafka.session_timeout_s * 300),
        )
        missing = sorted(set(wanted) - set(consumer.topics()))
    except KafkaError as error:
        raise TransientError(f"Kafka does not answer: {type(error).__name__}") from None
    if missing:
        consumer.close()
        raise ConfigurationError(
            [f"topic {name} does not exist: `tillguard topics --retailer {settings.retailer}`" for name in missing]
        )
    consumer.subscribe(wanted)
    return consumer
