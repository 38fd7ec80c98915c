"""A message arrives as it was sent, or is refused with the reason; nothing else is ever raised, whatever the bytes."""

import random
from collections.abc import Callable, Sequence
from functools import lru_cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.federation import (
    CLOCK_TOLERANCE_MS,
    RECORD_BYTES_MAX,
    EnrolmentRequest,
    MaskedUpdate,
    Message,
    Part,
    Refusal,
    SignedEnvelope,
    encode_message,
)
from contract.federation_reasons import DROP_REASONS
from federation import envelope
from federation.envelope import PART_BYTES, PENDING_MS_MAX, Inbox, Opened, seal, to_records, unseal
from federation.identity import Identity
from federation.refusals import EnvelopeRefusedError
from support.masking_round import FEDERATION, NOW_MS, identity, roster, seeded_bytes

REFUSAL = Refusal(reason="data")


def record(message: Message = REFUSAL, sender: str = "alma", **changes: object) -> bytes:
    heading: dict[str, object] = {"federation": FEDERATION, "round_number": 3, "attempt": 1, "sent_at_ms": NOW_MS}
    return records(message, sender, **(heading | changes))[0]


def records(message: Message, signer: str = "alma", **heading: object) -> list[bytes]:
    heading = {"federation": FEDERATION, "sent_at_ms": NOW_MS} | heading
    return to_records(seal(message, identity(signer), **heading), identity(signer))  # type: ignore[arg-type]


def take(data: bytes, inbox: Inbox | None = None, now_ms: int = NOW_MS) -> Opened | None:
    return (inbox or Inbox(FEDERATION, identity("coordinator"))).take(data, roster=roster, now_ms=now_ms)


def refused(data: bytes, inbox: Inbox | None = None, now_ms: int = NOW_MS) -> str:
    with pytest.raises(EnvelopeRefusedError) as error:
        take(data, inbox, now_ms)
    assert error.value.reason in DROP_REASONS
    return error.value.reason


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

    from federation.envelope import ENVELOPE_DOMAIN

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


LONG = MaskedUpdate(payload=random.Random(7).randbytes(2 * PART_BYTES + 1_000))


def test_a_long_message_travels_in_records_below_the_limit_and_in_any_order() -> None:
    head, *parts = records(LONG, reader=identity("coordinator").public)
    assert len(parts) == 3
    assert max(len(part) for part in [head, *parts]) <= RECORD_BYTES_MAX
    inbox = Inbox(FEDERATION, identity("coordinator"))
    assert take(head, inbox) is None
    assert inbox.pending == 1
    assert take(parts[2], inbox) is None
    assert refused(parts[2], inbox) == "parts"  # a duplicate
    assert take(parts[0], inbox) is None
    opened = take(parts[1], inbox)
    assert opened is not None
    assert opened.message == LONG
    assert inbox.pending == 0


def test_the_parts_of_nobody_known_are_not_kept() -> None:
    head, part, *_ = records(LONG, "xaver")
    inbox = Inbox(FEDERATION)
    assert refused(head, inbox) == "unknown_sender"
    assert refused(part, inbox) == "parts"
    head = records(LONG)[0]
    changed = head[:-1] + bytes([head[-1] ^ 1])
    assert refused(changed, inbox) == "unsigned"
    assert refused(records(LONG, federation="others")[0], inbox) == "wrong_federation"
    assert inbox.pending == 0


def test_a_changed_part_belongs_to_nothing() -> None:
    head, part, *_ = records(LONG)
    inbox = Inbox(FEDERATION)
    take(head, inbox)
    assert refused(part[:-1] + bytes([part[-1] ^ 1]), inbox) == "parts"


def test_a_message_longer_than_the_round_needs_is_refused_before_its_parts_come() -> None:
    assert refused(records(LONG)[0], Inbox(FEDERATION, message_bytes_max=1_000_000)) == "oversized"


def test_an_announcement_counts_once_and_is_forgotten_with_its_sender_or_after_its_time() -> None:
    inbox = Inbox(FEDERATION)
    take(records(LONG, "berta")[0], inbox)
    first = records(LONG, "alma", round_number=0)
    take(first[0], inbox)
    assert refused(first[0], inbox) == "duplicate"
    take(records(LONG, "alma", round_number=1)[0], inbox, NOW_MS + 1)
    assert inbox.pending == 3
    inbox.forget("berta")
    assert inbox.pending == 2
    assert take(record(), inbox, NOW_MS + PENDING_MS_MAX + 1) is not None
    assert inbox.pending == 1
    assert refused(first[1], inbox, NOW_MS + PENDING_MS_MAX + 1) == "parts"


