"""The federation's composition root: keys, logs, stores, the coordinator's and the participants' processes.

Everything here connects what `federation` decides to files, Kafka and databases; nothing is connected at import.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event

import msgspec
import structlog
from msgspec.structs import replace

from contract.clock import SystemClock, to_epoch_ms
from contract.errors import ConfigurationError, TillguardError, TransientError
from contract.federation.fields import COORDINATOR, OPERATOR
from contract.federation.messages import EnrolmentRequest, Order, Shapes, Withdrawal
from contract.federation.settings import FederationSettings
from contract.metrics import Metrics
from federation.audit.history import History, read_history
from federation.audit.orders import Answer, give
from federation.coordinator.assembly import build_coordinator
from federation.coordinator.coordinator import Coordinator
from federation.coordinator.process import CoordinatorProcess, name_coordinator_owner
from federation.coordinator.server_update import Evaluate, StrategyUpdate
from federation.coordinator.state import CoordinatorState
from federation.learning.learner import Learner
from federation.messages.cross_site import Sites, find_newest_finished
from federation.messages.envelope import seal, to_records
from federation.messages.foreign import translate_foreign_errors
from federation.messages.identity import Identity, PublicIdentity
from federation.messages.inbox import Inbox
from federation.participant import trust
from federation.participant.participant import Participant
from federation.participant.peers import Word
from federation.participant.process import ParticipantProcess, load_word, name_owner, save_word
from federation.participant.state import ParticipantState
from federation.refusals import FederationRefusedError
from federation.store import SqlStore
from federation.transports.kafka_logs import KafkaTransport
from federation.transports.log_clock import LogClock, describe_skew
from federation.transports.ports import Outgoing
from tillguard.federation import topics
from tillguard.federation.answers import choose_orders
from tillguard.federation.keys import make_identity, read_model, read_public_identity
from tillguard.federation.standing import Standing
from tillguard.federation.watch import Watch

_LOG = structlog.get_logger()
POLL_S = 0.5
BACKOFF_S_MAX = 10.0


def initialise(settings: FederationSettings) -> PublicIdentity:
    """Keys and topics of a new federation; safe to run again."""
    public = make_identity(COORDINATOR, settings.coordinator)
    topics.ensure(settings)
    return public


@contextmanager
def open_coordinator_process(
    settings: FederationSettings,
    identity: Identity,
    *,
    metrics: Metrics | None = None,
    evaluate: Evaluate | None = None,
) -> Iterator[CoordinatorProcess]:
    """A coordinator that has recovered and speaks for the federation from here on; every other one is fenced off."""

    def assemble(state: CoordinatorState) -> Coordinator:
        return build_coordinator(
            identity, settings, state, server_update=StrategyUpdate(settings.rounds, evaluate), dropped=dropped
        )

    def dropped(sender: str, reason: str, detail: str) -> None:
        _LOG.warning("message_dropped", sender=sender or "?", reason=reason, detail=detail)
        if metrics is not None:
            metrics.add("tillguard_federation_dropped_total", federation=settings.name, reason=reason)

    store = SqlStore(settings.coordinator.store_url.get_secret_value(), setting="federation.coordinator.store_url")
    try:
        _check_clock(settings)
        transport = KafkaTransport(settings, COORDINATOR, exclusive=True)
        try:
            process = CoordinatorProcess(
                identity,
                settings.name,
                transport,
                store,
                SystemClock(),
                initial=CoordinatorState(model=read_model(settings.coordinator.model_file)),
                assemble=assemble,
            )
            process.recover()
            yield process
        finally:
            transport.close()
    finally:
        store.close()


def _check_clock(settings: FederationSettings) -> None:
    """Before a coordinator that runs is fenced off: one whose clock is wrong must not take its place."""
    transport = KafkaTransport(settings, OPERATOR)
    try:
        LogClock(SystemClock(), transport, b"clock").now_ms()
    finally:
        transport.close()


def run_coordinator(
    settings: FederationSettings,
    identity: Identity,
    stop: Event,
    *,
    rounds: int | None,
    metrics: Metrics | None = None,
    evaluate: Evaluate | None = None,
) -> None:
    """Runs until `stop`, or until `rounds` more rounds are over; None: round after round; 0: what is ordered, and no end.

    A broker that is away is waited for. Raises FencedError when another coordinator was started.
    """
    ordered = False

    def once(process: CoordinatorProcess) -> None:
        nonlocal ordered
        _LOG.info("coordinator_speaks", federation=settings.name, epoch=process.coordinator.state.epoch)
        watch = Watch(settings, process, metrics)
        while not stop.is_set():
            state = process.coordinator.state
            if not ordered and rounds != 0:
                ordered = True
                for order in choose_orders(state, rounds):
                    give_order(settings, identity, order)
                wait_for(process, stop, lambda state: not choose_orders(state, rounds))
            process.run_once(POLL_S)
            watch.look()
            if rounds and process.coordinator.idle:
                if state.halted:
                    raise TillguardError(state.halted)
                return

    _patiently(lambda: open_coordinator_process(settings, identity, metrics=metrics, evaluate=evaluate), once, stop)


def wait_for(process: CoordinatorProcess, stop: Event, reached: Callable[[CoordinatorState], bool]) -> None:
    """Runs the process until its state is as wanted, or `stop`."""
    while not stop.is_set() and not reached(process.coordinator.state):
        process.run_once(POLL_S)


def give_order(settings: FederationSettings, identity: Identity, order: Order, *, wait_s: float = 0.0) -> Answer:
    """Puts an operator's order on the log; the coordinator carries it out when it runs, and is waited for so long.

    Raises TransientError.
    """
    transport = KafkaTransport(settings, OPERATOR)
    try:
        return give(
            order, identity=identity, federation=settings.name, transport=transport, clock=SystemClock(), wait_s=wait_s
        )
    finally:
        transport.close()


def load_history(settings: FederationSettings, fingerprint: str) -> History:
    """What the coordinator of this fingerprint has said; raises TransientError."""
    transport = KafkaTransport(settings, "reader")
    try:
        return read_history(transport, settings.name, fingerprint)
    finally:
        transport.close()


@contextmanager
def open_participant_process(
    settings: FederationSettings,
    identity: Identity,
    learner: Learner,
    *,
    shapes: Shapes | None = None,
    metrics: Metrics | None = None,
) -> Iterator[ParticipantProcess]:
    """A participant that continues where it stood; raises FencedError where one of the same retailer has its store already.

    `shapes`: a plan or model of other names or shapes is refused; None: any.
    """

    def assemble(state: ParticipantState) -> Participant:
        return Participant(identity, settings.name, settings.participant, state, shapes=shapes)

    store = SqlStore(settings.participant.store_url.get_secret_value(), setting="federation.participant.store_url")
    try:
        store.hold(name_owner(settings.name, identity.name))
        transport = KafkaTransport(settings, identity.name)
        try:
            yield ParticipantProcess(
                identity,
                settings.name,
                transport,
                store,
                SystemClock(),
                learner=learner,
                assemble=assemble,
                metrics=metrics,
            )
        finally:
            transport.close()
    finally:
        store.close()


def run_participant(
    settings: FederationSettings,
    identity: Identity,
    learner: Learner,
    stop: Event,
    *,
    shapes: Shapes | None = None,
    metrics: Metrics | None = None,
    standing: Standing | None = None,
) -> None:
    """Takes part until `stop`; a broker that is away is waited for. `standing` is kept up to date for whoever asks."""
    told = standing or Standing()
    if settings.participant.coordinator_fingerprint is None:
        raise ConfigurationError(
            [
                "federation.participant.coordinator_fingerprint is missing: ask the coordinator's people for it, not Kafka"
            ]
        )

    def once(process: ParticipantProcess) -> None:
        before = ""
        told.note_process(process)
        while not stop.is_set():
            process.run_once(POLL_S)
            if process.participant.membership != before:
                before = process.participant.membership
                _LOG.info("membership", federation=settings.name, participant=identity.name, status=before)

    _patiently(
        lambda: open_participant_process(settings, identity, learner, shapes=shapes, metrics=metrics),
        once,
        stop,
        note_away=told.note_away,
    )


def read_decided_version(settings: FederationSettings, retailer: str) -> int:
    """The newest global model that this retailer's participant has taken or refused, running or not; -1: none yet."""
    return read_participant_state(settings, retailer).adopted_version


