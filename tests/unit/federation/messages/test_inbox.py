"""Long messages travel in parts, in any order and among whatever else stands on a log; what is unfinished stays bounded."""

import hashlib
import random
from collections.abc import Sequence
from functools import lru_cache

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.federation.fields import RECORD_BYTES_MAX
from contract.federation.messages import MaskedUpdate
from federation.messages import envelope
from federation.messages import inbox as inbox_module
from federation.messages.envelope import PART_BYTES
from federation.messages.inbox import PENDING_MS_MAX, Inbox
from federation.refusals import EnvelopeRefusedError
from support.envelopes import announced, announcement_of, record, records, refused, take, taken
from support.masking_round import FEDERATION, NOW_MS, identity

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
@settings(max_examples=20)
def test_a_long_message_opens_with_its_last_part_whatever_copies_stand_between(seed: int, between: int) -> None:
    *old, genuine = earlier()
    copies, chosen = [one for each in old for one in each], random.Random(seed)
    inbox, heard = Inbox(FEDERATION, message_bytes_max=12_000), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(envelope, "PART_BYTES", SHORT)
        for part in genuine:
            for one in (*chosen.choices(copies, k=between), part):
                try:
                    heard += [opened.envelope.sent_at_ms for opened in taken(one, inbox)]
                except EnvelopeRefusedError:
                    continue
                assert sum(each.held for each in inbox._pending.values()) <= 24_000
            copies.append(part)
    assert NOW_MS - 99 + 11 in heard


def test_what_is_said_now_is_not_pushed_out_by_what_was_said_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "PART_BYTES", SHORT)
    monkeypatch.setattr(envelope, "SINGLE_BYTES_MAX", SHORT)
    monkeypatch.setattr(inbox_module, "ANNOUNCED_BYTES", 0)
    monkeypatch.setattr(inbox_module, "DIGEST_BYTES", 1)
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
    data = bytes(2 * PART_BYTES)
    head, *parts = records(MaskedUpdate(payload=data), "alma")
    _, first, *_ = records(MaskedUpdate(payload=data), "emil")
    genuine = announcement_of(head)
    digest = hashlib.sha256(msgspec.msgpack.decode(first)[1]).digest()
    own = msgspec.structs.replace(genuine, sender="emil", digests=(digest, *genuine.digests[1:]))
    inbox = Inbox(FEDERATION)
    for one in (announced(own, "emil"), first, head):
        take(one, inbox)
    opened = [taken(part, inbox) for part in parts][-1]
    assert {each.envelope.sender for each in opened} == {"alma", "emil"}


def test_whoever_announces_another_s_parts_as_its_own_does_no_harm() -> None:
    head, *parts = records(LONG, "alma")
    genuine = announcement_of(head)
    inbox = Inbox(FEDERATION)
    take(announced(msgspec.structs.replace(genuine, sender="berta"), "berta"), inbox)
    take(head, inbox)
    opened = [take(part, inbox) for part in parts][-1]
    assert opened is not None
    assert opened.envelope.sender == "alma"
    assert inbox.pending == 0
    turned = msgspec.structs.replace(genuine, sender="berta", digests=genuine.digests[::-1])
    take(announced(turned, "berta"), inbox)
    take(head, inbox)
    opened = [take(part, inbox) for part in parts][-1]
    assert opened is not None
    assert opened.message == LONG


def test_nobody_can_announce_a_long_message_in_another_s_name() -> None:
    head, *parts = records(LONG, "berta", sender="alma")  # berta's keys, alma's name
    genuine = announcement_of(head)
    assert refused(head, Inbox(FEDERATION)) == "unsigned"
    inbox = Inbox(FEDERATION)
    take(announced(msgspec.structs.replace(genuine, sender="berta"), "berta"), inbox)
    for part in parts[:-1]:
        take(part, inbox)
    assert refused(parts[-1], inbox) == "unsigned"


def test_an_announcement_whose_numbers_do_not_fit_its_parts_is_refused() -> None:
    head, *parts = records(LONG)
    genuine = announcement_of(head)
    for size in (2 * PART_BYTES, 3 * PART_BYTES + 1, 1):
        wrong = announced(msgspec.structs.replace(genuine, bytes=size), "alma")
        assert refused(wrong, Inbox(FEDERATION)) == "parts"
    inbox = Inbox(FEDERATION)
    take(announced(msgspec.structs.replace(genuine, bytes=genuine.bytes + 1), "alma"), inbox)
    for part in parts[:-1]:
        take(part, inbox)
    assert refused(parts[-1], inbox) == "parts"


def test_on_a_log_that_is_not_its_own_nobody_announces_anything() -> None:
    head = records(LONG)[0]
    for log in ("control", "models", "ledger"):
        assert refused(head, Inbox(FEDERATION, log=log)) == "no_right"
    assert refused(records(LONG, "coordinator")[0], Inbox(FEDERATION)) == "no_right"


def test_whoever_is_revoked_between_announcement_and_last_part_is_refused() -> None:
    head, *parts = records(LONG)
    inbox = Inbox(FEDERATION)
    for data in (head, *parts[:-1]):
        take(data, inbox)
    with pytest.raises(EnvelopeRefusedError, match="unknown_sender"):
        inbox.take(parts[-1], roster=lambda _: None, now_ms=NOW_MS)


def test_past_the_bound_the_one_that_holds_most_loses_its_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.messages.inbox.PENDING_BYTES_MAX", 2 * PART_BYTES + 10_000)
    inbox = Inbox(FEDERATION)
    small, greedy = records(LONG, "alma"), records(LONG, "berta", round_number=9)
    for data in (small[0], small[1], greedy[0], greedy[1]):
        take(data, inbox)
    assert inbox.pending == 2
    take(greedy[2], inbox)
    assert inbox.pending == 1
    take(small[2], inbox)
    assert take(small[3], inbox) is not None