def long_of(times: Sequence[int], parts: int = 3) -> list[list[bytes]]:
    """Messages of these times, of short parts; all but the first part of each are the same."""
    return [records(MaskedUpdate(payload=bytes(SHORT * parts)), sent_at_ms=NOW_MS - 99 + at_ms) for at_ms in times]


SHORT = 500


@lru_cache
def earlier() -> list[list[bytes]]:
    """Each of an announcement and four parts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "PART_BYTES", SHORT)
        patch.setattr(envelope, "SINGLE_BYTES_MAX", SHORT)
        return long_of(range(12))


@given(st.integers(0, 2**32), st.integers(0, 12))
@settings(max_examples=20, deadline=None)
def test_a_long_message_opens_with_its_last_part_whatever_copies_stand_between(seed: int, between: int) -> None:
    *old, genuine = earlier()
    copies, chosen = [one for each in old for one in each], random.Random(seed)
    inbox, heard = Inbox(FEDERATION, message_bytes_max=12_000), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "PART_BYTES", SHORT)
        for part in genuine:
            for one in (*chosen.choices(copies, k=between), part):
                try:
                    opened = take(one, inbox)
                except EnvelopeRefusedError:
                    continue
                heard += [] if opened is None else [each.envelope.sent_at_ms for each in opened.every()]
                assert sum(each.held for each in inbox._pending.values()) <= 24_000
            copies.append(part)
    assert NOW_MS - 99 + 11 in heard


def test_what_is_said_now_is_not_pushed_out_by_what_was_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "PART_BYTES", SHORT)
    monkeypatch.setattr(envelope, "SINGLE_BYTES_MAX", SHORT)
    monkeypatch.setattr(envelope, "ANNOUNCED_BYTES", 0)
    monkeypatch.setattr(envelope, "DIGEST_BYTES", 1)
    *old, genuine = (
        records(MaskedUpdate(payload=random.Random(at_ms).randbytes(SHORT * 3)), sent_at_ms=at_ms) for at_ms in range(9)
    )
    inbox = Inbox(FEDERATION, message_bytes_max=2 * SHORT * 3)

    def copied(chosen: slice) -> None:
        for one in old:
            for copy in one[chosen]:
                try:
                    take(copy, inbox)
                except EnvelopeRefusedError:
                    continue

    for place, part in enumerate(genuine):
        copied(slice(0, 3))
        copied(slice(0, 4, 3))
        opened = take(part, inbox)
        assert (opened is None) == (place < len(genuine) - 1)
        assert sum(each.held for each in inbox._pending.values()) <= 4 * SHORT * 3


def test_a_part_that_completes_the_messages_of_two_opens_both() -> None:
    """Whoever sees another's announcement can make a message that ends as it does."""
    import hashlib

    from contract.federation import Announcement, PartsAnnounced
    from federation.envelope import ANNOUNCEMENT_DOMAIN

    data = bytes(2 * PART_BYTES)
    head, *parts = records(MaskedUpdate(payload=data), "alma")
    _, first, *_ = records(MaskedUpdate(payload=data), "emil")
    genuine = msgspec.msgpack.decode(msgspec.msgpack.decode(head)[1], type=Announcement)
    digest = hashlib.sha256(msgspec.msgpack.decode(first)[1]).digest()
    announced = msgspec.msgpack.encode(
        msgspec.structs.replace(genuine, sender="emil", digests=(digest, *genuine.digests[1:]))
    )
    signature = identity("emil").sign(hashlib.sha512(announced).digest(), ANNOUNCEMENT_DOMAIN)
    inbox = Inbox(FEDERATION)
    for one in (msgspec.msgpack.encode(PartsAnnounced(announcement=announced, signature=signature)), first, head):
        take(one, inbox)
    opened = [take(part, inbox) for part in parts][-1]
    assert opened is not None
    assert {each.envelope.sender for each in opened.every()} == {"alma", "emil"}


