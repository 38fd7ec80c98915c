"""Whole federations in one process, over logs in memory: faults and crashes from a seed."""

import copy
import json

import msgspec
import numpy as np
import pytest

from contract.federation.messages import LedgerEntry, Order
from federation.audit.ledger import verify_chain
from federation.coordinator.process import CoordinatorProcess
from federation.coordinator.state import CoordinatorState
from federation.simulation.world import World
from federation.store import MemoryStore
from federation.transports.memory import Faults, MemoryTransport
from federation.transports.ports import LogName
from support.federation_ledger import ledger_of
from support.federation_proof import verdict_of
from support.federation_world import small_model, small_settings, small_world, weights_of

MODES = ["masked", "robust"]


def chain_holds(entries: list[LedgerEntry]) -> bool:
    return bool(entries) and verify_chain(entries).holds


def kinds(world: World) -> list[str]:
    return [entry.kind for entry in ledger_of(world)]


@pytest.mark.parametrize("mode", MODES)
def test_rounds_run_and_the_model_learns(mode: str) -> None:
    world = small_world(small_settings(mode), 4)
    world.enrol_all()
    world.run_rounds(3)
    assert world.state.model.version == 3
    metrics = [json.loads(entry.content)["metrics"] for entry in ledger_of(world) if entry.kind == "evaluated"]
    assert metrics[-1]["ap"] > metrics[0]["ap"]
    assert chain_holds(ledger_of(world))
    assert all(decision.endswith(" 3") for decision in world.state.adoptions.values())
    assert len(world.state.adoptions) == 4


