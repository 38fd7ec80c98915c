"""Who is drawn, as settings choose it: by what a participant did with the last model, or by what its updates did."""

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from contract.federation.settings import RobustSettings
from federation.learning.learner import Adopted, Arrays, Learner, Task, Trained
from federation.simulation.world import World
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world

LIAR = "shop-2"
ROUNDS = 24
STRATA = {"shop-5": "local", "shop-6": "blended"}


class Wrapped:
    """A learner of which something is changed."""

    def __init__(self, honest: Learner) -> None:
        self._honest = honest

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)


class Opposite(Wrapped):
    """Sends the opposite of what it learned."""

    def train(self, task: Task) -> Trained:
        result = self._honest.train(task)
        turned = [(2 * base - array).astype(np.float32) for base, array in zip(task.base, result.arrays, strict=True)]
        return result._replace(arrays=turned)


class Decides(Wrapped):
    """Does the same with every model."""

    def __init__(self, honest: Learner, decision: Any) -> None:
        super().__init__(honest)
        self._decision = decision

    def adopt(self, model_version: int, arrays: Arrays, *, trainings: int) -> Adopted:
        return Adopted(self._decision, self._honest.adopt(model_version, arrays, trainings=trainings).metrics)


def cohorts(world: World) -> list[list[str]]:
    return [json.loads(entry.content)["cohort"] for entry in ledger_of(world) if entry.kind == "plan"]


def drawn(selection: str) -> Counter[str]:
    robust = RobustSettings(rule="mean", byzantine_max=0, weight_max=0.5)
    settings = small_settings("robust", robust=robust, selection=selection, cohort_max=3)
    world = small_world(settings, 6, lying=[LIAR], liar=Opposite)
    world.enrol_all()
    world.run_rounds(ROUNDS)
    assert world.state.model.version == ROUNDS
    return Counter(name for cohort in cohorts(world) for name in cohort)


def test_by_reputation_a_liar_is_drawn_less_than_honest_ones_and_less_than_by_chance() -> None:
    by_reputation, by_chance = drawn("reputation"), drawn("random")
    others = [count for name, count in by_reputation.items() if name != LIAR]
    assert by_reputation[LIAR] < 0.6 * sum(others) / len(others)
    assert by_reputation[LIAR] < 0.6 * by_chance[LIAR]
    assert by_reputation[LIAR] > 0, "nobody is shut out by reputation alone"


@pytest.mark.parametrize("selection", ["stratified", "random"])
def test_in_strata_every_round_hears_all_kinds_of_participants_and_by_chance_it_does_not(selection: str) -> None:
    world = small_world(small_settings("masked", selection=selection, cohort_max=3), 7)
    for name in world.participants:
        world._learners[name] = Decides(world._learners[name], STRATA.get(name, "global"))
        world.restart_participant(name)
    world.enrol_all()
    for _ in range(5):
        world.run_rounds(1)
        world.take_turn()
    # Before the first model everyone is of one stratum.
    heard = [{STRATA.get(name, "global") for name in cohort} for cohort in cohorts(world)[1:]]
    assert len(heard) == 4
    assert all(len(strata) == 3 for strata in heard) is (selection == "stratified")
