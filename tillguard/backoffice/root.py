"""Puts the backoffice together: settings of all retailers → doors, accounts, web server. The only place that knows all of them."""

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog
import uvicorn

from backoffice.accounts.token_cache import TokenCache
from backoffice.checkout.answer_feed import AnswerFeed
from backoffice.checkout.answers import AnswerHub
from backoffice.checkout.door import Door
from backoffice.checkout.kafka_writer import KafkaRecordWriter
from backoffice.checkout.request import RequestReader
from backoffice.checkout.sandbox import Sandbox
from backoffice.database import open_database
from backoffice.http.app import build_app
from backoffice.http.idempotency import IdempotencyKeys
from backoffice.http.services import AccountServices, RetailerServices, Services
from backoffice.projection.ports import ReadModel
from backoffice.projection.projector import Projector
from backoffice.projection.projectors import ProjectorThreads
from backoffice.projection.read_model import SqlReadModel
from backoffice.projection.store import ReadModelStore
from contract.clock import SystemClock
from contract.errors import ConfigurationError
from contract.metrics import Metrics
from contract.sections.backoffice import BackofficeSettings
from contract.settings import BackofficeFile, Settings
from contract.status.message import Condition
from contract.tokens import build_tokeniser
from contract.topics import RESOLUTIONS, TRANSACTIONS
from runtime import logs
from runtime.database import Database
from runtime.signals import catch_stop_signals
from tillguard import __version__
from tillguard.backoffice.accounts import build_accounts
from tillguard.backoffice.desk import open_desk
from tillguard.backoffice.rules_access import RulesAccess
from tillguard.wiring.address_file import write_address
from tillguard.wiring.heartbeats import build_heartbeat

STOP_WITHIN_S = 10
log = structlog.get_logger()


def run(file: BackofficeFile, retailers: Mapping[str, Settings], *, address_file: Path | None = None) -> int:
    """Serves until it is told to stop (returns 0). Takes over the process.

    `address_file` receives the URL once the server listens. Raises ConfigurationError where it cannot listen, or a retailer's
    settings name no tokenisation key.
    """
    logs.configure(file.log)
    clock, metrics = SystemClock(), Metrics()
    with ExitStack() as stack:
        listening = stack.enter_context(open_listener(file.backoffice.web_host, file.backoffice.web_port))
        url = f"http://{file.backoffice.web_host}:{listening.getsockname()[1]}"
        services = build_services(
            file.backoffice,
            retailers,
            stack,
            clock=clock,
            metrics=metrics,
            public_url=file.backoffice.public_url or url,
        )
        app = build_app(services, version=__version__)
        server = uvicorn.Server(
            uvicorn.Config(
                app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=STOP_WITHIN_S
            )
        )
        log.info("backoffice_starts", version=__version__, url=url, retailers=sorted(retailers))
        write_address(address_file, url)
        for name, settings in retailers.items():
            look = partial(_look, services.retailers[name])
            stack.enter_context(build_heartbeat(settings, "backoffice", look, clock))
        # uvicorn stops at a signal and then raises it once more, which would end the process before the rest is closed.
        catch_stop_signals()
        server.run(sockets=[listening])
    log.info("backoffice_ended")
    return 0


def build_services(
    settings: BackofficeSettings,
    retailers: Mapping[str, Settings],
    stack: ExitStack,
    *,
    clock: SystemClock,
    metrics: Metrics,
    public_url: str,
) -> Services:
    """Everything that the routes call, until `stack` is left.

    Raises ConfigurationError for settings that cannot be used, TransientError where a database does not answer.
    """
    database = open_database(settings.database_url.get_secret_value())
    stack.callback(database.close)
    accounts = build_accounts(database, settings, clock)
    cache = TokenCache(accounts.tokens, clock)
    read_model, projections = open_read_model(settings, list(retailers.values()), stack, clock)
    served = {
        name: open_retailer(each, database, read_model, clock=clock, stack=stack) for name, each in retailers.items()
    }
    return Services(
        clock=clock,
        metrics=metrics,
        tokens=cache,
        keys=IdempotencyKeys(database, clock),
        retailers=served,
        read_model=read_model,
        accounts=AccountServices(
            people=accounts.people,
            sessions=accounts.sessions,
            sign_in=accounts.sign_in,
            access_tokens=accounts.tokens,
            token_cache=cache,
            trail=accounts.trail,
        ),
        public_url=public_url,
        list_projections=projections.list_states,
    )


