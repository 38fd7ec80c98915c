"""Bodies of any content behind a valid signature: refused and counted, or a message of its type; never an error, never half taken."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from contract.errors import InvalidEventError
from contract.federation.fields import WIRE_VERSION
from contract.federation.frames import Envelope, SignedEnvelope
from contract.federation.messages import Order, decode_message, encode_message, get_type_name
from federation.coordinator.coordinator import Coordinator
from federation.messages.envelope import ENVELOPE_DOMAIN, _seal_info, hash_signed
from federation.messages.identity import Identity, PublicIdentity
from federation.simulation.world import World
from federation.transports.ports import LogName, Record
from support.copies import copied_participant
from support.federation_world import small_settings, small_world
from support.lying_coordinator import Conversation, Ear

SHOP = "shop-0"
GOLDEN = Path(__file__).parents[2] / "golden" / "federation-v1"
FORGED_FROM = {file.stem: file.read_bytes() for file in sorted(GOLDEN.glob("*.msgpack"))}
OUTSIDE = ("announcement", "envelope", "frame")
BODIES = [body for name, body in FORGED_FROM.items() if not name.startswith(OUTSIDE)]
VALUES: list[object] = [
    0,
    1,
    -1,
    2**63,
    2**64 - 1,
    1e308,
    float("nan"),
    float("inf"),
    True,
    None,
    "",
    "p" * 70,
    b"",
    b"\xff" * 33,
    [],
    {},
]


def places_in(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything within a decoded body."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, each in inner for place in [(*path, key), *places_in(each, (*path, key))]]


def with_value(body: bytes, choice: int, value: Any) -> bytes:
    """One value within the body is another."""
    content = msgspec.msgpack.decode(body)
    paths = [path for path in places_in(content) if path != ("type",)]
    if not paths:
        return body
    *outer, last = paths[choice % len(paths)]
    holder = content
    for key in outer:
        holder = holder[key]
    holder[last] = value
    return msgspec.msgpack.encode(content)


def with_byte(body: bytes, choice: int, value: int) -> bytes:
    place = choice % len(body)
    return body[:place] + bytes([value]) + body[place + 1 :]


def without_part(body: bytes, choice: int, count: int) -> bytes:
    place = choice % len(body)
    return body[:place] + body[place + count :]


numbers = st.integers(0, 2**20)
changes = st.one_of(
    st.builds(lambda choice, value: lambda body: with_value(body, choice, value), numbers, st.sampled_from(VALUES)),
    st.builds(lambda choice, value: lambda body: with_byte(body, choice, value), numbers, st.integers(0, 255)),
    st.builds(lambda choice, count: lambda body: without_part(body, choice, count), numbers, st.integers(1, 40)),
)


def signed_record(
    body: bytes, kind: str, world: World, by: Identity, *, log: LogName, reader: PublicIdentity | None = None
) -> Record:
    """Any bytes as a body, in an envelope of the attempt under way whose signature holds."""
    heading = Envelope(
        version=WIRE_VERSION,
        federation=world.settings.name,
        type=kind,
        round=1,
        attempt=0,
        sender=by.name,
        recipient=reader.name if reader else None,
        sent_at_ms=world.broker.now_ms,
        epoch=world.state.epoch,
        body=b"",
    )
    sealed = reader.seal(body, _seal_info(heading)) if reader else body
    envelope = msgspec.msgpack.encode(msgspec.structs.replace(heading, body=sealed))
    signature = by.sign(hash_signed(envelope), ENVELOPE_DOMAIN)
    record = msgspec.msgpack.encode(SignedEnvelope(envelope=envelope, signature=signature))
    return Record(log, 0, b"", record, world.broker.now_ms)


def is_message(body: bytes, kind: str) -> bool:
    try:
        return get_type_name(decode_message(body)) == kind
    except InvalidEventError:
        return False


STAGES = ["keys", "shares", "updates", "unmasking", "robust"]


@cache
def waiting(stage: str) -> tuple[World, bytes]:
    """A coordinator that waits for this stage's answers, of which SHOP's stands here."""
    world = small_world(small_settings("robust" if stage == "robust" else "masked"), 4)
    world.enrol_all()
    world.order(Order(action="run", rounds=1))
    wanted = "updates" if stage == "robust" else stage
    while True:
        world.take_coordinator_turn()
        attempt = world.coordinator.coordinator.attempt
        ear = Ear(world)
        if attempt is not None and attempt.state.stage == wanted:
            world.take_participants_turn()
            answer = next(each.message for each in ear.answers() if each.envelope.sender == SHOP)
            return world, encode_message(answer)
        world.take_participants_turn()
        world.advance(2_000)


def copied(world: World) -> Coordinator:
    """The coordinator as it waits, to be spoiled."""
    real = world.coordinator.coordinator
    shared = [world, world.identity, real._identity, real._operator]
    return copy.deepcopy(real, {id(each): each for each in shared})


@given(st.sampled_from(STAGES), st.integers(0, 2 * len(BODIES)), changes, st.booleans())
def test_the_coordinator_drops_what_is_no_message_and_never_fails(
    stage: str, chosen: int, change: Any, sealed: bool
) -> None:
    world, answer = waiting(stage)
    original = BODIES[chosen] if chosen < len(BODIES) else answer  # every second time what is waited for
    body, kind = change(original), get_type_name(decode_message(original))
    coordinator = copied(world)
    before = sum(coordinator.state.drops.values())
    reader = world.identity.public if sealed else None
    coordinator.handle_record(signed_record(body, kind, world, world.identities[SHOP], log="updates", reader=reader))
    dropped = sum(coordinator.state.drops.values()) - before
    assert dropped in {0, 1}
    assert "defect" not in coordinator.state.drops, "foreseen, and refused in words"
    if not is_message(body, kind):
        assert dropped == 1
        untouched = world.coordinator.coordinator.attempt
        assert coordinator.attempt is not None
        assert untouched is not None
        assert coordinator.attempt.state == untouched.state
    coordinator.decide(world.broker.now_ms + 500)


@cache
def led(stage: str) -> Conversation:
    world = small_world(small_settings("masked"), 4)
    world.enrol_all()
    return Conversation(world, stage)


@given(
    st.sampled_from(["keys", "shares", "updates"]),
    st.integers(0, 2 * len(BODIES)),
    changes,
    st.sampled_from(["control", "models"]),
)
def test_a_participant_drops_what_is_no_message_and_never_fails(
    stage: str, chosen: int, change: Any, log: LogName
) -> None:
    conversation = led(stage)
    world = conversation.world
    original = BODIES[chosen] if chosen < len(BODIES) else encode_message(conversation.due)
    body, kind = change(original), get_type_name(decode_message(original))
    participant = copied_participant(world, SHOP)
    participant.handle_record(signed_record(body, kind, world, world.identity, log=log))
    dropped = sum(participant.dropped.values())
    assert dropped in {0, 1}
    assert "defect" not in participant.dropped, participant.last_drop
    if not is_message(body, kind):
        assert dropped == 1
        assert not participant.outbox
