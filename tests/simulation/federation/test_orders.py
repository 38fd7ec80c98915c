"""Operators who give orders and wait for the coordinator's answer."""

import json
from collections.abc import Callable

import pytest

from contract.clock import ManualClock, from_epoch_ms
from contract.errors import TransientError
from contract.federation.fields import CLOCK_TOLERANCE_MS
from contract.federation.messages import Order
from federation.audit.orders import Answer, give
from federation.simulation.world import World
from federation.transports.memory import MemoryTransport
from federation.transports.ports import Outgoing, Record
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world


class Meanwhile(MemoryTransport):
    """An operator's connection; while it waits for records, something else happens."""

    def __init__(self, world: World, happens: Callable[[], object]) -> None:
        super().__init__(world.broker, "operator")
        self._happens = happens

    def poll(self, timeout_s: float) -> list[Record]:
        self._happens()
        return super().poll(timeout_s)


@pytest.fixture
def world() -> World:
    """Everyone has asked to take part."""
    made = small_world(small_settings("masked"), 3)
    for participant in made.participants.values():
        participant.enrol(allow_robust=True)
    made.take_coordinator_turn()
    assert len(made.state.waiting) == 3
    return made


def approval(world: World, name: str) -> Order:
    return Order(action="approve", participant=name, fingerprint=world.identities[name].public.fingerprint)


def ordered(
    world: World, order: Order, happens: Callable[[], object], *, wait_s: float = 60.0, ahead_ms: int = 0
) -> Answer:
    return give(
        order,
        identity=world.identity,
        federation=world.settings.name,
        transport=Meanwhile(world, happens),
        clock=ManualClock(from_epoch_ms(world.broker.now_ms + ahead_ms)),
        wait_s=wait_s,
    )


def test_of_two_approvals_in_one_moment_both_hold_and_both_are_answered(world: World) -> None:
    second: list[Answer] = []

    def meanwhile() -> None:
        if not second:
            second.append(Answer("unanswered"))
            # The second operator's clock is behind, and its order comes later.
            second[0] = ordered(world, approval(world, "shop-1"), world.take_coordinator_turn, ahead_ms=-5)

    assert ordered(world, approval(world, "shop-0"), meanwhile) == Answer("done")
    assert second == [Answer("done")]
    assert [member.name for member in world.state.list_approved()] == ["shop-0", "shop-1"]
    assert world.drops == {}


def test_a_replayed_order_is_dropped_counted_ledgered_and_without_effect(world: World) -> None:
    ordered(world, approval(world, "shop-0"), world.take_coordinator_turn)
    ordered(world, Order(action="pause"), world.take_coordinator_turn)
    orders = [record for record in world.broker.read("updates", 0, 100) if record.key == b"operator"]
    for record in orders:
        world.broker.take([Outgoing("updates", b"x", record.value)], "mallory", exclusive=True)
    world.take_coordinator_turn()
    assert world.drops == {"duplicate": 2}
    world.restart_coordinator()
    world.take_coordinator_turn()
    assert ordered(world, Order(action="pause"), world.take_coordinator_turn) == Answer("done")
    dropped = [json.loads(entry.content) for entry in ledger_of(world) if entry.kind == "dropped"]
    assert dropped == [{"duplicate": 2}]
    assert [entry.kind for entry in ledger_of(world)].count("approved") == 1
    assert [entry.kind for entry in ledger_of(world)].count("pause_ordered") == 2


def test_the_answer_to_an_order_outlives_the_coordinator_that_read_it(world: World) -> None:
    crashed: list[bool] = []

    def dies_first() -> None:
        if not crashed:
            crashed.append(True)
            transport = world.coordinator.transport
            assert isinstance(transport, MemoryTransport)
            transport.crash_before = 1
        world.take_coordinator_turn()

    assert ordered(world, approval(world, "shop-0"), dies_first) == Answer("done")
    assert world.crashes == 1
    assert [entry.kind for entry in ledger_of(world)].count("approved") == 1


def test_a_refusal_comes_with_its_reason(world: World) -> None:
    stranger = Order(action="approve", participant="shop-0", fingerprint="ab" * 32)
    answer = ordered(world, stranger, world.take_coordinator_turn)
    assert answer == Answer("refused", "refused", "nobody of this name waits with this fingerprint")
    assert world.drops == {"refused": 1}
    assert world.state.list_approved() == []


def test_nobody_answers_where_no_coordinator_runs_and_the_order_holds_when_one_starts(world: World) -> None:
    assert ordered(world, approval(world, "shop-0"), lambda: None, wait_s=0.05) == Answer("unanswered")
    assert ordered(world, approval(world, "shop-1"), lambda: None, wait_s=0.0) == Answer("unanswered")
    world.restart_coordinator()
    world.take_coordinator_turn()
    assert [member.name for member in world.state.list_approved()] == ["shop-0", "shop-1"]


def test_an_order_from_a_clock_too_far_ahead_is_told_so_though_the_coordinator_can_say_nothing(world: World) -> None:
    answer = ordered(world, approval(world, "shop-0"), world.take_coordinator_turn, ahead_ms=2 * CLOCK_TOLERANCE_MS)
    assert (answer.outcome, answer.reason) == ("refused", "time")
    assert "10 minutes ahead" in answer.detail
    world.take_coordinator_turn()
    assert world.drops == {"time": 1}


def test_an_order_stands_though_kafka_goes_away_while_its_answer_is_waited_for(world: World) -> None:
    def gone() -> None:
        raise TransientError("the federation's Kafka is gone")

    answer = ordered(world, approval(world, "shop-0"), gone)
    assert answer == Answer("unanswered", detail="the federation's Kafka is gone")
    world.take_coordinator_turn()
    assert [member.name for member in world.state.list_approved()] == ["shop-0"]


def test_what_others_write_on_the_ledger_answers_nothing(world: World) -> None:
    def forged() -> None:
        entry = world.broker.read("ledger", 0, 1)[0].value
        for value in (b"rubbish", entry):
            world.broker.take([Outgoing("ledger", b"0", value)], "mallory", exclusive=True)

    assert ordered(world, approval(world, "shop-0"), forged, wait_s=0.05) == Answer("unanswered")