def open_read_model(
    settings: BackofficeSettings, retailers: Sequence[Settings], stack: ExitStack, clock: SystemClock
) -> tuple[SqlReadModel, ProjectorThreads]:
    """The read model, and a projector for each retailer that fills it until `stack` is left.

    Raises ConfigurationError for a URL that cannot be used, TransientError where the database does not answer.
    """
    open_store = partial(ReadModelStore, settings.read_model_url.get_secret_value())
    store = open_store()
    stack.callback(store.close)
    projectors = [Projector(each, open_store, clock, keep_days=settings.read_model_days) for each in retailers]
    return SqlReadModel(store, clock), stack.enter_context(ProjectorThreads(projectors))


def open_listener(host: str, port: int) -> socket.socket:
    """A socket that takes connections; port 0 takes a free one. Raises ConfigurationError."""
    try:
        listening = socket.create_server((host, port), backlog=2_048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or "no such address"
        raise ConfigurationError(
            [f"backoffice.web_host, backoffice.web_port: cannot listen at {host}:{port} ({reason})"]
        ) from None
    return listening


class OpenedDoor(NamedTuple):
    """A retailer's way in for checkouts."""

    door: Door
    sandbox: Sandbox
    list_closed: Callable[[], list[str]]


def open_retailer(
    settings: Settings, database: Database, read_model: ReadModel, *, clock: SystemClock, stack: ExitStack
) -> RetailerServices:
    """What serves one retailer, until `stack` is left; raises ConfigurationError where its settings name no tokenisation key."""
    opened = open_door(settings, stack, clock)
    desk, outbox = open_desk(settings, opened.door, database, read_model, clock=clock, stack=stack)
    return RetailerServices(opened.door, opened.sandbox, desk, outbox, RulesAccess(settings), opened.list_closed)


def open_door(settings: Settings, stack: ExitStack, clock: SystemClock, *, wait_s: float = 0.0) -> OpenedDoor:
    """A retailer's door, until `stack` is left; raises ConfigurationError where its settings name no tokenisation key.

    It opens as soon as Kafka answers: `wait_s` waits for that, and `list_closed` says whether it has.
    """
    retailer = settings.retailer
    client_id = f"{retailer}-backoffice-{socket.gethostname()}-{os.getpid()}"
    reader = RequestReader(settings.admission, build_tokeniser(settings.connectors), settings.connectors.tokenise_also)
    writer = stack.enter_context(KafkaRecordWriter(settings.kafka, client_id))
    hub = AnswerHub()
    watched = {topic.name(retailer): writer.note_partitions for topic in (TRANSACTIONS, RESOLUTIONS)}
    feed = stack.enter_context(AnswerFeed(settings.kafka, retailer, hub, client_id=client_id, watched=watched))
    if wait_s and not feed.wait_until_reading(wait_s):
        log.warning(
            "door_closed", retailer=retailer, remedy="Kafka does not answer, or the retailer's topics are missing"
        )
    door = Door(
        retailer,
        reader,
        writer,
        hub,
        clock,
        base_currency=settings.base_currency,
        fallback=settings.scoring.fallback,
    )
    sandbox = Sandbox(
        reader,
        clock,
        base_currency=settings.base_currency,
        fallback=settings.scoring.fallback,
        hold=settings.scoring.hold,
    )
    return OpenedDoor(door, sandbox, partial(_list_closed, feed, retailer))


def _look(services: RetailerServices) -> Condition:
    closed = services.list_closed()
    return Condition(activity="serving", healthy=not closed, reasons=closed)


def _list_closed(feed: AnswerFeed, retailer: str) -> list[str]:
    if feed.is_reading:
        return []
    return [f"Kafka does not answer, or topics are missing: `tillguard topics --retailer {retailer}`"]
