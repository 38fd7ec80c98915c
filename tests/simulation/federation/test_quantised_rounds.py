"""Quantised updates in rounds: what rounding took away is owed, until an update that counted has paid it."""

import json
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.federation.messages import Update
from contract.federation.settings import CompressionSettings
from federation.learning.learner import Task, Trained
from federation.learning.numpy_learner import NumpyLearner
from federation.messages.inbox import Inbox
from federation.numeric.compression import decompress
from federation.numeric.tensors import flatten
from federation.simulation.world import World
from federation.transports.ports import Outgoing
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world

BITS: Literal[4] = 4
WATCHED = "shop-2"
Vector = NDArray[np.float64]


class Remembers:
    """A learner that keeps how far each round's training went."""

    def __init__(self, honest: NumpyLearner) -> None:
        self._honest = honest
        self.moved: dict[int, Vector] = {}
        self.adopt, self.judge, self.summarise = honest.adopt, honest.judge, honest.summarise

    def train(self, task: Task) -> Trained:
        result = self._honest.train(task)
        self.moved[task.round] = flatten(result.arrays).astype(np.float64) - flatten(task.base).astype(np.float64)
        return result


@pytest.fixture
def world() -> World:
    made = small_world(
        small_settings(
            "robust",
            robust={"rule": "mean", "byzantine_max": 0, "weight_max": 1.0},
            compression=CompressionSettings(bits=BITS),
            clip_norm=1_000.0,
        ),
        4,
    )
    learner = made._learners[WATCHED]
    assert isinstance(learner, NumpyLearner)
    made._learners[WATCHED] = Remembers(learner)
    made.restart_participant(WATCHED)
    made.enrol_all()
    return made


def owed(world: World) -> Vector:
    residual = world.participants[WATCHED].participant.updates._residual
    return np.zeros(1) if residual is None else residual.astype(np.float64)


def counted(world: World) -> dict[int, Vector]:
    """By round: what the coordinator had of the watched one in an attempt that became a model."""
    entries = ledger_of(world)
    models = {(entry.round, entry.attempt) for entry in entries if entry.kind == "global_model"}
    with_it = {
        (entry.round, entry.attempt)
        for entry in entries
        if entry.kind == "stage_over" and WATCHED in json.loads(entry.content)["members"]
    }
    inbox, found = Inbox(world.settings.name, world.identity), {}
    for record in world.broker.read("updates", 0, 100_000):
        if record.key.decode() != WATCHED:
            continue
        for opened in inbox.take(
            record.value, roster=lambda name: world.identities[name].public, now_ms=record.appended_ms
        ):
            place = (opened.envelope.round, opened.envelope.attempt)
            if isinstance(opened.message, Update) and place in models & with_it:
                size = sum(int(np.prod(shape.shape)) for shape in world.state.model.shapes)
                found[place[0]] = decompress(opened.message.payload, size, BITS).astype(np.float64)
    return found


def assert_all_is_paid_or_owed(world: World, rounds: Sequence[int]) -> None:
    """What counted so far, and what is still owed, are together what training gave in the rounds that counted."""
    learner, paid = world._learners[WATCHED], counted(world)
    assert isinstance(learner, Remembers)
    assert sorted(paid) == list(rounds)
    given = sum(learner.moved[number] for number in rounds)
    np.testing.assert_allclose(sum(paid.values()) + owed(world), given, atol=1e-6)
    assert np.abs(owed(world)).max() > 1e-5, "four bits do lose something"


def test_what_rounding_takes_from_one_update_is_in_the_next(world: World) -> None:
    world.run_rounds(3)
    assert_all_is_paid_or_owed(world, [1, 2, 3])


def test_a_failed_attempt_pays_nothing_and_owes_nothing(world: World) -> None:
    world.run_rounds(1)
    before = owed(world)
    gone = {name: world.participants.pop(name) for name in ("shop-0", "shop-1")}
    world.order_rounds(1)
    world.run_until(lambda: world.state.attempt == 2)  # the second attempt is under way
    np.testing.assert_array_equal(owed(world), before)
    world.participants |= gone
    world.run_until(lambda: world.coordinator.coordinator.idle)
    world.take_turn()
    assert [entry.attempt for entry in ledger_of(world) if entry.kind == "global_model" and entry.round == 2] == [1]
    assert_all_is_paid_or_owed(world, [1, 2])


def test_an_update_that_came_too_late_pays_nothing(world: World) -> None:
    world.run_rounds(1)
    transport = world.participants[WATCHED]._transport
    append, held = transport.append, list[Outgoing]()
    transport.append = held.extend  # type: ignore[method-assign,assignment]
    world.order_rounds(1)
    world.run_until(lambda: world.coordinator.coordinator.idle)
    world.take_turn()
    transport.append = append  # type: ignore[method-assign]
    assert held, "it had trained, and sent"
    append(held)
    world.take_turn()
    assert world.drops["wrong_round"] >= 1
    world.run_rounds(1)
    assert world.state.model.version == 3
    assert_all_is_paid_or_owed(world, [1, 3])
