"""The chain of audit entries: each names the digest of the one before, one chain for each retailer. Pure.

So no entry can be changed, left out, added between or moved without breaking the chain at that place. Cutting off the newest leaves
no trace in the chain itself, which is why an auditor notes the head seen last, outside the database.
"""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Literal, NamedTuple, Self

import msgspec

GENESIS = "0" * 64
"""What a chain's first entry names as the one before it."""
Outcome = Literal["done", "refused", "failed"]
Details = Mapping[str, str | int | bool]
_JSON = msgspec.json.Encoder(order="deterministic")


class Who(NamedTuple):
    """Who did something, as it stood then."""

    kind: str
    who_id: str
    name: str


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One link: what somebody did, and to what."""

    retailer: str
    """Whose chain it is in; `*` for what concerns the whole installation."""
    number: int
    """From 0, without a gap."""
    previous: str
    """Digest of the entry before, 64 hexadecimal digits."""
    at_ms: int
    who_kind: str
    who_id: str
    who_name: str
    action: str
    object: str
    """Such as `token:4f2a…`; personal data only as its keyed token."""
    outcome: str
    details: dict[str, str | int | bool]
    """Names and codes, never raw values."""


class Head(NamedTuple):
    """Where a chain stands; noted outside, it shows later whether anything was cut off."""

    following: int = 0
    """The next entry's number."""
    digest: str = GENESIS
    """What it must name."""

    def __str__(self) -> str:
        return f"{self.following}:{self.digest}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The head that `str` has written; raises ValueError."""
        following, _, digest = text.strip().partition(":")
        if not (following.isdecimal() and len(digest) == len(GENESIS) and set(digest) <= set("0123456789abcdef")):
            raise ValueError("a head is NUMBER:DIGEST, as `tillguard backoffice audit verify` prints it")
        return cls(int(following), digest)


class Finding(NamedTuple):
    """What a check of one chain found."""

    head: Head
    """After the last link that holds."""
    fault: str
    """What is wrong, in a sentence; empty where all holds."""

    @property
    def holds(self) -> bool:
        """Whether every link does, and a head noted earlier is part of the chain."""
        return not self.fault


def hash_entry(entry: AuditEntry) -> str:
    """By which the next entry names this one: SHA-256 of its JSON with sorted keys, in hexadecimal digits."""
    return sha256(_JSON.encode(entry)).hexdigest()


def make_head_after(entry: AuditEntry) -> Head:
    """Where the chain stands after `entry`."""
    return Head(entry.number + 1, hash_entry(entry))


def verify_chain(entries: Iterable[AuditEntry], noted: Head | None = None) -> Finding:
    """Whether every digest holds from the first entry on, and the chain still has the head that was noted earlier."""
    head = Head()
    found = noted in (None, head)
    for entry in entries:
        if fault := _find_fault(entry, head):
            return Finding(head, fault)
        head = make_head_after(entry)
        if noted is not None and head.following == noted.following:
            if head.digest != noted.digest:
                return Finding(head, f"entry {entry.number} is not the one that the noted head stands for")
            found = True
    if noted is not None and not found:
        gone = noted.following - head.following
        return Finding(head, f"the newest {gone} entries that the noted head stands for are gone")
    return Finding(head, "")


def _find_fault(entry: AuditEntry, head: Head) -> str:
    if entry.number < head.following:
        return f"entry {entry.number} is there a second time"
    if entry.number > head.following:
        return f"entry {head.following} is missing: entry {entry.number} comes in its place"
    if entry.previous != head.digest:
        return f"entry {entry.number} does not name the one before it: one of the two was changed"
    return ""
