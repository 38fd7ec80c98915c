"""The audit ledger: every state change a link of a chain of digests, each in the coordinator's signed envelope. Pure.

An entry names the digest of the one before, so none can be changed, left out, added between or moved without breaking the
chain at that place; only cutting off the newest leaves no trace here, which is why an auditor notes the head it has seen.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from contract.federation.messages import LedgerEntry, encode_message

GENESIS = bytes(32)
"""What the first entry names as the one before it."""
TOO_MANY = "too_many"
"""Under this, instead of names, their number where an entry has no room for them; no participant can be called so."""
_JSON = msgspec.json.Encoder(order="sorted")


class Head(NamedTuple):
    """Where the chain stands."""

    following: int = 0
    """The next entry's index."""
    digest: bytes = GENESIS
    """What it must name."""


class Audit(NamedTuple):
    """What a check of the chain found."""

    head: Head
    """After the last link that holds."""
    broken: int | None
    """The place, among the entries given, of the first that does not hold; None where all do."""
    reason: str

    @property
    def holds(self) -> bool:
        """Whether every link does."""
        return self.broken is None


class Spoken(NamedTuple):
    """An entry as it stands on the log: with the epoch and time of its envelope, which the entries of one decision share."""

    entry: LedgerEntry
    epoch: int
    at_ms: int

    @property
    def decision(self) -> tuple[int, int]:
        """Which it belongs to."""
        return self.epoch, self.at_ms


def select_counted(spoken: Sequence[Spoken]) -> list[LedgerEntry]:
    """`spoken` without what coordinators left behind whose transaction failed, in the order of the chain.

    Anybody may append that later. A decision is left out where nothing was built upon it, and what it follows is not there, or
    was followed by another coordinator's decision that counts. Who writes two in one epoch is found out by `verify_chain`.
    """
    following: dict[Head, list[Spoken]] = defaultdict(list)
    decisions: dict[tuple[int, int], list[Spoken]] = defaultdict(list)
    for one in spoken:
        following[Head(one.entry.index, one.entry.previous)].append(one)
        decisions[one.decision].append(one)
    made = {Head(), *(make_head_after(one.entry) for one in spoken)}

    def built_upon(decision: tuple[int, int]) -> bool:
        after = (other for one in decisions[decision] for other in following.get(make_head_after(one.entry), []))
        return any(other.decision != decision for other in after)

    def left_behind(decision: tuple[int, int]) -> bool:
        if built_upon(decision):
            return False
        begins = any(one.entry.kind == "claim" for one in decisions[decision])
        heads = {Head(one.entry.index, one.entry.previous) for one in decisions[decision]}
        rivals = {other.decision for head in heads for other in following[head]} - {decision}
        chosen = (one[0] > decision[0] or (built_upon(one) and (begins or one[0] < decision[0])) for one in rivals)
        return not heads <= made or any(chosen)

    aside = {decision for decision in decisions if left_behind(decision)}
    # A decision that was appended again before anybody built upon it counts, and may stand there in any order.
    return sorted((one.entry for one in spoken if one.decision not in aside), key=lambda entry: entry.index)


def hash_entry(entry: LedgerEntry) -> bytes:
    """By which the next entry names this one: SHA-256 of its msgpack."""
    return hashlib.sha256(encode_message(entry)).digest()


def make_next_entry(
    head: Head, kind: str, content: object, *, at_ms: int, round_number: int = 0, attempt: int = 0
) -> LedgerEntry:
    """The entry after `head`; `content` becomes JSON with sorted keys."""
    return LedgerEntry(
        index=head.following,
        previous=head.digest,
        at_ms=at_ms,
        kind=kind,
        round=round_number,
        attempt=attempt,
        content=_JSON.encode(content),
    )


def make_head_after(entry: LedgerEntry) -> Head:
    """Where the chain stands after `entry`."""
    return Head(entry.index + 1, hash_entry(entry))


def verify_chain(entries: Iterable[LedgerEntry], start: Head | None = None) -> Audit:
    """Whether the digests hold, whoever signed (federation.audit.history believes the coordinator alone); names the first broken link. An entry sent twice in a row counts once."""
    head, latest = start or Head(), b""
    before: LedgerEntry | None = None
    for place, entry in enumerate(entries):
        digest = hash_entry(entry)
        if digest == latest:
            continue
        fault = _fault(entry, head, before)
        if fault:
            return Audit(head, place, fault)
        head, latest, before = make_head_after(entry), digest, entry
    return Audit(head, None, "")


def _fault(entry: LedgerEntry, head: Head, before: LedgerEntry | None) -> str | None:
    if entry.index < head.following:
        return f"entry {entry.index} is there a second time, with other contents"
    if entry.index > head.following:
        return f"entry {head.following} is missing: entry {entry.index} comes after {head.following - 1}"
    if entry.previous != head.digest:
        return f"entry {entry.index} does not name the one before it: one of the two was changed"
    # A coordinator that starts after one whose clock was ahead goes back to the right time; within its epoch nobody does.
    if before is not None and entry.at_ms < before.at_ms and entry.kind != "claim":
        return f"entry {entry.index} is older than the one before it"
    return None
