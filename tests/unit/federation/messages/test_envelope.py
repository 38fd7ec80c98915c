"""A message arrives as it was sent, or is refused with the reason; nothing else is ever raised, whatever the bytes."""

import random
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.federation.fields import CLOCK_TOLERANCE_MS, RECORD_BYTES_MAX
from contract.federation.frames import Part, SignedEnvelope
from contract.federation.messages import EnrolmentRequest, MaskedUpdate, encode_message
from federation.messages.envelope import PART_BYTES, seal, unseal
from federation.messages.identity import Identity
from federation.messages.inbox import Inbox
from federation.refusals import EnvelopeRefusedError
from support.envelopes import REFUSAL, record, records, refused, take
from support.masking_round import FEDERATION, NOW_MS, identity, roster, seeded_bytes


def test_a_message_arrives_with_its_heading_and_its_sender() -> None:
    opened = take(record(epoch=4))
    assert opened is not None
    assert opened.message == REFUSAL
    assert opened.sender == identity("alma").public
    heading = opened.envelope
    assert (heading.type, heading.round, heading.attempt, heading.sender, heading.epoch) == ("refusal", 3, 1, "alma", 4)


def test_a_sealed_message_is_read_by_its_reader_alone() -> None:
    data = record(reader=identity("coordinator").public)
    assert encode_message(REFUSAL) not in data
    opened = take(data)
    assert opened is not None
    assert opened.message == REFUSAL
    assert refused(data, Inbox(FEDERATION, identity("berta"))) == "unreadable"
    assert refused(data, Inbox(FEDERATION)) == "unreadable"


def test_a_sealed_body_cannot_be_moved_under_another_heading() -> None:
    sealed = msgspec.msgpack.decode(record(reader=identity("coordinator").public), type=SignedEnvelope)
    fields = msgspec.msgpack.decode(sealed.envelope)
    fields[5] = "berta"  # the sender: berta signs what alma sealed
    stolen = msgspec.msgpack.encode(fields)
    genuine = seal(REFUSAL, identity("berta"), federation=FEDERATION, sent_at_ms=NOW_MS)
    assert msgspec.msgpack.decode(genuine.envelope)[5] == "berta"
    signed = resigned(stolen, identity("berta"))
    assert refused(msgspec.msgpack.encode(signed)) == "unreadable"


def resigned(envelope: bytes, signer: Identity) -> SignedEnvelope:
    import hashlib

    from federation.messages.envelope import ENVELOPE_DOMAIN

    return SignedEnvelope(envelope=envelope, signature=signer.sign(hashlib.sha512(envelope).digest(), ENVELOPE_DOMAIN))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(lambda: b"", "malformed", id="nothing"),
        pytest.param(lambda: record()[:-1], "malformed", id="truncated"),
        pytest.param(lambda: record() + b"\x00", "malformed", id="more behind it"),
        pytest.param(lambda: b"\x00" * (RECORD_BYTES_MAX + 1), "oversized", id="oversized"),
        pytest.param(lambda: record(sent_at_ms=NOW_MS + CLOCK_TOLERANCE_MS + 1), "time", id="from the future"),
        pytest.param(lambda: record(federation="others"), "wrong_federation", id="another federation"),
        pytest.param(lambda: record(sender="xaver"), "unknown_sender", id="a stranger"),
        pytest.param(
            lambda: msgspec.msgpack.encode(
                resigned(
                    seal(REFUSAL, identity("alma"), federation=FEDERATION, sent_at_ms=1).envelope, identity("berta")
                )
            ),
            "unsigned",
            id="forged",
        ),
        pytest.param(lambda: msgspec.msgpack.encode(Part(data=b"x")), "parts", id="a part of nothing"),
    ],
)
def test_what_is_wrong_is_refused_with_its_own_reason(data: Callable[[], bytes], reason: str) -> None:
    assert refused(data()) == reason


def test_a_message_just_ahead_of_the_clock_is_taken() -> None:
    assert take(record(sent_at_ms=NOW_MS + CLOCK_TOLERANCE_MS)) is not None


def test_a_body_that_is_not_of_its_type_is_refused() -> None:
    signed = seal(REFUSAL, identity("alma"), federation=FEDERATION, sent_at_ms=NOW_MS)
    fields = msgspec.msgpack.decode(signed.envelope)
    fields[2] = "update"
    assert refused(msgspec.msgpack.encode(resigned(msgspec.msgpack.encode(fields), identity("alma")))) == "malformed"


