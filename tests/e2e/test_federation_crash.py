"""Coordinator and participants as processes on a real Kafka, killed with -9 in every phase of a round."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contract.federation import Order
from federation.operations import content_of, rounds_of
from support.federation_processes import Processes, ended, of_round

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(900)]
PHASES = ["plan", "key_list", "share_list", "survivors", "stage_over", "evaluated", "global_model"]
"""What the ledger says when a phase begins: selected, the four stages of collecting, aggregated, published."""


@pytest.fixture
def processes(stack: Any, retailer_name: str, tmp_path: Path) -> Iterator[Processes]:
    made = Processes(tmp_path, retailer_name.replace("shop", "f"), stack.endpoints["kafka"].uri, 4)
    try:
        yield made
    finally:
        made.stop()


def test_killed_in_every_phase_each_round_still_ends_right_and_counts_nothing_twice(processes: Processes) -> None:
    processes.start_coordinator()
    processes.enrol_all()
    for shop in processes.names:
        processes.start(shop)
    processes.await_told(lambda told: told.roster is not None and len(told.roster.members) == 4, "the roster")
    for number, phase in enumerate(PHASES, start=1):
        processes.order(Order(action="run", rounds=1))
        processes.await_told(lambda told, n=number, p=phase: bool(of_round(told, n, p)), f"{phase} of round {number}")  # type: ignore[misc]
        victim = processes.names[number % 4]
        processes.kill("coordinator")
        processes.kill(victim)
        processes.start_coordinator()
        processes.start(victim)
        processes.await_told(lambda told, n=number: ended(told, n), f"the end of round {number}")  # type: ignore[misc]
    told = processes.told()
    assert told.audit.holds, told.audit.reason
    assert told.refused == 0
    lines = rounds_of(told.entries)
    assert [line.outcome for line in lines] == [f"model {number}" for number in range(1, len(PHASES) + 1)]
    for line in lines:
        models = of_round(told, line.round, "global_model")
        assert len(models) == 1, "a round has one model"
        assert 3 <= content_of(models[0])["participants"] <= 4
        plans = [entry.attempt for entry in of_round(told, line.round, "plan")]
        assert plans == list(range(len(plans))), "an attempt begins once"
    assert told.epoch >= len(PHASES) + 1
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
