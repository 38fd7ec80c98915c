"""Coordinator and participants as processes on a real Kafka, killed with -9 in every phase of a round."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.federation import Order
from federation.operations import content_of, rounds_of
from support.federation_processes import Processes, ended, of_round

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(900)]
PHASES = ["plan", "key_list", "share_list", "survivors", "stage_over", "evaluated", "published"]
"""What the coordinator says when a phase begins: selected, the four stages of collecting, aggregated, published."""
MOMENTS = ["before", "during", "after"]


@pytest.fixture
def processes(stack: Any, retailer_name: str, tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path, retailer_name.replace("shop", "f"), stack.endpoints["kafka"].uri, 4)
    try:
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize(
    "cases",
    [
        pytest.param([(phase, MOMENTS[place % 3]) for place, phase in enumerate(PHASES)], id="each-phase"),
        pytest.param(
            [(phase, moment) for phase in PHASES for moment in MOMENTS],
            id="each-phase-and-moment",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_killed_in_every_phase_each_round_still_ends_right_and_counts_nothing_twice(
    processes: Processes, cases: list[tuple[str, str]]
) -> None:
    processes.enrol_all()
    for shop in processes.names:
        processes.start(shop)
    for number, (phase, moment) in enumerate(cases, start=1):
        processes.order(Order(action="run", rounds=1))
        # The next one's coordinator ends this round first: each of them recovers from a kill.
        processes.start_dying_coordinator(number, phase, moment)
        processes.await_death("coordinator")
        victim = processes.names[number % 4]
        processes.kill(victim)
        processes.start(victim)
    processes.start_coordinator()
    told = processes.await_told(lambda told: ended(told, len(cases)), "the end of the last round")
    assert told.audit.holds, told.audit.reason
    assert told.refused == 0
    lines = rounds_of(told.entries)
    assert [line.outcome for line in lines] == [f"model {number}" for number in range(1, len(cases) + 1)]
    for line in lines:
        models = of_round(told, line.round, "global_model")
        assert len(models) == 1, "a round has one model"
        assert 3 <= content_of(models[0])["participants"] <= 4
        plans = [entry.attempt for entry in of_round(told, line.round, "plan")]
        assert plans == list(range(len(plans))), "an attempt begins once"
    assert told.epoch >= len(cases) + 1
    status = processes.call("status", "--config", str(processes.file("coordinator")))
    assert "every link holds" in status


def test_of_two_coordinators_started_by_mistake_the_first_is_fenced_off(processes: Processes) -> None:
    processes.start_coordinator()
    first = processes.running.pop("coordinator")
    processes.await_told(lambda told: told.epoch == 1, "the first coordinator")
    processes.start_coordinator()
    processes.await_told(lambda told: told.epoch == 2, "the second coordinator")
    # Whatever it would say next is refused by the broker.
    processes.enrol_all()
    assert first.wait(120) == 1
    assert "another process is coordinator" in (processes.folder / "coordinator.log").read_text()
    told = processes.await_told(lambda told: told.roster is not None and len(told.roster.members) == 4, "the roster")
    assert told.epoch == 2
    assert told.audit.holds
