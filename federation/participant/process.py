"""A participant's thin shell: what the coordinator says in, answers out, training between."""

from collections.abc import Callable

import msgspec
import structlog

from contract.clock import Clock, to_epoch_ms
from contract.errors import PositionDeadError
from contract.federation.messages import EnrolmentRequest, Withdrawal
from contract.metrics import Metrics
from federation.learning.learner import Learner, TrainingUnableError
from federation.learning.metrics import AP
from federation.messages.envelope import seal, to_records
from federation.messages.identity import Identity
from federation.numeric.tensors import unflatten
from federation.participant.participant import Participant
from federation.participant.peers import Word
from federation.participant.state import ParticipantState, Saying
from federation.store import Checkpoint, Store
from federation.transports.log_clock import LogClock
from federation.transports.ports import LogName, Outgoing, Transport

_LOG = structlog.get_logger()
READ: tuple[LogName, ...] = ("control", "models")
FIGURE_DIGITS = 4
"""Of an average precision that leaves: more would tell how many examples it was measured on."""


def name_owner(federation: str, name: str) -> str:
    """Under what a participant's checkpoint is stored."""
    return f"participant/{federation}/{name}"


def load_word(store: Store, federation: str, name: str) -> Word:
    """What the people of the participant `name` have told it. Raises TransientError."""
    stored = store.load(f"people/{federation}/{name}")
    return Word() if stored is None else msgspec.msgpack.decode(stored.state, type=Word)


def save_word(store: Store, federation: str, name: str, word: Word, at_ms: int) -> None:
    """Tells it, running or not. Raises TransientError."""
    store.save(f"people/{federation}/{name}", Checkpoint({}, msgspec.msgpack.encode(word), at_ms))


