"""Clocks that are wrong: whoever has one says so and ends before it says anything else, and a federation outlives one that did not."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from contract.clock import ManualClock, from_epoch_ms
from contract.errors import ConfigurationError
from contract.federation.fields import CLOCK_TOLERANCE_MS
from contract.federation.messages import Order, Refusal
from federation.audit.history import decode_content, list_rounds
from federation.coordinator.coordinator import BEGUN_AHEAD
from federation.messages.envelope import seal, to_records
from federation.simulation.world import World
from federation.transports import log_clock
from federation.transports.log_clock import LogClock, describe_skew
from federation.transports.memory import MemoryBroker, MemoryTransport
from federation.transports.ports import Outgoing
from support.copies import OWN, records_of, told
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world

HOUR_MS = 3_600_000
MINUTE_MS = 60_000


def world_of(**rounds: object) -> World:
    world = small_world(small_settings("masked", **rounds), 3)
    world.enrol_all()
    return world


@contextmanager
def wrong_clock(world: World, off_ms: int) -> Iterator[None]:
    """Whatever starts meanwhile has a clock that is off by so much; the broker's continues."""
    right, world.clock = world.clock, ManualClock(from_epoch_ms(world.broker.now_ms + off_ms))
    try:
        yield
    finally:
        world.clock = right


OFF = pytest.mark.parametrize(
    ("off_ms", "words"),
    [(HOUR_MS, "60 minutes ahead of"), (-2 * HOUR_MS, "120 minutes behind"), (48 * HOUR_MS, "2,880 minutes ahead of")],
    ids=["an hour ahead", "two hours behind", "two days ahead"],
)


@OFF
@pytest.mark.parametrize("rounds", [0, 1], ids=["first", "after a round"])
def test_a_coordinator_with_a_wrong_clock_ends_before_it_says_anything(off_ms: int, words: str, rounds: int) -> None:
    world = world_of()
    if rounds:
        world.run_rounds(rounds)
    before = records_of(world, OWN)
    with wrong_clock(world, off_ms), pytest.raises(ConfigurationError, match=words):
        world.restart_coordinator()
    assert records_of(world, OWN) == before
    world.restart_coordinator()
    world.run_rounds(1)
    assert world.state.model.version == rounds + 1
    assert not world.drops


@OFF
def test_a_participant_with_a_wrong_clock_ends_before_it_says_anything(off_ms: int, words: str) -> None:
    world = world_of()
    with wrong_clock(world, off_ms), pytest.raises(ConfigurationError, match=words):
        world.restart_participant("shop-1")
    world.restart_participant("shop-1")
    world.run_rounds(1)
    assert world.state.model.version == 1
    assert not world.drops


@pytest.mark.parametrize("off_ms", [CLOCK_TOLERANCE_MS - MINUTE_MS, MINUTE_MS - CLOCK_TOLERANCE_MS])
def test_clocks_that_are_a_little_off_are_borne(off_ms: int) -> None:
    world = world_of()
    with wrong_clock(world, off_ms):
        world.restart_participant("shop-1")
        world.restart_coordinator()
    world.run_rounds(1)
    assert world.state.model.version == 1


@pytest.mark.parametrize("under_way", [False, True], ids=["idle", "an attempt under way"])
@pytest.mark.parametrize("pause_s", [0.0, 30.0])
def test_what_a_coordinator_of_the_future_left_behind_is_over_at_the_next_start(
    monkeypatch: pytest.MonkeyPatch, under_way: bool, pause_s: float
) -> None:
    """As earlier builds did, which never asked for the broker's time."""
    world = world_of(pause_s=pause_s)
    world.run_rounds(1)
    if under_way:
        world.order_rounds(1)
    with monkeypatch.context() as earlier, wrong_clock(world, HOUR_MS):
        earlier.setattr(log_clock, "describe_skew", lambda _: None)
        world.restart_coordinator()
        world.take_turn()
    assert all(one.participant.dropped["time"] for one in world.participants.values()), "nobody believed it"
    world.restart_coordinator()
    attempt = world.coordinator.coordinator.attempt
    assert attempt is None or attempt.state.opened_ms <= world.broker.now_ms + CLOCK_TOLERANCE_MS
    begun_ms = world.broker.now_ms
    if not under_way:
        world.order_rounds(1)
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.broker.now_ms - begun_ms < 10 * MINUTE_MS
    assert world.state.model.version == 2
    read = told(world)
    assert read.audit.holds, read.audit.reason
    assert read.refused == 0
    assert [line.outcome for line in list_rounds(read.entries)] == ["model 1", "model 2"]
    failures = [decode_content(entry)["reason"] for entry in read.entries if entry.kind == "failure"]
    assert failures == ([BEGUN_AHEAD] if under_way else [])


