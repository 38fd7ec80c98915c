"""Two processes that take part under one name: one continues, the other ends and says why; the round ends with a model."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.errors import FencedError
from federation.participant.process import ParticipantProcess
from federation.simulation.world import World
from federation.store import MemoryStore, SqlStore
from federation.transports.ports import Outgoing
from support.federation_world import small_settings, small_world


def twin_of(world: World, name: str) -> ParticipantProcess:
    """As on another machine, with the same keys and a store of its own."""
    real, first = world._stores[name], world.participants[name]
    world._stores[name] = MemoryStore()
    try:
        world.restart_participant(name)
        return world.participants[name]
    finally:
        world._stores[name], world.participants[name] = real, first


def with_twin(mode: str) -> tuple[World, ParticipantProcess, list[tuple[str, str, str]]]:
    world = small_world(small_settings(mode), 3)
    world.enrol_all()
    heard: list[tuple[str, str, str]] = []
    world.coordinator.coordinator._dropped = lambda *said: heard.append(said)
    return world, twin_of(world, "shop-1"), heard


def both_answer(world: World, twin: ParticipantProcess) -> None:
    """The first stage of an attempt; nobody else has answered yet."""
    world.order_rounds(1)
    world.take_coordinator_turn()
    world.participants["shop-1"].run_once(0.0)
    twin.run_once(0.0)
    world.take_coordinator_turn()


def assert_named(heard: list[tuple[str, str, str]]) -> None:
    (told,) = [detail for sender, reason, detail in heard if (sender, reason) == ("shop-1", "duplicate")]
    assert "do two processes of this participant run?" in told


@pytest.mark.parametrize("first", ["the one that ran", "its twin"])
def test_whoever_comes_second_in_an_attempt_ends_and_the_round_goes_on(first: str) -> None:
    world, twin, heard = with_twin("masked")
    if first == "its twin":
        world.participants["shop-1"], twin = twin, world.participants["shop-1"]
    both_answer(world, twin)
    world.take_participants_turn()
    world.take_coordinator_turn()
    with pytest.raises(FencedError, match="another process takes part as shop-1"):
        twin.run_once(0.0)
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.state.model.version == 1
    assert world.state.failed is None, "in its first attempt"
    assert_named(heard)


def test_in_mode_robust_the_coordinator_names_whose_two_processes_answer() -> None:
    world, twin, heard = with_twin("robust")
    both_answer(world, twin)
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.state.model.version == 1
    assert_named(heard)


def test_a_record_that_came_twice_is_no_sign_of_two_processes() -> None:
    world, _, heard = with_twin("masked")
    world.order_rounds(1)
    world.take_coordinator_turn()
    start = world.broker.find_bounds("updates")[1]
    world.participants["shop-1"].run_once(0.0)
    for record in list(world.broker.read("updates", start, 1_000)):
        world.broker._store(Outgoing(record.log, record.key, record.value))
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert [reason for _, reason, _ in heard].count("duplicate") == 1
    assert not any("two processes" in detail for _, _, detail in heard)


OWNER = "participant/f/shop"
HOLDER = """
import sys
from federation.store import SqlStore
store = SqlStore(sys.argv[1], setting="test")
store.hold(sys.argv[2])
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def holder(url: str, owner: str = OWNER) -> Iterator[subprocess.Popen[str]]:
    """A process that has the lock; killed at the end, if nobody did it before."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url, owner], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def test_a_second_process_is_refused_until_the_first_is_gone_even_by_kill_9(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'participant.db'}"
    store = SqlStore(url, setting="test")
    with holder(url) as first:
        with pytest.raises(FencedError, match="participant/f/shop runs already"):
            store.hold(OWNER)
        store.hold("participant/f/other")
        first.send_signal(signal.SIGKILL)
        first.wait()
        store.hold(OWNER)
    again = SqlStore(url, setting="test")
    with pytest.raises(FencedError):
        again.hold(OWNER)
    store.close()
    again.hold(OWNER)
    again.close()
