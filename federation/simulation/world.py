"""A whole federation in one process: the real coordinator and participants over logs in memory, with faults from a seed.

Time is virtual: it moves on only when nobody has anything to do, to the next message under way or the next deadline.
"""

import random
from collections.abc import Callable, Mapping, Sequence

import msgspec

from contract.clock import ManualClock, from_epoch_ms, to_epoch_ms
from contract.errors import InvariantError
from contract.federation.fields import OPERATOR
from contract.federation.messages import Order
from contract.federation.settings import FederationSettings, ParticipantSettings
from federation.coordinator.assembly import build_coordinator
from federation.coordinator.coordinator import Coordinator
from federation.coordinator.process import CoordinatorProcess
from federation.coordinator.server_update import EVALUATED_APART_MAX, StrategyUpdate
from federation.coordinator.state import CoordinatorState
from federation.learning.learner import Arrays, Learner
from federation.messages.envelope import seal, to_records
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import Identity
from federation.participant.participant import Participant
from federation.participant.process import ParticipantProcess
from federation.participant.state import ParticipantState
from federation.store import MemoryStore
from federation.transports.memory import CrashError, Faults, MemoryBroker, MemoryTransport
from federation.transports.ports import Outgoing

START_MS = 1_800_000_000_000
STEP_MS = 500
TURNS_MAX = 200_000


