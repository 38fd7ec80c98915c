"""What becomes of a masked round when participants vanish, the coordinator is killed, and messages go wrong.

Every case runs the product's coordinator and ten participants over logs in memory, in virtual time. A round has to end with a
model, or be refused with a reason; where nothing is lost for good, the model is the one of the calm run but for the rounding.
"""

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np

from bench.federation import trial
from bench.federation.local import Course, start
from bench.table import Row
from contract.federation.fields import Stage
from contract.federation.frames import Frame, Probe
from contract.federation.settings import FederationSettings, ParticipantSettings
from federation.audit.history import list_rounds, read_history
from federation.audit.ledger import verify_chain
from federation.learning.numpy_learner import NumpyLearner, list_shapes
from federation.messages.global_weights import GlobalWeights
from federation.numeric.tensors import flatten
from federation.secagg.graph import compute_threshold
from federation.simulation.data import divide, generate_transactions
from federation.simulation.world import TURNS_MAX, World
from federation.transports.memory import Faults, MemoryTransport
from federation.transports.ports import Outgoing

PARTICIPANTS = 10
LOST_MAX = PARTICIPANTS - compute_threshold(PARTICIPANTS, complete=True)
EXAMPLES, FEATURES, FRAUD_SHARE = 2_000, 8, 0.1
COURSE = Course(rounds=1, epochs=1, batch_size=64, hidden=(8,), dropout=0.0)
STAGES: tuple[Stage, ...] = ("keys", "shares", "updates", "unmasking")
SAME = 1e-5
"""Two runs of a round differ by the fixed point's rounding only."""
APPENDS_MAX = 30
FRAMES: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)
STORM = Faults(loss=0.01, delay_ms_max=3_000, duplication=0.3, damage=0.02)
STORM_ROUNDS, STORM_CRASH = 5, 0.002


class Told(NamedTuple):
    """What the coordinator's ledger says."""

    outcomes: list[str]
    holds: bool


def build_world(seed: int = 7, faults: Faults | None = None, crash: float = 0.0, cohort_min: int = 3) -> World:
    """A federation whose participants are all enrolled."""
    parts = divide(generate_transactions(EXAMPLES, FEATURES, FRAUD_SHARE, COURSE.seed), PARTICIPANTS, 5.0, COURSE.seed)
    rounds = trial.build_advised_settings(COURSE).model_copy(update={"cohort_min": cohort_min})
    made = World(
        FederationSettings(rounds=rounds, participant=ParticipantSettings(allow_robust=True)),
        {
            name: NumpyLearner(bank.own, bank.newest, seed=number)
            for number, (name, bank) in enumerate(trial.build_banks(parts, COURSE.seed).items())
        },
        GlobalWeights(
            version=0,
            shapes=list_shapes(FEATURES, COURSE.hidden),
            payload=flatten(start(FEATURES, COURSE)).tobytes(),
        ),
        seed=seed,
        faults=faults,
        participant_crash=crash,
    )
    made.enrol_all()
    return made


def read_told(of: World) -> Told:
    """By round."""
    found = read_history(MemoryTransport(of.broker, "reader"), of.settings.name, of.identity.public.fingerprint)
    return Told([line.outcome for line in list_rounds(found.entries)], verify_chain(found.entries).holds)


def is_same(one: World, other: World) -> bool:
    """Whether both have the same model of the same version."""
    models = [np.frombuffer(each.state.model.payload, dtype="<f4") for each in (one, other)]
    return one.state.model.version == other.state.model.version and bool(
        np.allclose(models[0], models[1], rtol=0, atol=SAME)
    )


def run_with_vanished(stage: Stage, count: int) -> World:
    """A round in which `count` participants vanish as soon as `stage` is open; one attempt that fails is tried again."""
    made = build_world()
    names = iter(sorted(made.participants)[:count])

    def strike() -> bool:
        attempt = made.coordinator.coordinator.attempt
        if attempt is None or attempt.state.stage != stage:
            return False
        made.kill(list(names))
        return True

    _begin(made, strike)
    made.run_until(lambda: made.state.rounds_wanted == 0 and made.coordinator.coordinator.attempt is None)
    return made


