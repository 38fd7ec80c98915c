"""Whoever changes, drops, adds, moves or forges an entry is found at that place."""

from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.federation.messages import LedgerEntry
from federation.audit.ledger import (
    GENESIS,
    Head,
    Spoken,
    hash_entry,
    make_head_after,
    make_next_entry,
    select_counted,
    verify_chain,
)


def chain(length: int = 6) -> list[LedgerEntry]:
    entries, head = [], Head()
    for number in range(length):
        entry = make_next_entry(head, "kind", {"b": number, "a": 1}, at_ms=1_000 + number, round_number=number)
        entries.append(entry)
        head = make_head_after(entry)
    return entries


def test_an_untouched_chain_holds_and_says_where_it_stands() -> None:
    entries = chain()
    audit = verify_chain(entries)
    assert audit.holds
    assert audit.head == Head(6, hash_entry(entries[-1])) == make_head_after(entries[-1])
    assert entries[0].previous == GENESIS
    assert entries[0].content == b'{"a":1,"b":0}'
    assert verify_chain([]).head == Head()


@given(st.integers(0, 5), st.sampled_from(["change", "drop", "double", "swap", "older", "insert"]))
def test_the_first_broken_link_is_named(place: int, how: str) -> None:
    entries = chain()
    expected = place
    if how == "change":
        entries[place] = msgspec.structs.replace(entries[place], content=b'{"a":2}')
        expected = place + 1 if place < 5 else None  # type: ignore[assignment]
    elif how == "drop":
        del entries[place]
        expected = place if place < 5 else None  # type: ignore[assignment]
    elif how == "double":
        entries.append(entries[place])
        expected = 6 if place < 5 else None  # type: ignore[assignment]
    elif how == "swap":
        other = (place + 1) % 6
        entries[place], entries[other] = entries[other], entries[place]
        expected = min(place, other)
    elif how == "older":
        entries[place] = msgspec.structs.replace(entries[place], at_ms=0)
        expected = place or 1
    else:
        entries.insert(place, make_next_entry(Head(place, b"\x01" * 32), "kind", {}, at_ms=1_000 + place))
        if place == 0:
            assert verify_chain(entries).broken == 0
            return
    audit = verify_chain(entries)
    assert audit.broken == expected
    assert bool(audit.reason) == (expected is not None)


def test_the_newest_entry_may_be_changed_only_with_its_key_and_then_another_head_is_seen() -> None:
    entries = chain()
    rewritten = [*entries[:-1], msgspec.structs.replace(entries[-1], content=b"{}")]
    assert verify_chain(rewritten).head != verify_chain(entries).head


def test_an_entry_sent_twice_in_a_row_counts_once() -> None:
    entries = chain()
    audit = verify_chain([*entries[:3], entries[2], *entries[3:], entries[5]])
    assert audit.holds
    assert audit.head.following == 6


def test_a_second_entry_in_an_other_s_place_is_a_fork_and_found() -> None:
    entries = chain()
    fork = make_next_entry(Head(3, hash_entry(entries[2])), "kind", {"other": True}, at_ms=2_000)
    audit = verify_chain([*entries[:4], fork])
    assert (audit.broken, audit.reason) == (4, "entry 3 is there a second time, with other contents")


@pytest.mark.parametrize("start", [2, 4])
def test_an_auditor_may_go_on_from_the_head_it_noted(start: int) -> None:
    entries = chain()
    noted = make_head_after(entries[start - 1])
    assert verify_chain(entries[start:], noted).holds
    assert verify_chain(entries[start + 1 :], noted).broken == 0


def decision(head: Head, epoch: int, at_ms: int, kinds: Sequence[str] = ("plan", "stage_over")) -> list[Spoken]:
    spoken = []
    for kind in kinds:
        entry = make_next_entry(head, kind, {}, at_ms=at_ms)
        spoken.append(Spoken(entry, epoch, at_ms))
        head = make_head_after(entry)
    return spoken


def end(spoken: Sequence[Spoken]) -> Head:
    return make_head_after(spoken[-1].entry)


FIRST = decision(Head(), 1, 10)
CLAIM = decision(end(FIRST), 2, 30, ["claim"])
NEXT = decision(end(CLAIM), 2, 40)
LEFT_BEHIND = {
    "whole": decision(end(FIRST), 1, 20),
    "without its first": decision(end(FIRST), 1, 20)[1:],
    "without its last": decision(end(FIRST), 1, 20)[:1],
    "a claim": decision(end(FIRST), 2, 25, ["claim"]),
    "a later claim": decision(end(FIRST), 3, 25, ["dropped", "claim"])[:1],
}


@pytest.mark.parametrize("left", LEFT_BEHIND)
@pytest.mark.parametrize("place", [0, 2, 3, 5])
def test_what_a_coordinator_left_behind_and_another_followed_is_left_out_wherever_it_is_appended(
    left: str, place: int
) -> None:
    stood = [*FIRST, *CLAIM, *NEXT]
    found = select_counted([*stood[:place], *LEFT_BEHIND[left], *stood[place:]])
    assert found == [one.entry for one in stood]
    assert select_counted(stood[::-1]) == found
    assert verify_chain(found).holds


def test_what_was_left_behind_is_left_out_as_soon_as_its_follower_claims() -> None:
    assert select_counted([*FIRST, *CLAIM, *LEFT_BEHIND["whole"]]) == [one.entry for one in (*FIRST, *CLAIM)]
    assert select_counted([*FIRST, *LEFT_BEHIND["whole"]]) == [one.entry for one in (*FIRST, *LEFT_BEHIND["whole"])]


def test_two_decisions_of_one_epoch_and_two_that_were_both_built_upon_are_not_hidden_from_an_audit() -> None:
    twice = decision(end(CLAIM), 2, 41)
    assert verify_chain(select_counted([*FIRST, *CLAIM, *NEXT, *twice])).broken is not None
    other = LEFT_BEHIND["whole"]
    assert (
        verify_chain(select_counted([*FIRST, *CLAIM, *NEXT, *other, *decision(end(other), 3, 50)])).broken is not None
    )
    lost = decision(end(NEXT), 2, 60)
    assert verify_chain(select_counted([*FIRST, *CLAIM, *lost, *decision(end(lost), 2, 70)])).broken is not None