class World:
    """One coordinator, any number of participants, and an operator who approves them all."""

    def __init__(
        self,
        settings: FederationSettings,
        learners: Mapping[str, Learner],
        model: GlobalWeights,
        *,
        seed: int,
        faults: Faults | None = None,
        evaluate: Callable[[Arrays], dict[str, float]] | None = None,
        participant_crash: float = 0.0,
        evaluated_apart_max: int = EVALUATED_APART_MAX,
        asking: Mapping[str, ParticipantSettings] | None = None,
    ) -> None:
        """`participant_crash`: probability that a participant is killed in a turn of its own; it starts again in the next.

        `asking`: settings of those whose own are not those of `settings`.
        """
        self.settings = settings
        self.clock = ManualClock(from_epoch_ms(START_MS))
        self.broker = MemoryBroker(seed=seed, faults=faults, now_ms=START_MS)
        self.random = random.Random(seed)  # noqa: S311 - a simulation, drawn again from the same seed
        self.identity = Identity.generate("coordinator", self._bytes)
        self.store = MemoryStore()
        self.drops: dict[str, int] = {}
        self.crashes = 0
        self._orders = 0
        self._model = model
        self._server_update = StrategyUpdate(settings.rounds, evaluate, evaluated_apart_max=evaluated_apart_max)
        self._crash = participant_crash
        self._learners = dict(learners)
        self._asking = dict(asking or {})
        self.identities = {name: Identity.generate(name, self._bytes) for name in learners}
        self._stores = {name: MemoryStore() for name in learners}
        self.coordinator = self._start_coordinator()
        self.participants = {name: self._start_participant(name) for name in learners}

    def enrol_all(self) -> None:
        """Everyone asks, the operator approves, the roster goes out."""
        for _ in range(TURNS_MAX):
            waiting = {one.name: fingerprint for fingerprint, one in self.state.waiting.items()}
            approved = {member.name for member in self.state.list_approved()}
            for name in sorted(self.participants.keys() - approved):
                if name in waiting:
                    self.order(Order(action="approve", participant=name, fingerprint=waiting[name]))
                else:
                    self.participants[name].enrol(allow_robust=True)
            self.take_turn()
            if len(approved) == len(self.participants):
                return
            self.advance(STEP_MS)
        raise InvariantError("not everyone was enrolled")

    def order(self, order: Order) -> None:
        """The operator's word to the coordinator; past all faults, since it is written next to it."""
        self.advance(1)
        self._orders += 1
        signed = seal(
            msgspec.structs.replace(order, order_id=order.order_id or f"{self._orders:032x}"),
            self.identity,
            federation=self.settings.name,
            sent_at_ms=self.broker.now_ms,
            sender=OPERATOR,
        )
        for record in to_records(signed, self.identity):
            self.broker.take([Outgoing("updates", b"operator", record)], OPERATOR, exclusive=True)

    @property
    def state(self) -> CoordinatorState:
        """What the coordinator knows."""
        return self.coordinator.coordinator.state

    def run_rounds(self, rounds: int) -> None:
        """Orders this many rounds and runs until they are over, whatever comes of them."""
        self.order_rounds(rounds)
        self.take_turn()
        self.run_until(lambda: self.coordinator.coordinator.idle)
        self.take_turn()

    def order_rounds(self, rounds: int) -> None:
        """Orders them; whoever calls takes the turns."""
        self.order(Order(action="run", rounds=rounds))

    def run_until(self, done: Callable[[], bool]) -> None:
        """Turns until `done`, time moving on where nobody has anything to do."""
        for _ in range(TURNS_MAX):
            if self.take_turn() == 0:
                if done():
                    return
                due_ms = self.broker.find_next_due_ms()
                step_ms = STEP_MS if due_ms is None else min(STEP_MS, max(due_ms - self.broker.now_ms, 1))
                self.advance(step_ms)
        raise InvariantError("the simulation does not come to its end")

    def take_turn(self) -> int:
        """Everyone does what there is to do; gives how many records were read."""
        return self.take_coordinator_turn() + self.take_participants_turn()

    def advance(self, ms: int) -> None:
        """Virtual time passes."""
        self.clock.advance(ms / 1000)
        self.broker.advance_to(to_epoch_ms(self.clock.now()))

    def restart_coordinator(self) -> None:
        """As after kill -9: a new process, the same store and logs."""
        self.crashes += 1
        self.coordinator = self._start_coordinator()

    def restart_participant(self, name: str) -> None:
        """Likewise."""
        self.crashes += 1
        self.participants[name] = self._start_participant(name)

    def kill(self, names: Sequence[str]) -> None:
        """These participants are gone for good."""
        for name in names:
            del self.participants[name]

    def take_coordinator_turn(self) -> int:
        """The coordinator's part of a turn."""
        try:
            return self.coordinator.run_once(0.0)
        except CrashError:
            self.restart_coordinator()
            return 1

    def take_participants_turn(self) -> int:
        """Likewise the participants'."""
        return sum(self._participant_turn(name) for name in self.participants)

    def _participant_turn(self, name: str) -> int:
        if self._crash and self.random.random() < self._crash:
            self.restart_participant(name)
            return 1
        try:
            return self.participants[name].run_once(0.0)
        except CrashError:
            self.restart_participant(name)
            return 1

    def _start_coordinator(self) -> CoordinatorProcess:
        process = CoordinatorProcess(
            self.identity,
            self.settings.name,
            MemoryTransport(self.broker, "coordinator", exclusive=True),
            self.store,
            self.clock,
            initial=CoordinatorState(model=self._model),
            assemble=self._assemble,
        )
        process.recover()
        return process

    def _assemble(self, state: CoordinatorState) -> Coordinator:
        return build_coordinator(
            self.identity,
            self.settings,
            state,
            server_update=self._server_update,
            dropped=self._count_drop,
        )

    def _start_participant(self, name: str) -> ParticipantProcess:
        own = self._asking.get(name, self.settings.participant)
        own = own.model_copy(update={"coordinator_fingerprint": self.identity.public.fingerprint})

        def assemble(state: ParticipantState) -> Participant:
            return Participant(self.identities[name], self.settings.name, own, state, random=self._bytes)

        return ParticipantProcess(
            self.identities[name],
            self.settings.name,
            MemoryTransport(self.broker, name),
            self._stores[name],
            self.clock,
            learner=self._learners[name],
            assemble=assemble,
        )

    def _count_drop(self, _sender: str, reason: str, _detail: str) -> None:
        self.drops[reason] = self.drops.get(reason, 0) + 1

    def _bytes(self, count: int) -> bytes:
        return self.random.randbytes(count)
