"""FedBuff: a full buffer is a step, nobody is waited for, and an update that comes late still counts, once."""

import json

import pytest

from contract.federation.settings import RobustSettings, StrategySettings
from federation.simulation.world import World
from federation.transports.memory import Faults
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world


@pytest.fixture
def world() -> World:
    settings = small_settings(
        "robust",
        strategy=StrategySettings(name="fedbuff", buffer_size=3, staleness_max=4),
        robust=RobustSettings(rule="mean", byzantine_max=0, weight_max=1.0),
        keys={"min_s": 0, "max_s": 60},
    )
    made = small_world(settings, 6, faults=Faults(delay_ms_max=4_000))
    made.enrol_all()
    return made


def test_each_step_takes_a_full_buffer_and_late_updates_count_in_later_ones(world: World) -> None:
    world.run_rounds(6)
    models = [json.loads(entry.content) for entry in ledger_of(world) if entry.kind == "global_model" and entry.round]
    assert [model["participants"] for model in models] == [3] * 6
    assert world.state.model.version == 6
    for names in world.state.counted.values():
        assert len(set(names)) == len(names), "an update counts once"
    assert max(map(len, world.state.counted.values())) > 3, "late ones counted for the round that they began in"
    assert len(world.state.counted) <= 5


def test_after_a_crash_nothing_late_counts_twice(world: World) -> None:
    world.run_rounds(2)
    before = {number: list(names) for number, names in world.state.counted.items()}
    world.restart_coordinator()
    assert world.state.counted == before
    world.run_rounds(2)
    assert world.state.model.version == 4
    for names in world.state.counted.values():
        assert len(set(names)) == len(names)
