"""Every strategy in whole rounds: its memory goes from round to round, and a kill of the coordinator takes none of it."""

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.federation.settings import LocalTrainingSettings, StrategySettings
from federation.numeric import strategies
from federation.numeric.strategies import ServerState
from federation.simulation.world import World
from support.federation_ledger import ledger_of
from support.federation_world import killed_at_each_append, small_settings, small_world, weights_of

STRATEGIES = {
    "fedavg": StrategySettings(name="fedavg"),
    "fedprox": StrategySettings(name="fedprox", proximal_mu=5.0),
    "fedadam": StrategySettings(name="fedadam", learning_rate=0.01),
    "fedyogi": StrategySettings(name="fedyogi", learning_rate=0.01),
    "fedavgm": StrategySettings(name="fedavgm"),
}
ROUNDS = 2
Vector = NDArray[np.float32]


def made(name: str) -> World:
    world = small_world(
        small_settings(
            "robust",
            strategy=STRATEGIES[name],
            robust={"rule": "mean", "byzantine_max": 0, "weight_max": 1.0},
            training=LocalTrainingSettings(epochs=3, learning_rate=0.01),
        ),
        4,
        examples=600,
    )
    world.enrol_all()
    return world


@lru_cache
def calm(name: str) -> tuple[Vector, Vector]:
    """The models after one round and after two, nothing going wrong."""
    world, found = made(name), []
    for _ in range(ROUNDS):
        world.run_rounds(1)
        found.append(weights_of(world))
    return found[0], found[1]


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "fedavg"])
def test_a_coordinator_killed_at_any_append_of_two_rounds_ends_with_the_same_model(name: str) -> None:
    struck = 0
    # Plan, end of the stage, evaluation and publication, twice.
    for world in killed_at_each_append(lambda: made(name), ROUNDS):
        struck += 1
        np.testing.assert_allclose(weights_of(world), calm(name)[1], atol=1e-6)
        assert [entry.kind for entry in ledger_of(world)].count("plan") == ROUNDS
    assert struck == 4 * ROUNDS


@pytest.mark.parametrize("name", ["fedadam", "fedyogi", "fedavgm"])
def test_the_second_step_is_taken_with_what_the_first_one_left_though_the_coordinator_died_between(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[tuple[ServerState, ServerState]] = []
    step = strategies.apply_step

    def watched(settings: StrategySettings, state: ServerState, model: Any, update: Any) -> tuple[Any, ServerState]:
        moved, after = step(settings, state, model, update)
        taken.append((state, after))
        return moved, after

    monkeypatch.setattr(strategies, "apply_step", watched)
    world = made(name)
    world.run_rounds(1)
    world.restart_coordinator()
    world.run_rounds(1)
    assert len(taken) == ROUNDS
    assert taken[1][0] == taken[0][1]
    assert taken[1][0] != taken[0][0], "it is no longer what it began with"
    np.testing.assert_allclose(weights_of(world), calm(name)[1], atol=1e-6)


def test_a_proximal_term_holds_local_training_to_the_global_model() -> None:
    start = weights_of(made("fedavg"))
    moved = {name: float(np.linalg.norm(calm(name)[0] - start)) for name in ("fedavg", "fedprox")}
    assert moved["fedprox"] < 0.95 * moved["fedavg"]