def test_a_message_from_the_future_is_dropped_under_its_senders_name_and_says_by_how_much() -> None:
    world = world_of()
    heard: list[tuple[str, str, str]] = []
    world.coordinator.coordinator._dropped = lambda *said: heard.append(said)
    identity = world.identities["shop-2"]
    signed = seal(
        Refusal(reason="data"),
        identity,
        federation=world.settings.name,
        sent_at_ms=world.broker.now_ms + 47 * MINUTE_MS,
    )
    records = [Outgoing("updates", b"shop-2", record) for record in to_records(signed, identity)]
    world.broker.take(records, "shop-2", exclusive=True)
    world.take_coordinator_turn()
    assert heard == [("shop-2", "time", "the sender's clock is 47 minutes ahead of the log's")]


class Jumping(ManualClock):
    """A clock that somebody sets, while its monotonic reading continues; or that slept, and whose monotonic reading did not."""

    def set_off(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)


@pytest.mark.parametrize("seconds", [3_600, -3_600])
def test_a_clock_that_is_set_during_a_run_ends_it_before_the_next_message(seconds: float) -> None:
    broker = MemoryBroker(now_ms=10 * HOUR_MS)
    clock = Jumping(from_epoch_ms(broker.now_ms))
    time = LogClock(clock, MemoryTransport(broker, "shop"), b"shop")
    assert time.now_ms() == broker.now_ms
    assert broker.find_bounds("updates")[1] == 1
    clock.advance(600)
    broker.advance_to(broker.now_ms + 600_000)
    assert time.now_ms() == broker.now_ms
    assert broker.find_bounds("updates")[1] == 1, "it is asked once"
    clock.set_off(seconds)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="60 minutes"):
            time.now_ms()
    clock.set_off(-seconds)
    assert time.now_ms() == broker.now_ms


def test_a_machine_that_slept_asks_again_and_goes_on() -> None:
    broker = MemoryBroker(now_ms=10 * HOUR_MS)
    clock = Jumping(from_epoch_ms(broker.now_ms))
    time = LogClock(clock, MemoryTransport(broker, "shop"), b"shop")
    time.now_ms()
    clock.set_off(3_600)
    broker.advance_to(broker.now_ms + HOUR_MS)
    assert time.now_ms() == broker.now_ms


def test_a_coordinators_decisions_stop_when_its_clock_is_set_wrong_and_go_on_when_it_is_right_again() -> None:
    world = world_of()
    wrong = Jumping(world.clock.now())
    right, world.clock = world.clock, wrong
    world.restart_coordinator()
    world.clock = right
    world.order_rounds(1)
    wrong.set_off(3_600)
    before = records_of(world, OWN)
    with pytest.raises(ConfigurationError, match="ahead"):
        world.take_coordinator_turn()
    assert records_of(world, OWN) == before
    world.restart_coordinator()
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.state.model.version == 1
    assert not [entry for entry in ledger_of(world) if entry.kind == "failure"]


def test_nothing_is_said_of_a_clock_that_is_near_enough() -> None:
    assert describe_skew(CLOCK_TOLERANCE_MS) is None
    assert describe_skew(-CLOCK_TOLERANCE_MS) is None
    assert "ahead" in str(describe_skew(CLOCK_TOLERANCE_MS + 1))
    assert "behind" in str(describe_skew(-CLOCK_TOLERANCE_MS - 1))


def test_an_order_of_an_operator_whose_clock_is_ahead_is_refused_at_once() -> None:
    from federation.audit.orders import give

    world = world_of()
    clock = ManualClock(from_epoch_ms(world.broker.now_ms + HOUR_MS))
    transport = MemoryTransport(world.broker, "operator")
    order = Order(action="run", rounds=1)
    for wait_s in (0.0, 5.0):
        answer = give(
            order,
            identity=world.identity,
            federation=world.settings.name,
            transport=transport,
            clock=clock,
            wait_s=wait_s,
        )
        assert (answer.outcome, answer.reason) == ("refused", "time")
        assert "60 minutes ahead" in answer.detail