def test_both_modes_give_the_same_model_but_for_the_rounding() -> None:
    worlds = []
    for mode in MODES:
        world = small_world(small_settings(mode, robust={"rule": "mean", "weight_max": 1.0}), 4)
        world.enrol_all()
        world.run_rounds(1)
        worlds.append(weights_of(world))
    np.testing.assert_allclose(worlds[0], worlds[1], atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_coordinator_killed_at_any_append_ends_the_round_with_the_same_model(mode: str, moment: str) -> None:
    calm = small_world(small_settings(mode), 4)
    calm.enrol_all()
    calm.run_rounds(1)
    appends = 0
    for number in range(1, 20):
        world = small_world(small_settings(mode), 4)
        world.enrol_all()
        transport = world.coordinator.transport
        assert isinstance(transport, MemoryTransport)
        setattr(transport, f"crash_{moment}", number)
        world.run_rounds(1)
        if world.crashes == 0:
            break
        appends += 1
        assert world.crashes == 1
        assert world.state.model.version == 1
        np.testing.assert_allclose(weights_of(world), weights_of(calm), atol=1e-5)
        assert chain_holds(ledger_of(world))
        assert kinds(world).count("plan") == 1
        models = [json.loads(entry.content) for entry in ledger_of(world) if entry.kind == "global_model"]
        assert [model["participants"] for model in models] == [0, 4]
    # Plan, the stages, evaluation and publication: every phase was struck.
    assert appends == (7 if mode == "masked" else 4)


@pytest.mark.parametrize("mode", MODES)
def test_at_every_moment_the_state_is_a_function_of_the_logs(mode: str) -> None:
    world = small_world(small_settings(mode), 4)
    world.enrol_all()
    world.order(Order(action="run", rounds=2))
    checked = 0
    for _ in range(200):
        world.take_turn()
        live = world.coordinator.coordinator
        rebuilt = _rebuilt(world)
        same = [_comparable(live.state), _comparable(rebuilt.coordinator.state)]
        assert same[0] == same[1]
        mine, theirs = live.attempt, rebuilt.coordinator.attempt
        assert (mine is None) == (theirs is None)
        if mine is not None and theirs is not None:
            assert mine.state == theirs.state
        checked += 1
        if world.state.model.version == 2 and live.attempt is None:
            break
        world.advance(500)
    assert world.state.model.version == 2
    assert checked >= (8 if mode == "masked" else 3)


def _rebuilt(world: World) -> CoordinatorProcess:
    """Another coordinator over a copy of the logs as far as they were read, without a checkpoint; it decides nothing."""
    broker = copy.deepcopy(world.broker)
    del broker._logs["updates"][world.coordinator._positions["updates"] :]
    process = CoordinatorProcess(
        world.identity,
        world.settings.name,
        MemoryTransport(broker, "coordinator", exclusive=True),
        MemoryStore(),
        world.clock,
        initial=CoordinatorState(model=small_model()),
        assemble=world._assemble,
    )
    process._recall()
    return process


def _comparable(state: CoordinatorState) -> dict[str, object]:
    return msgspec.to_builtins(state)  # type: ignore[no-any-return]


@pytest.mark.parametrize("mode", MODES)
def test_under_loss_delay_duplication_damage_and_crashes_rounds_end_and_nothing_is_counted_twice(
    mode: str, seed: int
) -> None:
    faults = Faults(loss=0.02, delay_ms_max=2_000, duplication=0.1, damage=0.02)
    settings = small_settings(mode, attempts_max=8)
    world = small_world(settings, 8, seed=seed, faults=faults, participant_crash=0.002)
    world.enrol_all()
    world.run_rounds(3)
    assert verdict_of(ledger_of(world)) == 3
    assert world.drops


def test_participants_that_vanish_in_any_stage_do_not_stop_a_masked_round() -> None:
    for moment in range(8):
        world = small_world(small_settings("masked"), 7)
        world.enrol_all()
        world.order(Order(action="run", rounds=1))
        for _ in range(moment):
            world.take_turn()
            world.advance(500)
        world.kill(["shop-1", "shop-5"])
        world.run_until(lambda world=world: world.state.rounds_wanted == 0 and world.state.round_number == 1)  # type: ignore[misc]
        assert world.state.model.version == 1, f"killed after {moment} turns"


def test_too_few_participants_fail_an_attempt_and_the_round_is_given_up_after_the_last() -> None:
    world = small_world(small_settings("masked", cohort_min=5, attempts_max=2), 5)
    world.enrol_all()
    world.kill(["shop-1"])
    world.run_rounds(1)
    failures = [json.loads(entry.content) for entry in ledger_of(world) if entry.kind == "failure"]
    assert [failure["final"] for failure in failures] == [False, True]
    assert "keys: 4 answered in time, 5 are needed" in failures[0]["reason"]
    assert world.state.model.version == 0
    assert world.state.rounds_wanted == 0


def test_a_newcomer_in_the_middle_of_a_round_takes_part_from_the_next_on() -> None:
    world = small_world(small_settings("masked"), 5)
    late = world.participants.pop("shop-4")
    world.enrol_all()
    world.order(Order(action="run", rounds=2))
    world.take_turn()
    world.participants["shop-4"] = late
    world.enrol_all()
    world.run_until(lambda: world.state.rounds_wanted == 0 and world.state.round_number == 2)
    plans = [json.loads(entry.content)["cohort"] for entry in ledger_of(world) if entry.kind == "plan"]
    assert [len(cohort) for cohort in plans] == [4, 5]


def test_a_revoked_participant_has_no_part_from_then_on() -> None:
    world = small_world(small_settings("masked"), 5)
    world.enrol_all()
    world.order(Order(action="run", rounds=1))
    world.take_turn()
    world.order(Order(action="revoke", participant="shop-2"))
    world.run_until(lambda: world.state.rounds_wanted == 0 and world.state.round_number == 1)
    world.run_rounds(1)
    assert world.state.model.version == 2
    plans = [json.loads(entry.content)["cohort"] for entry in ledger_of(world) if entry.kind == "plan"]
    assert "shop-2" in plans[0]
    assert "shop-2" not in plans[-1]
    assert world.participants["shop-2"].participant.membership == "revoked"


def test_a_second_coordinator_takes_over_and_the_first_can_say_nothing_more() -> None:
    from contract.errors import FencedError

    world = small_world(small_settings("masked"), 4)
    world.enrol_all()
    first = world.coordinator
    world.order(Order(action="run", rounds=1))
    world.restart_coordinator()
    with pytest.raises(FencedError):
        first.run_once(0.0)
    world.run_until(lambda: world.state.rounds_wanted == 0 and world.state.round_number == 1)
    assert world.state.model.version == 1
    assert chain_holds(ledger_of(world))


def test_a_newcomer_takes_part_though_the_logs_have_forgotten_how_the_federation_began() -> None:
    settings = small_settings("masked").model_copy(update={"retention_days": 1.0})
    world = small_world(settings, 5)
    late = world.participants.pop("shop-4")
    world.enrol_all()
    world.run_rounds(1)
    world.advance(12 * 3_600_000)
    world.take_turn()
    world.advance(20 * 3_600_000)
    for log in ("control", "models", "updates"):
        kept = [record for record in world.broker._logs[log] if record.appended_ms > world.broker.now_ms - 86_400_000]
        world.broker.forget_before(log, kept[0].offset if kept else world.broker.find_bounds(log)[1])
    world.participants["shop-4"] = late
    world.restart_participant("shop-4")
    world.enrol_all()
    world.run_rounds(1)
    assert world.state.model.version == 2
    assert world.participants["shop-4"].participant.membership == "approved"
    assert max(world.participants["shop-4"].participant.state.models) == 2
    assert chain_holds(ledger_of(world))


def test_a_model_that_an_earlier_coordinator_published_counts_though_the_next_one_was_heard_first() -> None:
    world = small_world(small_settings("masked"), 4)
    world.enrol_all()
    world.order(Order(action="run", rounds=2))
    while world.state.model.version == 0:
        world.take_coordinator_turn()
        if world.state.model.version == 0:
            world.take_participants_turn()
            world.advance(500)
    # Participants now find the second coordinator's claim and the first one's model in one reading.
    world.restart_coordinator()
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.state.model.version == 2
    assert all(1 in one.participant.state.models for one in world.participants.values())


def test_a_newcomer_that_reads_the_models_before_the_claim_still_has_them() -> None:
    world = small_world(small_settings("masked"), 4)
    world.enrol_all()
    world.run_rounds(1)
    world.restart_coordinator()
    name = "shop-1"
    world._stores[name] = MemoryStore()
    world.restart_participant(name)
    process = world.participants[name]
    logs: tuple[LogName, ...] = ("models", "control")
    for log in logs:
        for record in world.broker.read(log, 0, 10_000):
            process.participant.handle_record(record)
        assert process.participant.quiet is (log == "control")
    assert set(process.participant.state.models) == {0, 1}
