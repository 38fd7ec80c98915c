"""The privacy budget: in the ledger before a round runs, never less after a crash, and refused with the numbers."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from contract.federation.messages import GlobalModel, Update
from contract.federation.settings import RoundPrivacySettings
from federation.audit.history import rebuild_privacy_ledger
from federation.learning.learner import Adopted, Arrays, Task, Trained
from federation.messages.inbox import Inbox
from federation.simulation.world import World
from federation.transports.memory import MemoryTransport
from support.federation_ledger import ledger_of
from support.federation_world import asking, small_model, small_settings, small_world
from support.lying_coordinator import Ear

PRIVACY = RoundPrivacySettings(level="client", noise_multiplier=4.0, epsilon_max=2.0)


def private_world(privacy: RoundPrivacySettings = PRIVACY, **options: Any) -> World:
    world = small_world(small_settings("masked", privacy=privacy), 4, **options)
    world.enrol_all()
    return world


def spent(world: World) -> float:
    return rebuild_privacy_ledger(ledger_of(world), PRIVACY).compute_epsilon()


def trainings(world: World) -> int:
    return sum(one.participant.state.joined.round == world.state.round_number for one in world.participants.values())


def test_a_round_that_would_pass_the_budget_is_refused_before_anyone_trains_with_the_numbers() -> None:
    world = private_world()
    world.run_rounds(20)
    halted = [json.loads(entry.content)["reason"] for entry in ledger_of(world) if entry.kind == "halted"]
    assert len(halted) == 1
    assert "above 2" in halted[0]
    rounds = world.state.round_number
    assert 0 < rounds < 20
    assert world.state.rounds_wanted == 0
    assert spent(world) <= 2.0
    plans = [json.loads(entry.content)["privacy"] for entry in ledger_of(world) if entry.kind == "plan"]
    assert len(plans) == rounds
    assert [plan["epsilon_before"] for plan in plans[1:]] == [plan["epsilon_after"] for plan in plans[:-1]]
    assert all(one.participant.state.joined.round == rounds for one in world.participants.values())
    assert f"from {plans[-1]['epsilon_after']:.3f} to" in halted[0]


def test_the_spend_stands_in_the_ledger_before_the_plan_and_in_the_same_transaction() -> None:
    world = private_world()
    transport = world.coordinator.transport
    assert isinstance(transport, MemoryTransport)
    seen: list[list[str]] = []
    append = transport.append

    def watched(records: "list") -> None:  # type: ignore[type-arg]
        seen.append([record.log for record in records])
        append(records)

    transport.append = watched  # type: ignore[method-assign,assignment]
    world.run_rounds(1)
    plans = [entry for entry in ledger_of(world) if entry.kind == "plan"]
    assert len(plans) == 1
    assert json.loads(plans[0].content)["release"]["noise_multiplier"] == 4.0
    assert "control" in seen[0]
    assert "ledger" in seen[0]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_whenever_the_coordinator_is_killed_the_spend_never_goes_down(moment: str) -> None:
    for number in range(1, 9):
        world = private_world()
        world.run_rounds(1)
        first = spent(world)
        transport = world.coordinator.transport
        assert isinstance(transport, MemoryTransport)
        setattr(transport, f"crash_{moment}", number)
        world.run_rounds(1)
        assert spent(world) > first
        assert len(world.state.spends) == sum(entry.kind == "plan" for entry in ledger_of(world))
        if world.crashes == 0:
            return
    raise AssertionError("no number of appends was enough for a round")


def test_a_failed_attempt_is_counted_as_well() -> None:
    world = private_world()
    world.kill(["shop-0", "shop-1"])
    world.run_rounds(1)
    assert world.state.model.version == 0
    assert len(world.state.spends) == world.settings.rounds.attempts_max
    assert spent(world) > 0


def test_a_participant_refuses_what_would_pass_its_own_budget_whatever_the_coordinator_says() -> None:
    settings = small_settings(
        "masked", privacy=RoundPrivacySettings(level="client", noise_multiplier=4.0, epsilon_max=100)
    )
    world = small_world(asking(settings, epsilon_max=1.5), 4)
    world.enrol_all()
    world.run_rounds(6)
    entries = ledger_of(world)
    assert any(
        "can still answer" in json.loads(entry.content)["reason"] for entry in entries if entry.kind == "failure"
    )
    assert 0 < world.state.model.version < 6
    for one in world.participants.values():
        assert one.participant.state.spends


def test_rounds_without_privacy_are_refused_by_a_retailer_that_asks_for_it() -> None:
    world = small_world(asking(small_settings("masked"), require_privacy=True), 4)
    world.enrol_all()
    world.run_rounds(1)
    assert world.state.model.version == 0
    assert all(one.participant.state.joined.round == -1 for one in world.participants.values()), "nobody trained"


class Counted:
    """Always learns the same, from this many examples and frauds."""

    def __init__(self, place: int, examples: int, frauds: int) -> None:
        self._place, self._examples, self._frauds = place, examples, frauds

    def train(self, task: Task) -> Trained:
        moved = [array + np.float32(0.01 * (self._place + 1)) for array in task.base]
        return Trained(moved, self._examples, self._frauds)

    def summarise(self, task: Task) -> Trained:
        raise AssertionError(f"no round here asks for {task.purpose}")

    def judge(self, models: Sequence[Arrays]) -> list[dict[str, float]]:
        raise AssertionError(f"nobody shows {len(models)} models here")

    def adopt(self, model_version: int, arrays: Arrays, *, trainings: int) -> Adopted:
        return Adopted("global", {"arrays": float(len(arrays)), "version": float(model_version)})


def told(mode: str, level: str, counts: list[tuple[int, int]]) -> tuple[bytes, float, list[tuple[int, int]]]:
    """The model, the sum of weights that is published with it, and the counts in updates: all that could tell of counts."""
    privacy = RoundPrivacySettings(level=level, noise_multiplier=4.0, epsilon_max=100.0, examples_min=500)
    settings = small_settings(mode, privacy=privacy, weight_unit=5_000.0, robust={"rule": "mean", "weight_max": 1.0})
    learners = {f"shop-{place}": Counted(place, *each) for place, each in enumerate(counts)}
    world = World(settings, learners, small_model(), seed=1)
    world.enrol_all()
    ear = Ear(world)
    world.run_rounds(1)
    updates = [opened.message for opened in ear.answers() if isinstance(opened.message, Update)]
    inbox = Inbox(settings.name, log="models")
    *_, newest = (
        opened.message
        for record in world.broker.read("models", 0, 100)
        for opened in inbox.take(record.value, roster=lambda _: world.identity.public, now_ms=record.appended_ms)
    )
    assert isinstance(newest, GlobalModel)
    assert newest.participants == len(counts)
    return newest.payload, newest.weight, [(one.examples, one.frauds) for one in updates]


@pytest.mark.parametrize("mode", ["masked", "robust"])
@pytest.mark.parametrize("level", ["client", "sample"])
def test_with_privacy_nothing_that_leaves_depends_on_how_many_examples_and_frauds_there_are(
    mode: str, level: str
) -> None:
    one, other = [(1_000, 10), (1_000, 10), (1_000, 10)], [(1_000, 10), (1_001, 11), (4_000, 0)]
    assert told(mode, level, one) == told(mode, level, other)
    assert told(mode, "none", one)[:2] != told(mode, "none", other)[:2]
