"""A simulated federation from its description to its results: what happened in each round, to whom, and what it cost. Pure but for time.

The coordinator's and participants' code is the product's own; only the logs are in memory and time is virtual. Durations of
rounds are virtual milliseconds (delays and deadlines), the processor's seconds are measured next to them.
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from contract.federation.settings import FederationSettings, ParticipantSettings, RoundSettings
from federation.audit.history import CohortLine, LogReader, decode_content, group_by_cohort, list_rounds
from federation.coordinator.server_update import EVALUATED_APART_MAX
from federation.learning.learner import Arrays, Learner
from federation.messages.global_weights import GlobalWeights
from federation.numeric.tensors import unflatten
from federation.simulation.world import World
from federation.transports.memory import Faults, MemoryTransport

FIGURES = ("auc", "ap", "accuracy", "loss")


class ParticipantFacts(Struct, frozen=True, kw_only=True):
    """What a simulation knows of a participant, and no coordinator would."""

    name: str
    examples: int
    frauds: int
    local: dict[str, float]
    """Of a model that it trained alone, for as many epochs."""
    adopted: str = ""
    bytes_up: int = 0
    federated: dict[str, float] = msgspec.field(default_factory=dict)
    """Of the last global model on its own newest examples."""
    reputation: float | None = None
    """Mode robust: by what its updates did; None: nothing is known of single ones."""

    @property
    def fraud_share(self) -> float:
        """Frauds of all its examples."""
        return self.frauds / self.examples if self.examples else 0.0


class RoundFacts(Struct, frozen=True, kw_only=True):
    """One round."""

    round: int
    outcome: str
    attempts: int
    participants: int
    virtual_ms: int
    cpu_s: float
    bytes_up: int
    """Sent by all participants together."""
    bytes_down: int
    """Sent by the coordinator; every participant reads it."""
    figures: dict[str, float]
    """Of the global model after it, on data that nobody trained on."""
    change: float | None = None
    """Of the average precision, against the training before."""
    cohort: tuple[str, ...] = ()
    """Whose updates are in the model."""


class Results(Struct, frozen=True, kw_only=True):
    """Everything that a simulation found."""

    title: str
    seed: int
    mode: str
    strategy: str
    rounds: list[RoundFacts]
    by_cohort: list[CohortLine] = msgspec.field(default_factory=list)
    participants: list[ParticipantFacts]
    central: dict[str, float]
    """Of a model trained on everybody's examples in one place, for as many epochs in all."""
    cross_site: dict[str, dict[str, float]]
    """Average precision of each one's model, trained alone, on each one's newest examples, where those hold both labels."""
    dropped: dict[str, int]
    crashes: int
    ledger_holds: bool
    ledger_entries: int
    privacy: dict[str, Any]


class Simulated(Struct, frozen=True, kw_only=True):
    """What is to be simulated."""

    title: str
    seed: int
    rounds: int
    settings: FederationSettings
    faults: Faults
    participant_crash: float
    coordinator_crash: float
    """Probability that the coordinator is killed in a round, at some append."""
    evaluated_apart_max: int = EVALUATED_APART_MAX
    """Up to this many participants the model is also evaluated without each one, where updates are single; see federation.coordinator.server_update."""


def make_willing(rounds: RoundSettings) -> FederationSettings:
    """With participants that take part in whatever is to be tried."""
    participant = ParticipantSettings(allow_robust=True, epsilon_max=1000, delta_max=rounds.privacy.delta)
    return FederationSettings(rounds=rounds, participant=participant)


def simulate(
    wanted: Simulated,
    learners: Mapping[str, Learner],
    model: GlobalWeights,
    *,
    evaluate: Callable[[Arrays], dict[str, float]],
    facts: Sequence[ParticipantFacts],
    central: dict[str, float],
    cross_site: dict[str, dict[str, float]] | None = None,
    progress: Callable[[RoundFacts], None] = lambda _facts: None,
) -> Results:
    """Runs it; the same description gives the same rounds."""
    world = World(
        wanted.settings,
        learners,
        model,
        seed=wanted.seed,
        faults=wanted.faults,
        evaluate=evaluate,
        participant_crash=wanted.participant_crash,
        evaluated_apart_max=wanted.evaluated_apart_max,
    )
    world.enrol_all()
    chance = random.Random(wanted.seed + 1)  # noqa: S311 - where crashes fall, drawn again from the same seed
    reader = LogReader(MemoryTransport(world.broker, "reader"), wanted.settings.name, world.identity.public.fingerprint)
    rounds: list[RoundFacts] = []
    for _ in range(wanted.rounds):
        if chance.random() < wanted.coordinator_crash:
            _crash(world, chance)
        rounds.append(_one_round(world, reader))
        progress(rounds[-1])
    told = reader.read()
    plans = [decode_content(entry)["privacy"] for entry in told.entries if entry.kind == "plan"]
    return Results(
        title=wanted.title,
        seed=wanted.seed,
        mode=wanted.settings.rounds.mode,
        strategy=wanted.settings.rounds.strategy.name,
        rounds=rounds,
        by_cohort=group_by_cohort(list_rounds(told.entries)),
        participants=[
            msgspec.structs.replace(
                one,
                adopted=world.state.adoptions.get(one.name, ""),
                bytes_up=world.broker.bytes_in.get(one.name, 0),
                federated=learners[one.name].judge([_last(world)])[0],
                reputation=world.state.reputations.get(one.name),
            )
            for one in facts
        ],
        central=central,
        cross_site=cross_site or {},
        dropped=dict(sorted(world.drops.items())),
        crashes=world.crashes,
        ledger_holds=told.audit.holds,
        ledger_entries=len(told.entries),
        privacy=plans[-1] if plans else {},
    )


def _last(world: World) -> Arrays:
    return unflatten(world.state.model.shapes, world.state.model.payload)


def _crash(world: World, chance: random.Random) -> None:
    transport = world.coordinator.transport
    if isinstance(transport, MemoryTransport):
        if chance.random() < 0.5:
            transport.crash_before = chance.randint(1, 8)
        else:
            transport.crash_after = chance.randint(1, 8)


def _one_round(world: World, reader: LogReader) -> RoundFacts:
    began_ms, began_s = world.broker.now_ms, time.process_time()
    before = dict(world.broker.bytes_in)
    world.run_rounds(1)
    told = reader.read()
    lines = list_rounds(told.entries)
    # An order of one round is one training; statistics may come before it, and calibration after.
    trainings = [
        entry.round for entry in told.entries if entry.kind == "plan" and decode_content(entry)["purpose"] == "training"
    ]
    number = trainings[-1] if trainings else world.state.round_number
    line = next((one for one in reversed(lines) if one.round == number), None)
    sent = {name: total - before.get(name, 0) for name, total in world.broker.bytes_in.items()}
    down = sent.pop("coordinator", 0)
    sent.pop("operator", 0)
    return RoundFacts(
        round=number,
        outcome=line.outcome if line is not None else "not begun",
        attempts=line.attempts if line is not None else 0,
        participants=line.participants if line is not None else 0,
        virtual_ms=world.broker.now_ms - began_ms,
        cpu_s=time.process_time() - began_s,
        bytes_up=sum(sent.values()),
        bytes_down=down,
        figures=dict(line.metrics) if line is not None else {},
        change=line.change if line is not None else None,
        cohort=line.cohort if line is not None else (),
    )