class ParticipantProcess:
    """One running participant. Used by one thread; after any error of the transport it is thrown away and made again.

    Raises ConfigurationError where this machine's clock is away from the broker's, at the start and before it says anything.
    """

    def __init__(
        self,
        identity: Identity,
        federation: str,
        transport: Transport,
        store: Store,
        clock: Clock,
        *,
        learner: Learner,
        assemble: Callable[[ParticipantState], Participant],
        metrics: Metrics | None = None,
    ) -> None:
        self._identity = identity
        self._federation = federation
        self._transport = transport
        self._store = store
        self._clock = clock
        self._time = LogClock(clock, transport, identity.name.encode())
        self._learner = learner
        self._metrics = metrics
        self._owner = name_owner(federation, identity.name)
        checkpoint = store.load(self._owner)
        state = ParticipantState()
        self._positions: dict[LogName, int] = dict.fromkeys(READ, 0)
        if checkpoint is not None:
            state = msgspec.msgpack.decode(checkpoint.state, type=ParticipantState)
            self._positions |= checkpoint.positions
        self._saved = self._positions
        self._sent_ms = 0
        self._clipped = 0
        self._dropped: dict[str, int] = {}
        self.participant = assemble(state)
        self._warned: dict[str, str] = {}
        self._look_at_peers()
        if self.participant.state.coordinator is None:
            # Nothing was believed so far, or nothing is any more: all that stands there is news.
            self._positions = dict.fromkeys(READ, 0)
        self._time.now_ms()
        self._read_on()

    def run_once(self, timeout_s: float) -> int:
        """Called again and again; returns how many records it read. Training and adoption happen here and may take minutes."""
        read = self._hear_all(timeout_s)
        # First: what it says next may be what the coordinator waits for to begin the next evaluation.
        self._judge()
        self._speak()
        participant = self.participant
        while participant.task is not None:
            self._train()
            self._speak()
        self._adopt()
        self._count_clipping()
        self._count_dropped()
        if read or participant.state.distrusted:
            self._look_at_peers()
        if read:
            self._save()
        return read

    @property
    def warnings(self) -> list[str]:
        """What this retailer's people should know of the roster."""
        return list(self._warned.values())

    def enrol(self, *, allow_robust: bool) -> None:
        """Asks to take part; asking again does no harm."""
        keys = self._identity.public
        request = EnrolmentRequest(
            signing_key=keys.signing_key, sealing_key=keys.sealing_key, allow_robust=allow_robust
        )
        self._send(Saying(request, sealed=False))

    def leave(self, reason: str) -> None:
        """Leaves for good."""
        self._send(Saying(Withdrawal(reason=reason), sealed=False))

    def _hear_all(self, timeout_s: float) -> int:
        """Everything that is there, before anything is done about it: a plan may be over already."""
        read = 0
        while records := self._transport.poll(timeout_s if read == 0 else 0.0):
            for record in records:
                self.participant.handle_record(record)
                self._positions = self._positions | {record.log: record.offset + 1}
            self._count("tillguard_federation_read_bytes_total", sum(len(record.value) for record in records))
            read += len(records)
        return read

    def _look_at_peers(self) -> None:
        """What this retailer's people have said of others' keys, and what they should know of them, each thing once."""
        word = load_word(self._store, self._federation, self._identity.name)
        self.participant.say_aside(word)
        warnings = self.participant.list_warnings(left=word.left)
        for name, sentence in warnings.items():
            if self._warned.get(name) != sentence:
                _LOG.error("roster_warning", retailer=self._identity.name, about=name, what=sentence)
        self._warned = warnings
        if self._metrics is not None:
            self._metrics.set(
                "tillguard_federation_roster_doubted_participants", len(warnings), retailer=self._identity.name
            )

    def _adopt(self) -> None:
        """Decides on the newest global model, once."""
        participant, model = self.participant, self.participant.to_adopt()
        if model is None:
            return
        try:
            arrays = unflatten(model.shapes, model.payload)
            result = self._learner.adopt(model.version, arrays, trainings=model.trainings)
        except TrainingUnableError as error:
            _LOG.warning("global_model_not_judged", model_version=model.version, reason=str(error))
            participant.state.adopted_version = model.version
            return
        participant.report_adopted(model.version, result)
        self._count("tillguard_federation_adopted_total", decision=result.decision)
        # Told before it is stored: killed between the two, it decides and tells once more, which changes nothing.
        self._deliver()
        self._save()

    def _judge(self) -> None:
        """Models of others, where they are shown for that."""
        participant, shown = self.participant, self.participant.shown
        if shown is None:
            return
        try:
            found = self._learner.judge(list(shown.models.values()))
        except TrainingUnableError as error:
            _LOG.warning("models_of_others_not_judged", model_version=shown.model_version, reason=str(error))
            found = []
        figures = {
            name: round(one[AP], FIGURE_DIGITS) for name, one in zip(shown.models, found, strict=False) if AP in one
        }
        participant.report_judged(figures)
        # Told before it is stored: killed between the two, it tells once more, and the coordinator drops the second.
        self._deliver()
        self._save()

    def _train(self) -> None:
        participant, task, plan = self.participant, self.participant.task, self.participant.plan
        if task is None:
            return
        try:
            learner = self._learner
            result = learner.train(task) if task.purpose == "training" else learner.summarise(task)
        except TrainingUnableError as error:
            _LOG.warning("training_unable", round=task.round, attempt=task.attempt, reason=str(error))
            participant.report_unable(error.reason)
            self._count("tillguard_federation_trainings_total", outcome=error.reason)
            return
        self._count("tillguard_federation_trainings_total", outcome="trained")
        # What was said meanwhile may have ended the attempt.
        self._hear_all(0.0)
        if participant.task is not None and participant.task[:2] == task[:2]:
            participant.report_trained(result)
        elif plan is not None:
            participant.report_trained_late(plan, task.base, result)

    def _speak(self) -> None:
        """Sends the outbox. What was joined is stored first, so that no attempt is ever joined twice."""
        if not self.participant.outbox:
            return
        self._save()
        self._deliver()

    def _deliver(self) -> None:
        outbox, self.participant.outbox = self.participant.outbox, []
        for saying in outbox:
            self._send(saying)

    def _send(self, saying: Saying) -> None:
        coordinator = self.participant.state.coordinator
        signed = seal(
            saying.message,
            self._identity,
            federation=self._federation,
            round_number=saying.round,
            attempt=saying.attempt,
            sent_at_ms=self._later(),
            epoch=self.participant.state.epoch,
            reader=coordinator if saying.sealed else None,
        )
        key = self._identity.name.encode()
        records = to_records(signed, self._identity)
        self._transport.append([Outgoing("updates", key, record) for record in records])
        self._count("tillguard_federation_sent_bytes_total", sum(map(len, records)))

    def _count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        if self._metrics is not None:
            self._metrics.add(name, amount, retailer=self._identity.name, **labels)

    def _count_clipping(self) -> None:
        """What the participant cut since the last look."""
        updates = self.participant.updates
        clipped, self._clipped = updates.clipped - self._clipped, updates.clipped
        self._count("tillguard_federation_clipped_total", clipped)
        if self._metrics is not None:
            name = self._identity.name
            self._metrics.set("tillguard_federation_clipped_ratio", updates.beyond, retailer=name)

    def _count_dropped(self) -> None:
        dropped = self.participant.dropped
        for reason, total in dropped.items():
            more = total - self._dropped.get(reason, 0)
            if more:
                _LOG.warning("messages_dropped", reason=reason, count=more, newest=self.participant.last_drop)
            self._count("tillguard_federation_unheard_total", more, reason=reason)
        self._dropped = dict(dropped)

    def _later(self) -> int:
        """The clock, but later than at the message before: equal times would make the second a replay."""
        self._sent_ms = max(self._sent_ms + 1, self._time.now_ms())
        return self._sent_ms

    def _save(self) -> None:
        if self.participant.task is not None:
            return
        if self.participant.quiet:
            self._saved = self._positions
        state = msgspec.msgpack.encode(self.participant.state)
        self._store.save(self._owner, Checkpoint(self._saved, state, to_epoch_ms(self._clock.now())))

    def _read_on(self) -> None:
        """From the checkpoint; where the log no longer reaches back, from its beginning: rosters and models come again."""
        try:
            self._transport.read_from(self._positions)
        except PositionDeadError as error:
            _LOG.warning("federation_log_gone", detail=str(error))
            self._positions = {log: self._transport.find_bounds(log)[0] for log in READ}
            self._transport.read_from(self._positions)
