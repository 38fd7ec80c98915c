"""The audit ledger: every state change a link of a chain of digests, each in the coordinator's signed envelope. Pure.

An entry names the digest of the one before, so none can be changed, left out, added between or moved without breaking the
chain at that place; only cutting off the newest leaves no trace here, which is why an auditor notes the head it has seen.
"""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from contract.federation import LedgerEntry, encode_message

GENESIS = bytes(32)
"""What the first entry names as the one before it."""
TOO_MANY = "too_many"
"""Under this, in place of names, their number where an entry has no room for them; no participant can be called so."""
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


def digest_of(entry: LedgerEntry) -> bytes:
    """By which the next entry names this one: SHA-256 of its msgpack."""
    return hashlib.sha256(encode_message(entry)).digest()


def next_entry(
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


def head_after(entry: LedgerEntry) -> Head:
    """Where the chain stands after `entry`."""
    return Head(entry.index + 1, digest_of(entry))


def verify_chain(entries: Iterable[LedgerEntry], start: Head | None = None) -> Audit:
    """Whether the digests hold, whoever signed (federation.operations believes the coordinator alone); names the first broken link. An entry sent twice in a row counts once."""
    head, latest = start or Head(), b""
    before: LedgerEntry | None = None
    for place, entry in enumerate(entries):
        digest = digest_of(entry)
        if digest == latest:
            continue
        fault = _fault(entry, head, before)
        if fault:
            return Audit(head, place, fault)
        head, latest, before = head_after(entry), digest, entry
    return Audit(head, None, "")


def _fault(entry: LedgerEntry, head: Head, before: LedgerEntry | None) -> str | None:
    if entry.index < head.following:
        return f"entry {entry.index} is there a second time, with other contents"
    if entry.index > head.following:
        return f"entry {head.following} is missing: entry {entry.index} comes after {head.following - 1}"
    if entry.previous != head.digest:
        return f"entry {entry.index} does not name the one before it: one of the two was changed"
    if before is not None and entry.at_ms < before.at_ms:
        return f"entry {entry.index} is older than the one before it"
    return None
