"""A participant killed at every place of a round, in memory: the round ends with the right sum, and counts nobody twice."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from federation.learning.learner import Learner, Task, Trained
from federation.simulation.world import World
from federation.transports.memory import CrashError
from federation.transports.ports import Outgoing
from support.federation_kinds import headings_of
from support.federation_ledger import ledger_of
from support.federation_proof import assert_counted_once, members_of, participants_of
from support.federation_world import small_settings, small_world, weights_of

VICTIM = "shop-1"
SAID = {"masked": ("keys", "shares", "masked_update", "unmasking", "adoption"), "robust": ("update", "adoption")}
CASES = [
    *((mode, kind, moment) for mode, kinds in SAID.items() for kind in kinds for moment in ("before", "after")),
    *((mode, "training", "during") for mode in SAID),
]
SENT = {"masked": "masked_update", "robust": "update"}
"""Once it stands on the log its sender has a part in the sum."""


def made(mode: str, **rounds: Any) -> World:
    world = small_world(small_settings(mode, robust={"rule": "mean", "weight_max": 1.0}, **rounds), 4)
    world.enrol_all()
    return world


@lru_cache
def expected(mode: str, *, without_victim: bool) -> NDArray[np.float32]:
    """The model after one round in which nothing goes wrong."""
    world = made(mode)
    if without_victim:
        world.kill([VICTIM])
    world.run_rounds(1)
    return weights_of(world)


def dies_at(world: World, name: str, kind: str, moment: str) -> None:
    """The participant's next message of this kind is its last, or never stands on the log."""
    transport = world.participants[name]._transport
    append = transport.append

    def dying(records: Sequence[Outgoing]) -> int:
        meant = any(one.kind == kind for one in headings_of(record.value for record in records))
        if meant and moment == "before":
            raise CrashError
        appended_ms = append(records)
        if meant:
            raise CrashError
        return appended_ms

    transport.append = dying  # type: ignore[method-assign]


class DiesOnce:
    """A learner in whose first training the process is killed; else an honest one."""

    def __init__(self, honest: Learner) -> None:
        self._honest = honest
        self.died = 0

    def train(self, task: Task) -> Trained:
        if not self.died:
            self.died = 1
            raise CrashError
        return self._honest.train(task)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)


def said_by(world: World, name: str, round_number: int) -> list[str]:
    """Kinds, in their order; an adoption names no round."""
    found = headings_of(record.value for record in world.broker.read("updates", 0, 100_000))
    return [
        one.kind for one in found if one.sender == name and one.round in (round_number, 0) and one.kind != "enrolment"
    ]


@pytest.mark.parametrize(("mode", "kind", "moment"), CASES)
def test_the_round_ends_with_the_sum_of_those_who_sent_and_the_next_one_has_everybody(
    mode: str, kind: str, moment: str
) -> None:
    world = made(mode)
    if kind == "training":
        world._learners[VICTIM] = DiesOnce(world._learners[VICTIM])
        world.restart_participant(VICTIM)
        world.crashes = 0
    else:
        dies_at(world, VICTIM, kind, moment)
    world.run_rounds(1)
    world.take_turn()
    assert world.crashes == 1, "it was killed, once"
    before_it = SAID[mode] if kind == "training" else SAID[mode][: SAID[mode].index(kind) + (moment == "after")]
    said = said_by(world, VICTIM, 1)
    assert tuple(said[: len(before_it)]) == before_it
    assert set(said[len(before_it) :]) <= {"adoption"}, "in that attempt it says nothing more, and nothing again"
    counted = SENT[mode] in before_it
    assert world.state.model.version == 1
    np.testing.assert_allclose(weights_of(world), expected(mode, without_victim=not counted), atol=1e-6)
    closed = members_of(ledger_of(world), 1)
    assert_counted_once(ledger_of(world), 1)
    assert (VICTIM in closed[2 if mode == "masked" else 0]) is counted
    assert participants_of(world) == [3 + counted]
    assert world.state.adoptions[VICTIM].split(" ")[1] == "1", "what it did with the model is known"
    world.run_rounds(1)
    assert participants_of(world)[1] == 4