def read_participant_state(settings: FederationSettings, retailer: str) -> ParticipantState:
    """What this retailer's participant has on its disk, running or not. Raises TransientError."""
    with _participant_store(settings) as store:
        checkpoint = store.load(name_owner(settings.name, retailer))
    return ParticipantState() if checkpoint is None else msgspec.msgpack.decode(checkpoint.state, type=ParticipantState)


def find_roster_warnings(settings: FederationSettings, retailer: str) -> list[str]:
    """What this retailer's people should know of the roster that its participant has read. Raises TransientError."""
    if not settings.participant.key_file.exists():
        return []  # it never asked to take part, or runs on another machine
    state = read_participant_state(settings, retailer)
    own = read_public_identity(settings.participant)
    with _participant_store(settings) as store:
        left = load_word(store, settings.name, retailer).left
    return list(trust.find_warnings(state, own, left=left).values())


def accept_peer(settings: FederationSettings, retailer: str, name: str, fingerprint: str) -> None:
    """Lets in these keys under `name`, for this retailer's participant, running or not. Raises TransientError."""
    _tell(settings, retailer, lambda word: replace(word, accepted={**word.accepted, name: fingerprint}))


def _tell(settings: FederationSettings, retailer: str, told: Callable[[Word], Word]) -> None:
    with _participant_store(settings) as store:
        word = told(load_word(store, settings.name, retailer))
        save_word(store, settings.name, retailer, word, to_epoch_ms(SystemClock().now()))


