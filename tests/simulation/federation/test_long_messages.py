"""Rounds whose models and updates need many records each: nothing may depend on a message being one."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from federation.messages import envelope
from federation.simulation.world import World
from federation.transports.memory import CrashError, Faults
from federation.transports.ports import Outgoing
from support.federation_kinds import heading_of
from support.federation_ledger import ledger_of
from support.federation_proof import participants_of, verdict_of
from support.federation_world import killed_at_each_append, small_settings, small_world, weights_of

HIDDEN = (800,)
"""6,401 parameters: 25,604 bytes."""
VICTIM = "shop-1"
MODES = ["masked", "robust"]


@pytest.fixture(autouse=True)
def _short_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models, updates and the coordinator's lists are cut in several parts; what is passed on in its maker's envelope is one."""
    monkeypatch.setattr(envelope, "PART_BYTES", 10_000)
    monkeypatch.setattr(envelope, "SINGLE_BYTES_MAX", 14_000)


def made(mode: str, participants: int = 4, **options: Any) -> World:
    settings = small_settings(mode, robust={"rule": "mean", "weight_max": 1.0}, attempts_max=8)
    world = small_world(settings, participants, hidden=HIDDEN, examples=600, **options)
    world.enrol_all()
    return world


@pytest.mark.parametrize("mode", MODES)
def test_a_coordinator_killed_at_any_append_ends_the_round_with_the_same_model(mode: str) -> None:
    calm = made(mode)
    calm.run_rounds(1)
    long = [record for log in ("updates", "models", "control") for record in calm.broker.read(log, 0, 10_000) if heading_of(record.value) is None]  # fmt: skip
    assert {record.log for record in long} == (
        {"updates", "models", "control"} if mode == "masked" else {"updates", "models"}
    )
    struck = 0
    for world in killed_at_each_append(lambda: made(mode), 1):
        struck += 1
        np.testing.assert_allclose(weights_of(world), weights_of(calm), atol=1e-5)
        assert participants_of(world) == [4]
    assert struck == (7 if mode == "masked" else 4)


@pytest.mark.parametrize("mode", MODES)
def test_a_participant_killed_between_two_parts_of_its_update_has_no_part_in_it_and_all_of_the_next(mode: str) -> None:
    world = made(mode)
    transport = world.participants[VICTIM]._transport
    append = transport.append

    def dying(records: Sequence[Outgoing]) -> int:
        if len(records) < 3:
            return append(records)
        append(records[:-1])
        raise CrashError

    transport.append = dying  # type: ignore[method-assign]
    world.run_rounds(1)
    world.take_turn()
    assert world.crashes == 1
    assert participants_of(world) == [3]
    world.run_rounds(1)
    assert participants_of(world) == [3, 4]


FAULTS = Faults(loss=0.01, delay_ms_max=2_000, duplication=0.1, damage=0.01)


@pytest.mark.parametrize("mode", MODES)
def test_under_loss_delay_duplication_damage_and_crashes_rounds_end_and_nothing_is_counted_twice(
    mode: str, seed: int
) -> None:
    world = made(mode, 8, seed=seed, faults=FAULTS, participant_crash=0.002)
    world.run_rounds(2)
    assert verdict_of(ledger_of(world)) == 2
    # About every second attempt fails for a lost or damaged record: both rounds in all their attempts, three times in a million.
    assert participants_of(world), "messages of many records come through"