def test_whoever_announces_another_s_parts_as_its_own_does_no_harm() -> None:
    import hashlib

    from contract.federation import Announcement, PartsAnnounced
    from federation.envelope import ANNOUNCEMENT_DOMAIN

    head, *parts = records(LONG, "alma")
    genuine = msgspec.msgpack.decode(msgspec.msgpack.decode(head)[1], type=Announcement)
    stolen = msgspec.msgpack.encode(msgspec.structs.replace(genuine, sender="berta"))
    signature = identity("berta").sign(hashlib.sha512(stolen).digest(), ANNOUNCEMENT_DOMAIN)
    inbox = Inbox(FEDERATION)
    take(msgspec.msgpack.encode(PartsAnnounced(announcement=stolen, signature=signature)), inbox)
    take(head, inbox)
    opened = [take(part, inbox) for part in parts][-1]
    assert opened is not None
    assert opened.envelope.sender == "alma"
    assert inbox.pending == 0
    turned = msgspec.structs.replace(genuine, sender="berta", digests=genuine.digests[::-1])
    stolen = msgspec.msgpack.encode(turned)
    signature = identity("berta").sign(hashlib.sha512(stolen).digest(), ANNOUNCEMENT_DOMAIN)
    take(msgspec.msgpack.encode(PartsAnnounced(announcement=stolen, signature=signature)), inbox)
    take(head, inbox)
    opened = [take(part, inbox) for part in parts][-1]
    assert opened is not None
    assert opened.message == LONG


def test_nobody_can_announce_a_long_message_in_another_s_name() -> None:
    import hashlib

    from contract.federation import Announcement, PartsAnnounced
    from federation.envelope import ANNOUNCEMENT_DOMAIN

    head, *parts = records(LONG, "berta", sender="alma")  # berta's keys, alma's name
    genuine = msgspec.msgpack.decode(msgspec.msgpack.decode(head)[1], type=Announcement)
    assert refused(head, Inbox(FEDERATION)) == "unsigned"
    own = msgspec.msgpack.encode(msgspec.structs.replace(genuine, sender="berta"))
    signature = identity("berta").sign(hashlib.sha512(own).digest(), ANNOUNCEMENT_DOMAIN)
    inbox = Inbox(FEDERATION)
    take(msgspec.msgpack.encode(PartsAnnounced(announcement=own, signature=signature)), inbox)
    for part in parts[:-1]:
        take(part, inbox)
    assert refused(parts[-1], inbox) == "unsigned"


def test_whoever_is_revoked_between_announcement_and_last_part_is_refused() -> None:
    head, *parts = records(LONG)
    inbox = Inbox(FEDERATION)
    for data in (head, *parts[:-1]):
        take(data, inbox)
    with pytest.raises(EnvelopeRefusedError, match="unknown_sender"):
        inbox.take(parts[-1], roster=lambda _: None, now_ms=NOW_MS)


def test_past_the_bound_the_one_that_holds_most_loses_its_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.envelope.PENDING_BYTES_MAX", 2 * PART_BYTES + 10_000)
    inbox = Inbox(FEDERATION)
    small, greedy = records(LONG, "alma"), records(LONG, "berta", round_number=9)
    for data in (small[0], small[1], greedy[0], greedy[1]):
        take(data, inbox)
    assert inbox.pending == 2
    take(greedy[2], inbox)
    assert inbox.pending == 1
    take(small[2], inbox)
    assert take(small[3], inbox) is not None


@given(st.binary(max_size=400))
def test_arbitrary_bytes_are_refused_and_nothing_else_is_raised(data: bytes) -> None:
    refused(data)


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
        refused(bytes(changed))


@given(st.sampled_from(FUZZED), st.integers(0, 10_000), st.binary(max_size=20))
def test_cut_and_spliced_records_are_refused(data: bytes, position: int, more: bytes) -> None:
    position %= len(data)
    refused(data[:position] + more[: len(data) - position - 1])


@given(
    st.recursive(
        st.none() | st.integers(-5, 5) | st.text(max_size=5) | st.binary(max_size=5),
        lambda inner: st.lists(inner, max_size=11),
        max_leaves=20,
    )
)
def test_any_msgpack_is_refused_and_nothing_else_is_raised(value: object) -> None:
    refused(msgspec.msgpack.encode(["envelope", msgspec.msgpack.encode(value), b""]))
    refused(msgspec.msgpack.encode(["parts", msgspec.msgpack.encode(value), b""]))
    refused(msgspec.msgpack.encode(value))
