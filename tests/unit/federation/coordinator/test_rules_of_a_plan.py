"""For how long, and for how many, each stage of a plan waits."""

from collections.abc import Mapping

import pytest
from pydantic import ValidationError

from contract.federation.fields import Stage
from contract.federation.messages import RoundPlan
from contract.federation.settings import PhaseTimes, RoundSettings, StrategySettings
from federation.coordinator.planning import RoundPlanning
from federation.coordinator.rounds import StageRules
from federation.simulation.world import World
from support.federation_world import small_settings, small_world


@pytest.fixture(scope="module")
def world() -> World:
    made = small_world(small_settings("masked"), 4)
    made.enrol_all()
    made.state.rounds_wanted = 1
    return made


def stages(world: World, mode: str, **rounds: object) -> Mapping[Stage, StageRules]:
    planning = RoundPlanning(small_settings(mode, cohort_max=20, **rounds))
    plan = planning.plan(world.state, 0)
    assert isinstance(plan, RoundPlan)
    return planning.derive_rules(plan).stages


def test_stages_wait_for_the_cohort_s_bounds_where_settings_say_nothing_else(world: World) -> None:
    assert set(stages(world, "masked").values()) == {StageRules(3, 20, 1_000, 60_000)}
    assert list(stages(world, "masked")) == ["keys", "shares", "updates", "unmasking"]


def test_a_phase_may_want_more_answers_and_be_over_with_fewer_than_the_cohort_s_bounds(world: World) -> None:
    found = stages(
        world, "masked", keys=PhaseTimes(count_min=5, count_max=9), updates=PhaseTimes(min_s=2, max_s=3, count_min=4),
        unmasking=PhaseTimes(count_min=2),
    )  # fmt: skip
    assert found["keys"][:2] == (5, 9)
    assert found["updates"] == (4, 20, 2_000, 3_000)
    assert found["unmasking"][:2] == (3, 20), "never fewer than the plan says"
    assert stages(world, "robust", keys=PhaseTimes(count_min=5, count_max=9))["updates"][:2] == (5, 9)


def test_a_buffer_is_full_at_its_own_size_whatever_the_phase_says(world: World) -> None:
    buffered = StrategySettings(name="fedbuff", buffer_size=4)
    keys = PhaseTimes(count_min=5, count_max=9)
    # Only trainings are buffered; there is no round of statistics, since the model has no room for them.
    assert stages(world, "robust", strategy=buffered, keys=keys)["updates"][:2] == (4, 4)


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ({"count_min": 5, "count_max": 4}, "count_min must not be above count_max"),
        ({"count_max": 2}, "shares.count_max must not be below cohort_min"),
        ({"count_min": 21}, "shares.count_min must not be above cohort_max"),
    ],
)
def test_numbers_that_no_phase_could_keep_are_refused(phase: dict[str, int], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        RoundSettings.model_validate({"cohort_min": 3, "cohort_max": 20, "shares": phase})
