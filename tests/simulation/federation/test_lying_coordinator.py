"""A coordinator with the federation's real keys lies to real participants: they refuse or drop it, and show nothing after it."""

import pytest
from msgspec.structs import replace

from contract.federation import Refusal, RoundPlan
from contract.federation_settings import RoundPrivacySettings
from federation.graph import NEIGHBOURS
from federation.simulated_world import World
from support.federation_world import small_settings, small_world
from support.lying_coordinator import Ear, next_plan, said_by, tell, types_of

SHOP = "shop-0"


@pytest.fixture
def world() -> World:
    made = small_world(small_settings("masked"), 4)
    made.enrol_all()
    return made


def small_neighbourhoods(plan: RoundPlan) -> RoundPlan:
    assert plan.masking is not None
    return replace(plan, masking=replace(plan.masking, neighbours=NEIGHBOURS - 2))


def test_a_plan_with_fewer_neighbours_than_the_promise_needs_is_refused_before_training(world: World) -> None:
    ear = Ear(world)
    plan = next_plan(world)
    tell(world, small_neighbourhoods(plan), plan)
    assert said_by(ear.answers(), SHOP) == [Refusal(reason="keys")]
    tell(world, replace(plan, attempt=1, masking=None), replace(plan, attempt=1))
    assert said_by(ear.answers(), SHOP) == [Refusal(reason="keys")]
    tell(world, replace(plan, attempt=2), replace(plan, attempt=2))
    assert types_of(ear.answers()) == {"keys"}, "the honest plan goes on"


def test_a_plan_that_states_its_epsilon_at_a_great_delta_is_refused_and_costs_nothing() -> None:
    settings = small_settings(
        "masked", privacy=RoundPrivacySettings(level="client", noise_multiplier=0.5, epsilon_max=1000)
    )
    strict = settings.participant.model_copy(update={"epsilon_max": 4.0})
    world = small_world(settings.model_copy(update={"participant": strict}), 4)
    world.enrol_all()
    ear = Ear(world)
    plan = next_plan(world)
    for attempt, (delta, reason) in enumerate([(0.9, "privacy"), (1.1e-5, "privacy"), (1e-5, "budget")]):
        lie = replace(plan, attempt=attempt, privacy=replace(plan.privacy, delta=delta))
        tell(world, lie, lie)
        assert said_by(ear.answers(), SHOP) == [Refusal(reason=reason)]
    assert world.participants[SHOP].participant.state.spends == []