@contextmanager
def _participant_store(settings: FederationSettings) -> Iterator[SqlStore]:
    store = SqlStore(settings.participant.store_url.get_secret_value(), setting="federation.participant.store_url")
    try:
        yield store
    finally:
        store.close()


def read_cross_site(settings: FederationSettings) -> Sites | None:
    """The newest finished cross-site evaluation that the coordinator has on its disk, running or not; None: none yet.

    Where none is finished, the one under way. Raises TransientError.
    """
    store = SqlStore(settings.coordinator.store_url.get_secret_value(), setting="federation.coordinator.store_url")
    try:
        checkpoint = store.load(name_coordinator_owner(settings.name))
    finally:
        store.close()
    if checkpoint is None:
        return None
    return find_newest_finished(msgspec.msgpack.decode(checkpoint.state, type=CoordinatorState).evaluations)


def enrol(settings: FederationSettings, identity: Identity) -> None:
    """Asks the coordinator to let this retailer take part. Raises TransientError."""
    keys = identity.public
    request = EnrolmentRequest(
        signing_key=keys.signing_key, sealing_key=keys.sealing_key, allow_robust=settings.participant.allow_robust
    )
    _say(settings, identity, request)
    _tell(settings, identity.name, lambda word: replace(word, left=False))


def leave(settings: FederationSettings, identity: Identity, reason: str) -> None:
    """Tells the coordinator that this retailer leaves for good. Raises TransientError."""
    _say(settings, identity, Withdrawal(reason=reason))
    _tell(settings, identity.name, lambda word: replace(word, left=True))


def _say(settings: FederationSettings, identity: Identity, message: EnrolmentRequest | Withdrawal) -> None:
    sent_at_ms = to_epoch_ms(SystemClock().now())
    signed = seal(message, identity, federation=settings.name, sent_at_ms=sent_at_ms)
    transport = KafkaTransport(settings, identity.name)
    try:
        key = identity.name.encode()
        appended_ms = transport.append([Outgoing("updates", key, record) for record in to_records(signed, identity)])
    finally:
        transport.close()
    fault = describe_skew(sent_at_ms - appended_ms)
    if fault is not None and sent_at_ms > appended_ms:
        raise ConfigurationError([f"{fault}; what was said does not count"])


def _patiently(
    opened: Callable[[], object],
    run: Callable[..., None],
    stop: Event,
    *,
    note_away: Callable[[str], None] = lambda _: None,
) -> None:
    """Runs a process, and makes a new one whenever Kafka or the database failed it; it recovers from its logs."""
    backoff_s = 0.5
    while not stop.is_set():
        try:
            with opened() as process:  # type: ignore[attr-defined]
                backoff_s = 0.5
                run(process)
            return  # noqa: TRY300 - only a run that ended by itself comes here
        except TransientError as error:
            note_away(str(error))
            _LOG.warning("federation_waits", reason=str(error), again_in_s=backoff_s)
            stop.wait(backoff_s)
            backoff_s = min(2 * backoff_s, BACKOFF_S_MAX)


def serve_metrics(port: int | None) -> Metrics | None:
    """All metrics, answered at /metrics on this machine where `port` is given; 0 chooses a free one and logs it."""
    if port is None:
        return None
    from prometheus_client import start_http_server  # noqa: PLC0415 - only where metrics are wanted

    metrics = Metrics()
    try:
        server, _ = start_http_server(port, addr="127.0.0.1", registry=metrics.registry)
    except OSError as error:
        raise ConfigurationError([f"metrics_port {port} cannot be listened on: {error.strerror}"]) from None
    _LOG.info("metrics_served", port=server.server_port)
    return metrics


def read_requests(settings: FederationSettings) -> list[tuple[PublicIdentity, int]]:
    """Everyone whose request to take part is still on the updates log, and when it came last; signatures checked."""
    transport = KafkaTransport(settings, "reader")
    found: dict[str, tuple[PublicIdentity, int]] = {}
    inbox = Inbox(settings.name, log="updates")
    try:
        first, end = transport.find_bounds("updates")
        transport.read_from({"updates": first})
        while not transport.has_caught_up("updates", end):
            for record in transport.poll(POLL_S):
                try:
                    with translate_foreign_errors():
                        taken = inbox.take(record.value, roster=lambda _: None, now_ms=record.appended_ms)
                except FederationRefusedError:
                    continue
                for opened in taken:
                    if isinstance(opened.message, EnrolmentRequest):
                        found[opened.sender.fingerprint] = opened.sender, record.appended_ms
    finally:
        transport.close()
    return list(found.values())
