"""What rounds say of themselves: how updates were made small and cut, what they weighed, and what each gave to the model."""

import numpy as np
import pytest

from contract.federation import RoundPlan
from contract.federation_settings import CompressionSettings
from federation.compression import unpack
from federation.learner import Trained
from federation.planning import RoundPlanning
from federation.simulated_world import World
from support.federation_world import small_settings, small_world


def next_plan(world: World) -> RoundPlan:
    world.state.rounds_wanted = 1
    plan = RoundPlanning(world.settings).plan(world.state, 0)
    assert isinstance(plan, RoundPlan)
    return plan


@pytest.mark.parametrize("level", [0, 19])
def test_updates_are_compressed_as_hard_as_the_coordinator_s_settings_say(level: int) -> None:
    settings = small_settings("robust", compression=CompressionSettings(zstd_level=level))
    world = small_world(settings, 3)
    world.enrol_all()
    participant = world.participants["shop-0"].participant
    update = participant._robust_update(next_plan(world), np.zeros(1_000), Trained([], 10, 1, {}))
    assert unpack(update.payload, 4_000) == bytes(4_000)
    assert (len(update.payload) < 100) == (level > 0)
