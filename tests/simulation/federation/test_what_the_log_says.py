"""What a coordinator's log tells its people: why nothing begins, and why an attempt came to nothing."""

from typing import Any

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from contract.federation.messages import Order
from contract.federation.settings import PhaseTimes
from federation.coordinator.planning import describe_shortage
from federation.simulation.world import World
from support.federation_world import small_settings, small_world
from tillguard.federation.watch import Watch


def said(watch: Watch, event: str) -> list[dict[str, Any]]:
    """Of the next look, and of a second one, which has nothing new to say."""
    with capture_logs() as logs:
        watch.look()
        watch.look()
    return [{key: value for key, value in one.items() if key != "log_level"} for one in logs if one["event"] == event]


def revoke(world: World, *names: str) -> None:
    for name in names:
        world.order(Order(action="revoke", participant=name))
    world.take_coordinator_turn()


def test_a_coordinator_that_waits_for_participants_says_so_once_and_again_when_it_changes() -> None:
    world = small_world(small_settings("masked"), 3)
    world.enrol_all()
    watch, event = Watch(world.settings, world.coordinator, None), "waits_for_participants"
    revoke(world, "shop-0", "shop-1")
    assert said(watch, event) == [], "nothing is ordered"
    world.order_rounds(1)
    world.take_coordinator_turn()
    assert said(watch, event) == [{"event": event, "federation": world.settings.name, "approved": "1 of 3"}]
    revoke(world, "shop-2")
    assert [one["approved"] for one in said(watch, event)] == ["0 of 3"]
    world.order(Order(action="pause"))
    world.take_coordinator_turn()
    assert said(watch, event) == []


def test_who_does_not_let_single_updates_leave_is_not_counted_in_mode_robust() -> None:
    world = small_world(small_settings("masked"), 3)
    world.enrol_all()
    masked, robust = small_settings("masked").rounds, small_settings("robust").rounds
    for name in ("shop-0", "shop-1"):
        world.state.members[name] = replace(world.state.members[name], allow_robust=False)
    members = world.state.members.values()
    assert describe_shortage(members, masked) == ""
    assert describe_shortage(members, robust) == "1 of 3 that allow mode robust"


@pytest.mark.parametrize("mode", ["masked", "robust"])
def test_an_attempt_that_fails_is_logged_with_its_reason_and_whose_settings_ruled_it(mode: str) -> None:
    settings = small_settings(mode, attempts_max=2, keys=PhaseTimes(min_s=1, max_s=60, count_min=4))
    world = small_world(settings, 3)
    world.enrol_all()
    watch, event = Watch(world.settings, world.coordinator, None), "attempt_failed"
    # Four must answer and three are approved: both attempts fail in the step in which they begin.
    world.run_rounds(1)
    (failed,) = said(watch, event)
    assert (failed["round"], failed["attempt"]) == (1, 1)
    stage = "keys" if mode == "masked" else "updates (ruled by federation.rounds.keys)"
    assert failed["reason"] == f"{stage}: 3 can still answer, 4 are needed"
    assert said(Watch(world.settings, world.coordinator, None), event) == [], "it was before this one began to watch"
