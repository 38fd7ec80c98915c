"""Participants that lie about their updates: what robust rounds make of them."""

import json
from collections.abc import Sequence

import numpy as np
import pytest

from contract.federation.settings import RobustSettings
from federation.coordinator.reputation import count_shapley_evaluations
from federation.coordinator.server_update import EVALUATIONS_MAX
from federation.learning.learner import Adopted, Arrays, Learner, Task, Trained
from federation.simulation.world import World
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world

LIARS = ("shop-1", "shop-6")


class Liar:
    """Sends the negative of what it learned, a hundred times over; else an honest learner."""

    def __init__(self, honest: Learner) -> None:
        self._honest = honest

    def train(self, task: Task) -> Trained:
        result = self._honest.train(task)
        flipped = [
            (base - 100 * (array - base)).astype(np.float32)
            for base, array in zip(task.base, result.arrays, strict=True)
        ]
        return result._replace(arrays=flipped)

    def judge(self, models: Sequence[Arrays]) -> list[dict[str, float]]:
        return self._honest.judge(models)

    def summarise(self, task: Task) -> Trained:
        return self._honest.summarise(task)

    def adopt(self, model_version: int, arrays: Arrays, *, trainings: int) -> Adopted:
        return self._honest.adopt(model_version, arrays, trainings=trainings)


def last_ap(rule: str, *, liars: bool) -> tuple[float, World]:
    robust = RobustSettings(rule=rule, byzantine_max=2, weight_max=0.2)
    world = small_world(
        small_settings("robust", robust=robust, clip_norm=2.0), 10, lying=LIARS if liars else (), liar=Liar
    )
    world.enrol_all()
    world.run_rounds(6)
    figures = [json.loads(entry.content)["metrics"] for entry in ledger_of(world) if entry.kind == "evaluated"]
    return figures[-1]["ap"], world


@pytest.mark.parametrize("rule", ["median", "trimmed_mean", "krum", "multi_krum", "geometric_median"])
def test_two_liars_of_ten_cost_a_robust_round_little(rule: str) -> None:
    honest, _ = last_ap(rule, liars=False)
    attacked, world = last_ap(rule, liars=True)
    assert attacked >= 0.9 * honest
    assert world.state.model.version == 6


def test_whoever_harms_the_model_loses_its_reputation() -> None:
    _, world = last_ap("mean", liars=True)
    standing = world.state.reputations
    honest = [value for name, value in standing.items() if name not in LIARS]
    assert max(standing[name] for name in LIARS) < min(honest)


@pytest.mark.parametrize("rule", ["geometric_median", "multi_krum"])
def test_of_more_participants_than_are_left_out_one_by_one_the_orders_show_who_harms(rule: str) -> None:
    robust = RobustSettings(rule=rule, byzantine_max=2, weight_max=0.2)
    evaluated: list[int] = []
    world = small_world(
        small_settings("robust", robust=robust, clip_norm=2.0), 8, lying=LIARS, liar=Liar, evaluated_apart_max=4
    )
    server_update = world._server_update
    measure = server_update._evaluate
    assert measure is not None

    def counted(arrays: Arrays) -> dict[str, float]:
        evaluated.append(1)
        return measure(arrays)

    server_update._evaluate = counted
    world.enrol_all()
    world.run_rounds(2)
    standing = world.state.reputations
    assert max(standing[name] for name in LIARS) < min(standing[name] for name in standing.keys() - set(LIARS))
    assert 2 * count_shapley_evaluations(8) <= len(evaluated) <= 2 * (EVALUATIONS_MAX + 1)


def test_without_data_of_its_own_the_coordinator_still_sees_who_pulls_against_the_rest() -> None:
    settings = small_settings("robust", robust=RobustSettings(rule="geometric_median", byzantine_max=2))
    world = small_world(settings, 8, lying=LIARS, liar=Liar, evaluate=None)
    world.enrol_all()
    world.run_rounds(3)
    standing = world.state.reputations
    assert all(
        "ap" not in json.loads(entry.content)["metrics"] for entry in ledger_of(world) if entry.kind == "evaluated"
    )
    assert max(standing[name] for name in LIARS) < min(standing[name] for name in standing.keys() - set(LIARS))
    masked = small_world(small_settings("masked"), 4, evaluate=None)
    masked.enrol_all()
    masked.run_rounds(1)
    assert masked.state.reputations == {}, "of a sum nobody's part is known"
