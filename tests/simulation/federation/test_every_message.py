"""Every type of message, on every log, from every kind of sender: handled or dropped with a reason, and the process continues.

Generated from the union of messages, so that a type that is added tomorrow is tried tomorrow.
"""

import copy
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from contract.errors import InvariantError
from contract.federation.fields import COORDINATOR, OPERATOR
from contract.federation.messages import Claim, EnrolmentRequest, Message, Order, Refusal, decode_message, get_type_name
from contract.federation.reasons import DROP_REASONS
from federation.audit.history import decode_content
from federation.coordinator import intake
from federation.coordinator.coordinator import Coordinator
from federation.messages.envelope import seal, to_records
from federation.messages.identity import Identity
from federation.messages.rights import RIGHTS, TYPES, find_office
from federation.participant import trust
from federation.participant.participant import HEARD, Participant
from federation.simulation.world import World
from federation.transports.ports import LogName, Outgoing, Record
from support.copies import OWN, copied_participant, told
from support.federation_ledger import ledger_of
from support.federation_world import small_settings, small_world

GOLDEN = Path(__file__).parents[2] / "golden" / "federation-v1"
WORTH = {"drops", "notes", "orders", "said_ms", "received"}
"""What a message that does not count may leave behind in the coordinator's state: the account of it."""


@cache
def examples() -> dict[str, Message]:
    """One message of each type."""
    found: dict[str, Message] = {}
    for file in sorted(GOLDEN.glob("*.msgpack")):
        if not file.stem.startswith(("announcement", "envelope", "frame")):
            message = decode_message(file.read_bytes())
            found.setdefault(get_type_name(message), message)
    assert {type(message) for message in found.values()} == TYPES
    return found


class Sender(NamedTuple):
    """Under which name somebody speaks, and whether the name is its own."""

    name: str
    identity: Identity
    truly: bool = True


STRANGER = Identity.generate("mallory")


@cache
def begun(under_way: bool) -> World:
    """Two approved participants and more, one revoked, one that left; an attempt under way, or none."""
    world = small_world(small_settings("masked"), 6)
    world.enrol_all()
    world.order(Order(action="revoke", participant="shop-3"))
    world.participants["shop-4"].leave("")
    world.take_turn()
    if under_way:
        world.order_rounds(1)
        world.take_coordinator_turn()
    world.take_participants_turn()
    assert (world.coordinator.coordinator.attempt is not None) == under_way
    return world


def senders(world: World) -> dict[str, Sender]:
    ids = world.identities
    return {
        "coordinator": Sender(COORDINATOR, world.identity),
        "operator": Sender(OPERATOR, world.identity),
        "approved": Sender("shop-1", ids["shop-1"]),
        "revoked": Sender("shop-3", ids["shop-3"]),
        "left": Sender("shop-4", ids["shop-4"]),
        "stranger": Sender("mallory", STRANGER),
        "stranger as coordinator": Sender(COORDINATOR, STRANGER, truly=False),
        "stranger as operator": Sender(OPERATOR, STRANGER, truly=False),
        "stranger as participant": Sender("shop-1", STRANGER, truly=False),
        "participant as coordinator": Sender(COORDINATOR, ids["shop-1"], truly=False),
        "participant as another": Sender("shop-2", ids["shop-1"], truly=False),
        "coordinator as participant": Sender("shop-1", world.identity, truly=False),
    }


def record_of(world: World, message: Message, sender: Sender, log: LogName, *, sealed: bool = False) -> Record:
    """Of the attempt under way, in the words of `sender`; what is signed with the keys it names names its keys."""
    if isinstance(message, Claim | EnrolmentRequest):
        keys = sender.identity.public
        message = msgspec.structs.replace(message, signing_key=keys.signing_key, sealing_key=keys.sealing_key)
    attempt = world.coordinator.coordinator.attempt
    reader = None if not sealed else (world.identities["shop-0"] if log in HEARD else world.identity).public
    signed = seal(
        message, sender.identity, federation=world.settings.name, round_number=attempt.plan.round if attempt else 0,
        attempt=attempt.plan.attempt if attempt else 0, sent_at_ms=world.broker.now_ms, epoch=world.state.epoch,
        reader=reader, sender=sender.name,
    )  # fmt: skip
    (value,) = to_records(signed, sender.identity)
    return Record(log, 0, b"", value, world.broker.now_ms)


def may(log: LogName, message: Message, sender: Sender) -> bool:
    """By the table, and because the name is the sender's own or the message needs none."""
    office = find_office(sender.name, on_roster=sender.name.startswith("shop"))
    return type(message) in RIGHTS[log][office] and (sender.truly or isinstance(message, EnrolmentRequest))


def copied(world: World) -> Coordinator:
    real = world.coordinator.coordinator
    shared = [world, world.identity, real._identity, real._operator]
    return copy.deepcopy(real, {id(each): each for each in shared})


def kept(state: Any) -> dict[str, Any]:
    return {name: value for name, value in msgspec.to_builtins(state).items() if name not in WORTH}


@pytest.mark.parametrize("under_way", [False, True], ids=["idle", "under-way"])
def test_the_coordinator_handles_or_drops_every_type_of_every_sender(under_way: bool) -> None:
    world = begun(under_way)
    coordinator = copied(world)
    dropped: list[str] = []
    coordinator._dropped = lambda _sender, reason, _detail: dropped.append(reason)
    for sender, message, sealed in product(senders(world).values(), examples().values(), (False, True)):
        before, count = kept(coordinator.state), len(dropped)
        coordinator.handle_record(record_of(world, message, sender, "updates", sealed=sealed))
        reasons = dropped[count:]
        assert len(reasons) <= 1
        assert not reasons or (reasons[0] in DROP_REASONS and reasons[0] != "defect"), (sender, message)
        if not may("updates", message, sender):
            assert reasons, (sender, message)
        if reasons:
            assert kept(coordinator.state) == before, (sender, message, reasons)
        else:
            coordinator = copied(world)  # it did something: the next one meets the coordinator as it was
            coordinator._dropped = lambda _sender, reason, _detail: dropped.append(reason)
    coordinator.decide(world.broker.now_ms + 500)


