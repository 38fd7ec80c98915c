"""FedBuff: training outlasts its round. The update still counts, once, and the less the older what it began from."""

from collections.abc import Callable
from typing import Any

import pytest

from contract.federation.settings import RobustSettings, StrategySettings
from federation.coordinator import robust
from federation.learning.learner import Learner, Task, Trained
from federation.numeric.strategies import compute_staleness_weight
from federation.simulation.world import World
from support.federation_kinds import Heading, headings_of
from support.federation_world import small_settings, small_world

SLOW = "shop-0"
QUICK = ["shop-1", "shop-2", "shop-3"]
"""They fill the buffer of every round while the slow one trains for the first."""
BEHIND = 4
"""This many rounds: more than models are kept by a participant."""


class SlowOnce:
    """A learner whose first training takes as long as `meanwhile` continues."""

    def __init__(self, honest: Learner, meanwhile: Callable[[], None]) -> None:
        self._honest = honest
        self._meanwhile: Callable[[], None] | None = meanwhile

    def train(self, task: Task) -> Trained:
        result = self._honest.train(task)
        meanwhile, self._meanwhile = self._meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)


def made(staleness_max: int) -> World:
    settings = small_settings(
        "robust",
        strategy=StrategySettings(name="fedbuff", buffer_size=3, staleness_max=staleness_max),
        robust=RobustSettings(rule="mean", byzantine_max=0, weight_max=1.0),
        keys={"min_s": 0, "max_s": 60},
    )
    world = small_world(settings, 6)
    world.enrol_all()

    def meanwhile() -> None:
        while world.state.round_number <= BEHIND:
            for name in QUICK:
                world.participants[name].run_once(0.0)
            world.take_coordinator_turn()
            world.advance(1_000)

    world._learners[SLOW] = SlowOnce(world._learners[SLOW], meanwhile)
    world.restart_participant(SLOW)
    return world


@pytest.fixture
def staleness(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What late updates were weighed by."""
    seen: list[int] = []
    weigh = compute_staleness_weight

    def watched(models: int) -> float:
        seen.append(models)
        return weigh(models)

    monkeypatch.setattr(robust, "compute_staleness_weight", watched)
    return seen


def sent_by_the_slow_one(world: World) -> list[Heading]:
    found = headings_of(record.value for record in world.broker.read("updates", 0, 100_000))
    return [one for one in found if one.sender == SLOW and one.kind == "update"]


def test_an_update_whose_training_outlasts_its_round_counts_once_for_the_models_it_missed(staleness: list[int]) -> None:
    world = made(staleness_max=BEHIND)
    world.run_rounds(BEHIND + 1)
    assert world.state.model.version == BEHIND + 1
    assert sent_by_the_slow_one(world)[0] == Heading(SLOW, "update", 1, 0)
    assert staleness == [BEHIND], "it began this many models ago"
    assert sent_by_the_slow_one(world).count(Heading(SLOW, "update", 1, 0)) == 1
    assert world.state.counted[1] == [*QUICK, SLOW]


def test_one_that_is_older_than_the_plan_allows_does_not_count(staleness: list[int]) -> None:
    world = made(staleness_max=BEHIND - 1)
    world.run_rounds(BEHIND + 1)
    assert world.state.model.version == BEHIND + 1
    assert sent_by_the_slow_one(world)[0] == Heading(SLOW, "update", 1, 0)
    assert staleness == []
    assert world.drops["wrong_round"] >= 1