def _begin(made: World, strike: Callable[[], bool]) -> None:
    """Orders a round; after the coordinator's turn in which `strike` strikes, the round continues."""
    made.order_rounds(1)
    for _ in range(TURNS_MAX):
        read = made.take_coordinator_turn()
        if strike():
            return
        read += made.take_participants_turn()
        if not read:
            made.advance(500)
    raise AssertionError("the stage did not come")


def run_with_kills(moment: str) -> tuple[int, int]:
    """At how many appends the coordinator was killed (`before` or `after` them), and how often the model was the calm run's."""
    calm = build_world()
    calm.run_rounds(1)
    right = 0
    for number in range(1, APPENDS_MAX):
        struck = build_world()
        setattr(struck.coordinator.transport, f"crash_{moment}", number)
        struck.run_rounds(1)
        if not struck.crashes:
            return number - 1, right
        right += is_same(struck, calm) and read_told(struck).holds
    return APPENDS_MAX - 1, right


def run_with_replays() -> tuple[World, World, int]:
    """Two rounds in which, between them, all that participants ever said comes again, changed and unchanged; and calm ones.

    Probes are left out: a probe says nothing, so an inbox passes over it and counts no drop.
    """
    calm, struck = build_world(), build_world()
    for each in (calm, struck):
        each.run_rounds(1)
    written = struck.broker.read("updates", 0, struck.broker.find_bounds("updates")[1])
    said = [record for record in written if not isinstance(FRAMES.decode(record.value), Probe)]
    chance = np.random.default_rng(7)
    for record in said:
        forged = bytearray(record.value)
        forged[int(chance.integers(len(forged)))] ^= 1
        for value in (record.value, bytes(forged), record.value[: len(record.value) // 2]):
            struck.broker.take([Outgoing("updates", record.key, value)], "stranger", exclusive=False)
    for each in (calm, struck):
        each.run_rounds(1)
    return calm, struck, 3 * len(said)


def _yes(measure: str, value: bool, target: str) -> Row:
    return Row(measure, float(value), "", target=target, holds=value)


def measure(*, quick: bool) -> list[Row]:
    """All cases; quick leaves the coordinator's death to one kind of moment."""
    rows = []
    for stage in STAGES:
        done = read_told(run_with_vanished(stage, LOST_MAX))
        rows.append(
            _yes(f"{LOST_MAX} of {PARTICIPANTS} vanish in stage {stage}: {done.outcomes[-1]}",
                 done.holds and done.outcomes[-1] == "model 1", "a model")
        )  # fmt: skip
        trial.say(rows[-1].measure)
    for stage in STAGES if not quick else ("updates",):
        done = read_told(run_with_vanished(stage, LOST_MAX + 4))
        ended = done.outcomes[-1].startswith(("model ", "failed: "))
        rows.append(
            _yes(f"{LOST_MAX + 4} vanish in stage {stage}: {done.outcomes[-1]}", done.holds and ended,
                 "a model of those who stay, or a reason")
        )  # fmt: skip
        trial.say(rows[-1].measure)
    for moment in ("before",) if quick else ("before", "after"):
        moments, right = run_with_kills(moment)
        rows.append(
            Row(
                f"coordinator killed {moment} an append, same model", right, "moments", moments, right / moments,
                "every moment", right == moments > 0,
            )
        )  # fmt: skip
    calm, struck, sent = run_with_replays()
    dropped = sum(struck.drops.values()) - sum(calm.drops.values())
    rows.append(
        Row(
            "replayed, forged and cut messages that did not count",
            dropped,
            "",
            sent,
            dropped / sent,
            "all",
            dropped == sent,
        )
    )
    rows.append(_yes("after them the model is the calm run's", is_same(calm, struck) and read_told(struck).holds, "1"))
    stormy = build_world(faults=STORM, crash=STORM_CRASH)
    stormy.run_rounds(STORM_ROUNDS)
    done = read_told(stormy)
    fine = sum(outcome.startswith("model ") for outcome in done.outcomes)
    over = fine + sum(outcome.startswith("failed: ") for outcome in done.outcomes)
    rows.append(
        Row("storm: rounds that ended right or with a reason", over, "rounds", STORM_ROUNDS, over / STORM_ROUNDS,
            "all", over == STORM_ROUNDS and done.holds)
    )  # fmt: skip
    rows.append(Row("storm: of them with a model", fine, "rounds", over, fine / max(over, 1)))
    rows.append(Row("storm: processes killed", stormy.crashes, ""))
    return rows