@pytest.mark.parametrize("under_way", [False, True], ids=["idle", "under-way"])
def test_a_participant_handles_or_drops_every_type_of_every_sender(under_way: bool) -> None:
    world = begun(under_way)
    for log, sender, message, sealed in product(HEARD, senders(world).values(), examples().values(), (False, True)):
        participant = copied_participant(world, "shop-0")
        participant.handle_record(record_of(world, message, sender, log, sealed=sealed))
        assert participant.dropped.keys() <= DROP_REASONS.keys() - {"defect"}, (sender, message)
        if not may(log, message, sender):
            assert sum(participant.dropped.values()) == 1, (log, sender, message)
            assert participant.state == world.participants["shop-0"].participant.state


def test_readers_and_a_recovering_coordinator_pass_over_what_others_say_on_every_log() -> None:
    world = small_world(small_settings("masked"), 5)
    world.enrol_all()
    world.run_rounds(1)
    before = told(world)
    others = [sender for sender in senders(world).values() if sender.identity is not world.identity]
    for log, sender, message in product(OWN, others, examples().values()):
        world.broker.take([record_outgoing(world, message, sender, log)], "mallory", exclusive=True)
    after = told(world)
    assert after._replace(refused=0) == before._replace(refused=0)
    assert after.refused == before.refused + 2 * len(others) * len(TYPES), "it reads two logs"
    world.restart_coordinator()
    world.run_rounds(1)
    assert world.state.model.version == 2


def record_outgoing(world: World, message: Message, sender: Sender, log: LogName) -> Outgoing:
    record = record_of(world, message, sender, log)
    return Outgoing(log, b"mallory", record.value)


def put(world: World, message: Message, by: Identity) -> None:
    world.broker.take([record_outgoing(world, message, Sender(by.name, by), "updates")], by.name, exclusive=True)


def test_a_strangers_claim_on_the_updates_log_is_one_dropped_message_and_stays_one_after_a_restart() -> None:
    world = small_world(small_settings("masked"), 3)
    world.enrol_all()
    world.run_rounds(1)
    keys = STRANGER.public
    put(world, Claim(instance="x", signing_key=keys.signing_key, sealing_key=keys.sealing_key), STRANGER)
    for model in (2, 3):
        world.run_rounds(1)
        assert world.state.model.version == model
        assert world.drops["no_right"] == 1
        world.restart_coordinator()


def failing(*_: object, **__: object) -> None:
    raise ZeroDivisionError("a secret of the record")


def test_an_error_while_a_record_is_checked_drops_it_as_a_defect_each_time_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = small_world(small_settings("masked"), 4)
    world.enrol_all()
    world.order_rounds(1)
    world.take_coordinator_turn()
    heard: list[tuple[str, str, str]] = []
    real = intake.take

    def take(state: Any, attempt: Any, opened: Any) -> Any:
        return failing() if isinstance(opened.message, Refusal) else real(state, attempt, opened)

    monkeypatch.setattr(intake, "take", take)
    put(world, Refusal(reason="data"), world.identities["shop-3"])
    world.coordinator.coordinator._dropped = lambda *said: heard.append(said)
    world.take_coordinator_turn()
    assert [(sender, reason) for sender, reason, _ in heard] == [("shop-3", "defect")]
    assert "ZeroDivisionError" in heard[0][2]
    assert "secret" not in heard[0][2]
    world.restart_coordinator()
    assert world.drops == {"defect": 1}, "a restarted coordinator drops it again"
    counts = [decode_content(entry) for entry in ledger_of(world) if entry.kind == "dropped"]
    assert counts == [{"defect": 1}]
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert world.state.model.version == 1


@pytest.mark.parametrize(
    "error", [InvariantError("broken"), OSError("disk"), MemoryError()], ids=lambda one: type(one).__name__
)
def test_what_is_no_fault_of_the_record_is_never_swallowed(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    world = small_world(small_settings("masked"), 3)
    world.enrol_all()

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(intake, "take", fail)
    put(world, Refusal(reason="data"), world.identities["shop-0"])
    with pytest.raises(type(error)):
        world.take_coordinator_turn()


def test_an_error_in_changing_the_state_is_never_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    world = small_world(small_settings("masked"), 3)
    world.enrol_all()
    monkeypatch.setattr(intake, "take", lambda *_: failing)
    put(world, Refusal(reason="data"), world.identities["shop-0"])
    with pytest.raises(ZeroDivisionError):
        world.take_coordinator_turn()


def test_a_participant_that_fails_at_a_message_drops_it_and_leaves_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    world = small_world(small_settings("masked"), 4)
    world.enrol_all()
    world.order_rounds(1)
    world.take_coordinator_turn()
    participant: Participant = world.participants["shop-0"].participant
    monkeypatch.setattr(participant.updates, "answer", failing)
    world.run_until(lambda: world.coordinator.coordinator.idle)
    assert participant.dropped["defect"] == 1
    assert world.state.model.version == 1, "the round continued without it"
    monkeypatch.setattr(trust, "accept_roster", failing)
    world.order(Order(action="revoke", participant="shop-3"))
    world.take_turn()
    assert participant.dropped["defect"] == 2
