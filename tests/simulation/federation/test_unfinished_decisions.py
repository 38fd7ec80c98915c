"""A coordinator dies in a transaction, and a stranger appends some of its records: the next one starts, and forgets no spend."""

import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import InvariantError
from contract.federation.messages import Order
from contract.federation.settings import RoundPrivacySettings
from federation.audit.history import rebuild_privacy_ledger
from federation.coordinator import reconciliation
from federation.coordinator.process import CoordinatorProcess
from federation.simulation.world import World
from federation.transports.memory import CrashError, MemoryTransport
from federation.transports.ports import LogName, Outgoing
from support.copies import OWN, again, known, made, meddle, recalled, records_of, told, under_way
from support.federation_kinds import heading_of
from support.federation_proof import verdict_of
from support.federation_world import small_settings, small_world, until_stage

MODES = ["masked", "robust"]
PRIVACY = RoundPrivacySettings(level="client", noise_multiplier=1.0, epsilon_max=500.0)
Chosen = Callable[[list[Outgoing]], Sequence[Outgoing]]


def private(mode: str, participants: int = 4) -> World:
    """Whose rounds cost, so that it shows whether a spend was forgotten."""
    rule = {"rule": "mean", "weight_max": 1.0}
    world = small_world(small_settings(mode, privacy=PRIVACY, attempts_max=8, robust=rule), participants)
    world.enrol_all()
    return world


def dying(world: World, number: int, chosen: Chosen, *, heard: bool = False) -> list[Outgoing]:
    """The coordinator is killed in its append of this number from now on, and of that these records are appended.

    `heard`: participants act on them before the next coordinator starts. Gives all records, once that was.
    """
    unsaid: list[Outgoing] = []
    count = 0

    def lost(records: Sequence[Outgoing]) -> list[Outgoing]:
        nonlocal count
        count += 1
        if count < number:
            return list(records)
        unsaid.extend(records)
        again(world.broker, chosen(list(records)))
        if heard:
            world.take_participants_turn()
        raise CrashError

    meddle(world, lost)
    return unsaid


def of(records: Sequence[Outgoing], *kinds: str, logs: Sequence[LogName] = OWN) -> list[Outgoing]:
    found = [(one, heading_of(one.value)) for one in records if one.log in logs]
    return [one for one, heading in found if heading is not None and heading.kind in kinds]


def check(world: World) -> None:
    """The ledger is one chain, from which the account can be rebuilt; nobody knows of an attempt that is not in it."""
    found = told(world)
    assert found.audit.holds, found.audit.reason
    assert len(found.entries) == world.state.ledger.following
    verdict_of(found.entries)
    spends = [(one.spend.round, one.spend.attempt) for one in world.state.spends]
    assert len(set(spends)) == len(spends)
    account = rebuild_privacy_ledger(found.entries, PRIVACY)
    assert [(one.round, one.attempt) for one in account.spends] == spends
    for name, one in world.participants.items():
        paid = {(each.spend.round, each.spend.attempt) for each in one.participant.state.spends}
        assert paid <= set(spends), name
        assert one.participant.state.roster_version == world.state.roster_version
        assert one.participant.state.members == world.state.members
        assert one.participant.state.epoch == world.state.epoch


def some(seed: object) -> Chosen:
    """A part of the records, not all, in any order, each on its own log."""

    def chosen(records: list[Outgoing]) -> list[Outgoing]:
        drawn = random.Random(str(seed))
        return drawn.sample(records, drawn.randint(1, len(records) - 1))

    return chosen


APPENDS = {"masked": 7, "robust": 4}


@pytest.mark.parametrize("heard", [False, True], ids=["", "heard"])
@pytest.mark.parametrize(("mode", "number"), [(mode, n + 1) for mode in MODES for n in range(APPENDS[mode])])
def test_wherever_a_coordinator_dies_and_whatever_part_of_that_is_appended_the_next_one_goes_on(
    mode: str, number: int, *, heard: bool, seed: int
) -> None:
    world = private(mode)
    dying(world, number, some((seed, number)), heard=heard)
    world.run_rounds(2)
    assert world.crashes == 1
    assert world.state.model.version == 2
    assert known(world.coordinator) == recalled(world, checkpoint=False)
    check(world)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("records", ["plan", "step plan", "plan ledger", "step ledger", "ledger"])
