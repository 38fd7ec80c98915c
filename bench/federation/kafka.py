"""The same federation over a real Kafka: all in one process, each with a connection of its own, in real time.

The topics bear a name of their own for each run and stay behind; nothing else on the broker is touched.
"""

import secrets
import time
from collections.abc import Callable, Mapping
from typing import Self

from contract.clock import SystemClock
from contract.errors import TillguardError
from contract.federation.messages import Order
from contract.federation.settings import FederationSettings
from federation.audit.history import list_rounds
from federation.coordinator.assembly import build_coordinator
from federation.coordinator.coordinator import Coordinator
from federation.coordinator.process import CoordinatorProcess
from federation.coordinator.server_update import StrategyUpdate
from federation.coordinator.state import CoordinatorState
from federation.learning.learner import Arrays, Learner
from federation.messages.global_weights import GlobalWeights
from federation.messages.identity import Identity
from federation.participant.participant import Participant
from federation.participant.process import ParticipantProcess
from federation.participant.state import ParticipantState
from federation.store import MemoryStore
from federation.transports.kafka_logs import KafkaTransport
from tillguard.federation import root, topics

POLL_S = 0.01
DEADLINE_S = 1_800.0


class KafkaFederation:
    """One coordinator and its participants; a context manager that closes their connections."""

    def __init__(
        self,
        settings: FederationSettings,
        learners: Mapping[str, Learner],
        model: GlobalWeights,
        evaluate: Callable[[Arrays], dict[str, float]],
    ) -> None:
        """`settings` name the broker; its federation's name gets a random ending."""
        self.settings = settings.model_copy(update={"name": f"{settings.name}-{secrets.token_hex(4)}"})
        topics.ensure(self.settings)
        self._transports: list[KafkaTransport] = []
        self._clock = SystemClock()
        self._identity = Identity.generate("coordinator")
        server_update = StrategyUpdate(self.settings.rounds, evaluate)

        def assemble(state: CoordinatorState) -> Coordinator:
            return build_coordinator(
                self._identity, self.settings, state, server_update=server_update, dropped=lambda *_: None
            )

        self._coordinator = CoordinatorProcess(
            self._identity,
            self.settings.name,
            self._open("coordinator", exclusive=True),
            MemoryStore(),
            self._clock,
            initial=CoordinatorState(model=model),
            assemble=assemble,
        )
        self._coordinator.recover()
        self._participants = {name: self._participant(name, learner) for name, learner in learners.items()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for transport in self._transports:
            transport.close()

    def run(self, rounds: int) -> list[dict[str, float]]:
        """Enrols everyone, runs this many rounds, and gives each round's figures; raises TillguardError where it takes too long."""
        for process in self._participants.values():
            process.enrol(allow_robust=True)
        self._until(lambda: len(self._state.waiting) == len(self._participants))
        for fingerprint, one in list(self._state.waiting.items()):
            self._order(Order(action="approve", participant=one.name, fingerprint=fingerprint))
        self._until(lambda: len(self._state.list_approved()) == len(self._participants))
        self._order(Order(action="run", rounds=rounds))
        self._until(lambda: self._state.model.version > 0 or self._state.rounds_wanted > 0)
        self._until(lambda: self._state.rounds_wanted == 0 and self._coordinator.coordinator.attempt is None)
        told = root.load_history(self.settings, self._identity.public.fingerprint)
        return [dict(line.metrics) for line in list_rounds(told.entries)]

    @property
    def _state(self) -> CoordinatorState:
        return self._coordinator.coordinator.state

    def _order(self, order: Order) -> None:
        root.give_order(self.settings, self._identity, order)

    def _until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not done():
            if time.monotonic() > deadline:
                raise TillguardError(f"the federation over Kafka did not come on in {DEADLINE_S:g} s")
            self._coordinator.run_once(POLL_S)
            for process in self._participants.values():
                process.run_once(POLL_S)

    def _open(self, identity: str, *, exclusive: bool = False) -> KafkaTransport:
        transport = KafkaTransport(self.settings, identity, exclusive=exclusive)
        self._transports.append(transport)
        return transport

    def _participant(self, name: str, learner: Learner) -> ParticipantProcess:
        identity = Identity.generate(name)
        own = self.settings.participant.model_copy(
            update={"coordinator_fingerprint": self._identity.public.fingerprint}
        )

        def assemble(state: ParticipantState) -> Participant:
            return Participant(identity, self.settings.name, own, state)

        return ParticipantProcess(
            identity,
            self.settings.name,
            self._open(name),
            MemoryStore(),
            self._clock,
            learner=learner,
            assemble=assemble,
        )
