"""A stranger appends copies between the records of long messages: rounds continue as if it were not there."""

import random

import numpy as np
import pytest

from federation.messages import envelope
from federation.simulation.world import World
from federation.transports.ports import LogName, Outgoing
from support.federation_kinds import heading_of
from support.federation_ledger import ledger_of
from support.federation_proof import participants_of, verdict_of
from support.federation_world import small_settings, small_world, weights_of

MODES = ["masked", "robust"]
HIDDEN = (800,)
"""6,401 parameters: 25,604 bytes."""
COPIED_MAX = 12


@pytest.fixture(autouse=True)
def _short_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "PART_BYTES", 10_000)
    monkeypatch.setattr(envelope, "SINGLE_BYTES_MAX", 14_000)


def made(mode: str) -> World:
    settings = small_settings(mode, robust={"rule": "mean", "weight_max": 1.0})
    world = small_world(settings, 4, hidden=HIDDEN, examples=600)
    world.enrol_all()
    return world


def copied_between(world: World, seed: int) -> dict[LogName, int]:
    """After each record of a long message, copies of earlier announcements and of parts; gives how many, by log."""
    chosen = random.Random(seed)
    store = world.broker._store
    earlier: dict[LogName, list[Outgoing]] = {}
    copies: dict[LogName, int] = {}

    def meddled(outgoing: Outgoing) -> None:
        store(outgoing)
        if heading_of(outgoing.value) is not None:
            return
        long = earlier.setdefault(outgoing.log, [])
        for one in chosen.sample(long, min(len(long), COPIED_MAX)):
            store(one)
            copies[outgoing.log] = copies.get(outgoing.log, 0) + 1
        long.append(outgoing)

    world.broker._store = meddled  # type: ignore[method-assign]
    return copies


@pytest.mark.parametrize("mode", MODES)
def test_copies_between_the_parts_of_long_messages_change_no_round(mode: str, seed: int) -> None:
    calm, world = made(mode), made(mode)
    copies = copied_between(world, seed)
    for one in (calm, world):
        one.run_rounds(3)
    assert set(copies) == ({"updates", "models", "control"} if mode == "masked" else {"updates", "models"})
    assert participants_of(world) == [4, 4, 4]
    assert [entry.kind for entry in ledger_of(world)].count("failure") == 0
    assert verdict_of(ledger_of(world)) == 3
    np.testing.assert_allclose(weights_of(world), weights_of(calm), atol=1e-5)
    world.restart_coordinator()
    world.run_rounds(1)
    assert participants_of(world) == [4, 4, 4, 4]