def test_a_plan_that_was_appended_is_paid_for_and_its_number_is_not_used_again(mode: str, records: str) -> None:
    world = private(mode)
    before = len(world.state.spends)
    chosen = records.split()
    dying(world, 1, lambda said: of(said, *chosen)[: 1 if records == "ledger" else None], heard=True)
    world.run_rounds(1)
    followed = "plan" in chosen
    assert [(one.spend.round, one.spend.attempt) for one in world.state.spends[before:]] == (
        [(1, 0), (1, 1)] if followed else [(1, 0)]
    )
    reasons = [entry.content for entry in told(world).entries if entry.kind == "failure"]
    assert [reconciliation.UNFINISHED.encode() in reason for reason in reasons] == [True] * followed
    assert world.state.model.version == 1
    for one in world.participants.values():
        assert len(one.participant.state.spends) == 1 + followed
    check(world)


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed-after-its-claim"])
def test_a_plan_that_is_appended_while_the_next_coordinator_starts_is_paid_for(
    monkeypatch: pytest.MonkeyPatch, *, killed: bool
) -> None:
    """Between its reading of the logs and its claim."""
    world = private("masked")
    unsaid = dying(world, 1, lambda _: [])
    recall, started = CoordinatorProcess._recall, 0

    def meddled(process: CoordinatorProcess) -> object:
        nonlocal started
        found = recall(process)
        started += 1
        if started == 1:
            again(world.broker, of(unsaid, "plan"))
            world.take_participants_turn()
            if killed:
                assert isinstance(process.transport, MemoryTransport)
                process.transport.crash_before = 2
        return found

    monkeypatch.setattr(CoordinatorProcess, "_recall", meddled)
    world.order_rounds(1)
    if killed:
        with pytest.raises(CrashError):
            world.take_coordinator_turn()
        world.restart_coordinator()
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert [(one.spend.round, one.spend.attempt) for one in world.state.spends] == [(1, 0), (1, 1)]
    assert world.state.model.version == 1
    check(world)


def test_a_roster_that_was_appended_is_followed_by_a_newer_one() -> None:
    world = private("masked", 6)
    world.order_rounds(1)
    until_stage(world, "updates")
    gone = {"shop-0", "shop-1"}
    for name in sorted(gone):
        world.order(Order(action="revoke", participant=name))
    version = world.state.roster_version
    dying(world, 1, lambda said: of(said, "roster"), heard=True)
    # The next one has heard both orders when it says the roster that the first would have said after one of them.
    world.take_coordinator_turn()
    assert {one.participant.state.roster_version for one in world.participants.values()} == {version + 1}
    world.run_until(lambda: world.coordinator.coordinator.idle)
    check(world)
    assert {name for name, one in world.state.members.items() if one.status == "revoked"} == gone
    assert world.state.roster_version == version + 2


def test_what_is_appended_on_another_log_than_its_own_is_followed_by_nobody() -> None:
    world = private("masked")
    followed: list[object] = []

    def chosen(records: list[Outgoing]) -> list[Outgoing]:
        again(world.broker, [one._replace(log="models") for one in records])
        world.take_participants_turn()
        followed.extend(one.participant.plan for one in world.participants.values())
        return []

    dying(world, 1, chosen)
    world.run_rounds(1)
    assert followed == [None] * 4
    assert [(one.spend.round, one.spend.attempt) for one in world.state.spends] == [(1, 0)]
    check(world)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("log", ["control", "ledger"])
def test_the_newest_decision_counts_no_more_where_a_record_of_it_is_lost_but_its_price_does(
    mode: str, log: LogName
) -> None:
    """As where a broker's disk lost what came last."""
    world = private(mode)
    world.order_rounds(1)
    world.take_coordinator_turn()
    assert world.coordinator.coordinator.attempt is not None
    del world.broker._logs[log][-1]
    for one in world.participants.values():
        one._positions["control"] = min(one._positions["control"], len(world.broker._logs["control"]))
    world.restart_coordinator()
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.state.model.version == 1
    assert len(world.state.spends) == (2 if log == "ledger" else 1), "nobody follows a plan that is not there"
    check(world)


