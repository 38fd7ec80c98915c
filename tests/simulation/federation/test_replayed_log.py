"""A stranger who may write to the coordinator's logs appends again what stands there: nothing that is remembered may change."""

from collections.abc import Callable, Sequence

import pytest

from contract.errors import InvariantError
from federation.audit import history
from federation.audit.history import LogReader
from federation.messages import envelope
from federation.simulation.world import World
from federation.transports.memory import CrashError, MemoryTransport
from federation.transports.ports import LogName, Outgoing, Record
from support.copies import OWN, again, known, made, meddle, recalled, records_of, told, under_way
from support.federation_kinds import heading_of
from support.federation_world import HIDDEN

MODES = ["masked", "robust"]


@pytest.fixture(params=["short", pytest.param("long", marks=pytest.mark.slow)])
def hidden(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, ...]:
    """`long`: models, updates and the coordinator's lists are of several records each."""
    if request.param == "short":
        return HIDDEN
    monkeypatch.setattr(envelope, "PART_BYTES", 10_000)
    monkeypatch.setattr(envelope, "SINGLE_BYTES_MAX", 14_000)
    return (800,)


def finishes(world: World, version: int) -> None:
    """What is under way ends with this model, and a further round gives one, too; all of it after a restart."""
    world.restart_coordinator()
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.state.model.version == version
    world.run_rounds(1)
    assert world.state.model.version == version + 1
    world.restart_coordinator()
    assert told(world).audit.holds
    assert len(told(world).entries) == world.state.ledger.following


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("checkpoint", [False, True], ids=["without-a-checkpoint", "after-a-checkpoint"])
def test_whole_logs_appended_again_change_nothing_that_a_coordinator_remembers(
    mode: str, checkpoint: bool, hidden: tuple[int, ...]
) -> None:
    world = made(mode, hidden)
    copies = records_of(world)
    right = known(world.coordinator)
    assert recalled(world, checkpoint=checkpoint) == right
    assert recalled(world, copies, checkpoint=checkpoint) == right
    assert recalled(world, copies[::-1], checkpoint=checkpoint) == right
    again(world.broker, copies)
    finishes(world, 2)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("checkpoint", [False, True], ids=["without-a-checkpoint", "after-a-checkpoint"])
def test_any_single_record_appended_again_in_an_attempt_changes_nothing_that_a_coordinator_remembers(
    mode: str, checkpoint: bool
) -> None:
    world = under_way(made(mode), mode)
    right = known(world.coordinator)
    for record in records_of(world):
        assert recalled(world, [record], checkpoint=checkpoint) == right, heading_of(record.value)
        steps = [one for one in records_of(world) if (heading := heading_of(one.value)) and heading.kind == "step"]
        assert recalled(world, [steps[0], record, steps[-1]], checkpoint=checkpoint) == right


@pytest.mark.parametrize("mode", MODES)
def test_records_appended_again_do_not_end_an_attempt_for_those_who_take_part(
    mode: str, hidden: tuple[int, ...]
) -> None:
    world = under_way(made(mode, hidden), mode)
    again(world.broker, records_of(world))
    world.take_participants_turn()
    again(world.broker, records_of(world, ("control",)))
    finishes(world, 3)
    kinds = [entry.kind for entry in told(world).entries]
    assert (kinds.count("plan"), kinds.count("failure")) == (4, 0)


@pytest.mark.parametrize("mode", MODES)
def test_old_records_between_those_of_one_decision_change_nothing(mode: str, hidden: tuple[int, ...]) -> None:
    """Kafka keeps a transaction's records in their order, and others' may stand between them."""
    world = made(mode, hidden, rounds=1)
    old = records_of(world)
    steps = [record for record in old if (heading := heading_of(record.value)) and heading.kind == "step"]
    long = [record for record in old if heading_of(record.value) is None]

    def mingled(records: Sequence[Outgoing]) -> list[Outgoing]:
        found: list[Outgoing] = []
        for place, record in enumerate(records):
            found.append(record)
            copies = [*records[: place + 1], *(Outgoing(one.log, one.key, one.value) for one in (*steps, *long))]
            # On its own log and on the two others.
            found += [copied._replace(log=log) for copied in copies for log in OWN]
        return found

    right = known(world.coordinator)
    meddle(world, mingled)
    world.order_rounds(1)
    for _ in range(100):
        world.take_coordinator_turn()
        right = known(world.coordinator)
        assert recalled(world, checkpoint=True) == right
        assert recalled(world, checkpoint=False) == right
        if world.coordinator.coordinator.idle and world.state.model.version == 2:
            break
        # Participants hear nothing of the stranger: what is at stake is what a coordinator remembers.
        unmeddled(world)
        world.take_participants_turn()
        world.advance(500)
    assert world.state.model.version == 2