@pytest.mark.parametrize("body", [b"\xc1", encode_message(REFUSAL)], ids=["no message", "no enrolment"])
def test_an_enrolment_that_is_none_has_no_keys_to_be_checked_with(body: bytes) -> None:
    signed = seal(REFUSAL, identity("alma"), federation=FEDERATION, sent_at_ms=NOW_MS)
    fields = msgspec.msgpack.decode(signed.envelope)
    fields[2], fields[9] = "enrolment", body
    assert refused(msgspec.msgpack.encode(resigned(msgspec.msgpack.encode(fields), identity("alma")))) == "malformed"


def test_what_is_longer_than_a_message_can_be_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(encode_message(REFUSAL))
    monkeypatch.setattr("federation.messages.envelope.MESSAGE_BYTES_MAX", size)
    seal(REFUSAL, identity("alma"), federation=FEDERATION, sent_at_ms=NOW_MS)
    monkeypatch.setattr("federation.messages.envelope.MESSAGE_BYTES_MAX", size - 1)
    with pytest.raises(EnvelopeRefusedError, match="oversized"):
        seal(REFUSAL, identity("alma"), federation=FEDERATION, sent_at_ms=NOW_MS)


def test_another_version_is_refused() -> None:
    signed = seal(REFUSAL, identity("alma"), federation=FEDERATION, sent_at_ms=NOW_MS)
    fields = msgspec.msgpack.decode(signed.envelope)
    fields[0] = 2
    assert refused(msgspec.msgpack.encode(resigned(msgspec.msgpack.encode(fields), identity("alma")))) == "malformed"


def test_another_encoding_of_the_same_message_is_refused() -> None:
    signed = seal(REFUSAL, identity("alma"), federation=FEDERATION, sent_at_ms=NOW_MS)
    loose = b"\x9a\xcd\x00\x01" + signed.envelope[2:]  # version 1 in three bytes instead of one
    assert signed.envelope[:2] == b"\x9a\x01"
    assert refused(msgspec.msgpack.encode(resigned(loose, identity("alma")))) == "malformed"


def test_an_enrolment_is_checked_with_the_keys_it_names() -> None:
    stranger = Identity.generate("xenia", seeded_bytes("xenia"))
    request = EnrolmentRequest(
        signing_key=stranger.public.signing_key, sealing_key=stranger.public.sealing_key, allow_robust=False
    )
    signed = seal(request, stranger, federation=FEDERATION, sent_at_ms=NOW_MS)
    opened = unseal(signed, federation=FEDERATION, roster=roster, now_ms=NOW_MS)
    assert opened.sender == stranger.public
    other = seal(request, identity("alma"), federation=FEDERATION, sent_at_ms=NOW_MS, sender="xenia")
    with pytest.raises(EnvelopeRefusedError, match="unsigned"):
        unseal(other, federation=FEDERATION, roster=roster, now_ms=NOW_MS)
    bad = msgspec.structs.replace(request, sealing_key=b"\xff" * 1216)
    with pytest.raises(EnvelopeRefusedError, match="malformed"):
        unseal(
            seal(bad, stranger, federation=FEDERATION, sent_at_ms=NOW_MS),
            federation=FEDERATION,
            roster=roster,
            now_ms=NOW_MS,
        )


def test_what_is_in_an_envelope_can_be_passed_on_and_checked_again() -> None:
    opened = take(record())
    assert opened is not None
    again = unseal(opened.signed, federation=FEDERATION, roster=roster, now_ms=NOW_MS)
    assert again.message == REFUSAL


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    assert refused(data)


LONG = MaskedUpdate(payload=random.Random(7).randbytes(2 * PART_BYTES + 1_000))
FUZZED = [record(), record(reader=identity("coordinator").public), *records(LONG)[:1]]


@given(
    st.sampled_from(FUZZED), st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=4)
)
def test_changed_bytes_of_a_real_record_are_refused_and_nothing_else_is_raised(
    data: bytes, changes: list[tuple[int, int]]
) -> None:
    changed = bytearray(data)
    for position, flip in changes:
        changed[position % len(data)] ^= flip
    if bytes(changed) != data:
        assert refused(bytes(changed))


@given(st.sampled_from(FUZZED), st.integers(0, 10_000), st.binary(max_size=20))
def test_cut_and_spliced_records_are_refused(data: bytes, position: int, more: bytes) -> None:
    position %= len(data)
    assert refused(data[:position] + more[: len(data) - position - 1])


@given(
    st.recursive(
        st.none() | st.integers(-5, 5) | st.text(max_size=5) | st.binary(max_size=5),
        lambda inner: st.lists(inner, max_size=11),
        max_leaves=20,
    )
)
def test_any_msgpack_is_refused_and_nothing_else_is_raised(value: object) -> None:
    assert refused(msgspec.msgpack.encode(["envelope", msgspec.msgpack.encode(value), b""]))
    assert refused(msgspec.msgpack.encode(["parts", msgspec.msgpack.encode(value), b""]))
    assert refused(msgspec.msgpack.encode(value))