@pytest.mark.parametrize("lost", ["ledger", "control and ledger"])
def test_no_coordinator_starts_where_an_attempt_was_spoken_of_whose_plan_is_lost(lost: str) -> None:
    world = private("masked")
    lengths = {log: len(world.broker._logs[log]) for log in OWN}
    world.run_rounds(1)
    for log in ("control", "ledger") if lost == "control and ledger" else ("ledger",):
        del world.broker._logs[log][lengths[log] :]
    with pytest.raises(InvariantError, match="records of the federation's topics are lost"):
        recalled(world, checkpoint=False)


@pytest.mark.parametrize("lost", ["two decisions", "what a claim follows", "a claim"])
def test_no_coordinator_starts_where_something_was_built_upon_what_is_lost(lost: str) -> None:
    world = private("masked")
    world.order_rounds(1)
    until_stage(world, "keys")
    ledger, control = world.broker._logs["ledger"], world.broker._logs["control"]
    announced = len(ledger)
    if lost == "two decisions":
        until_stage(world, "updates")
        del ledger[announced:]
    elif lost == "what a claim follows":
        until_stage(world, "shares")
        world.restart_coordinator()
        kinds = [heading.kind for one in control if (heading := heading_of(one.value))]
        assert kinds[-3:] == ["key_list", "step", "claim"]
        del control[-3]
    else:
        world.restart_coordinator()
        until_stage(world, "shares")
        del ledger[announced:]
    with pytest.raises(InvariantError, match="upon which others were built"):
        recalled(world, checkpoint=True)


def test_a_coordinator_follows_that_upon_which_most_was_built_whatever_is_appended_later() -> None:
    """One dies in a plan, the next in its claim; the plan is appended whole, the third builds on it, and then comes the claim."""
    world = private("masked")
    plan = dying(world, 1, lambda _: [])
    claims: list[Outgoing] = []
    start = world._start_coordinator

    append = MemoryTransport.append

    def lost(transport: MemoryTransport, records: Sequence[Outgoing]) -> int:
        if of(records, "claim") and not claims:
            claims.extend(records)
            again(world.broker, plan)
            raise CrashError
        return append(transport, records)

    world.order_rounds(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryTransport, "append", lost)
        # The wrapped transport dies with the plan, its successor with its claim.
        with pytest.raises(CrashError):
            world.take_coordinator_turn()
    world.coordinator = start()
    right = known(world.coordinator)
    assert world.coordinator.coordinator.attempt is not None, "the plan was there whole, and counts"
    assert recalled(world, claims, checkpoint=True) == right
    assert recalled(world, claims[::-1], checkpoint=False) == right
    again(world.broker, claims)
    world.restart_coordinator()
    world.run_until(lambda: world.coordinator.coordinator.idle)
    check(world)
    assert told(world).unfinished > 0


@pytest.fixture(scope="module", params=MODES)
def torn(request: pytest.FixtureRequest) -> tuple[World, list[Outgoing], object]:
    """Killed in the last stage of an attempt; what it would have said, and what is known then."""
    world = under_way(made(request.param, rounds=1), request.param)
    unsaid = dying(world, 1, lambda _: [])
    while world.crashes == 0:
        world.take_participants_turn()
        world.advance(500)
        world.take_coordinator_turn()
    return world, unsaid, known(world.coordinator)


@given(data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
def test_any_part_of_the_logs_and_of_what_was_not_said_may_be_appended_in_any_order(
    torn: tuple[World, list[Outgoing], object], data: st.DataObject
) -> None:
    world, unsaid, right = torn
    stood = [Outgoing(one.log, one.key, one.value) for one in records_of(world)]
    pool = [*stood, *unsaid * 3]
    drawn = random.Random(data.draw(st.integers(0, 2**32)))
    appended = drawn.sample(pool, drawn.randint(1, len(pool)))
    moved = [one._replace(log=drawn.choice(OWN)) if drawn.random() < 0.1 else one for one in appended]
    assert recalled(world, moved, checkpoint=drawn.random() < 0.5) == right