def unmeddled(world: World) -> None:
    """Participants skip copies."""
    for one in world.participants.values():
        transport = one._transport
        if hasattr(transport, "heard"):
            continue
        poll = transport.poll
        heard: set[tuple[str, bytes]] = set()

        def first(timeout_s: float, poll: Callable[[float], list[Record]] = poll, heard: set[tuple[str, bytes]] = heard) -> list[Record]:  # fmt: skip
            found = []
            for record in poll(timeout_s):
                if (record.log, record.value) not in heard:
                    heard.add((record.log, record.value))
                    found.append(record)
            return found

        transport.poll = first  # type: ignore[method-assign]
        transport.heard = heard  # type: ignore[attr-defined]


@pytest.mark.parametrize("mode", MODES)
def test_what_a_killed_coordinator_did_not_come_to_say_does_not_count_when_a_stranger_says_it(mode: str) -> None:
    """Of a transaction that failed, anybody may have read the records."""
    world = made(mode)
    unsaid: list[Outgoing] = []

    def lost(records: Sequence[Outgoing]) -> list[Outgoing]:
        unsaid.extend(records)
        raise CrashError

    world.order_rounds(1)
    meddle(world, lost)
    world.take_coordinator_turn()
    assert world.crashes == 1
    right = known(world.coordinator)
    assert recalled(world, unsaid, checkpoint=True) == right
    assert recalled(world, unsaid[::-1], checkpoint=True) == right
    for record in unsaid:
        assert recalled(world, [record], checkpoint=True) == right
    assert recalled(world, unsaid, checkpoint=False) == right


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("log", OWN)
def test_a_decision_of_which_a_record_is_gone_and_upon_which_others_are_built_is_not_taken_for_one_that_was_never_made(
    mode: str, log: LogName
) -> None:
    """Of three in each log; of the newest decision another test says what becomes."""
    world = under_way(made(mode, rounds=1), mode)
    records = world.broker._logs[log]
    newest = [place for place, one in enumerate(records) if heading_of(one.value).kind == "step"][-1:]  # type: ignore[union-attr]
    last = {"control": (newest or [0])[0] - 1, "models": len(records) - 1, "ledger": len(records) - 4}[log]
    for place in {last, last // 2, 1 if log == "control" else 0}:
        gone = records.pop(place)
        with pytest.raises(InvariantError, match="records of the federation's topics are lost"):
            recalled(world, checkpoint=False)
        records.insert(place, gone)
    recalled(world, checkpoint=False)


@pytest.mark.parametrize("mode", MODES)
def test_a_ledger_whose_entries_are_appended_again_holds_and_is_no_longer(mode: str) -> None:
    world = made(mode)
    before = told(world)
    again(world.broker, records_of(world, ("ledger", "control")))
    after = told(world)
    assert after.audit.holds
    assert (after.entries, after.roster, after.refused) == (before.entries, before.roster, 0)


def test_what_a_reader_keeps_before_it_knows_the_coordinator_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "EARLY_BYTES_MAX", 100_000)
    world = made("masked", rounds=1)
    control = world.broker._logs["control"]
    real = list(control)
    world.broker._logs["control"] = []
    again(world.broker, [Outgoing("control", b"x", bytes(10_000)) for _ in range(50)])
    reader = LogReader(MemoryTransport(world.broker, "reader"), world.settings.name, world.identity.public.fingerprint)
    assert reader.read().entries == ()
    assert reader._told._early_bytes <= 100_000
    assert sum(len(record.value) for record in reader._told._early) == reader._told._early_bytes
    again(world.broker, real)
    found = reader.read()
    assert found.audit.holds, "the ledger waited for the claim"
    assert len(found.entries) == world.state.ledger.following
    assert found.roster is not None
    assert found.refused == 50
