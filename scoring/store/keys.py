"""Names of everything in Redis: `{retailer}<namespace>/<kind>/<value>`, so that a retailer lives in one hash slot.

A name never carries more of a value than needed: long values are replaced by a hash, counterparts are only ever hashes.
"""

import hashlib
import re
from dataclasses import dataclass

from contract.windows import ENTITY_NAMES

LIVE = "live"
"""The namespace that serves; replays use `replay:<id>`."""
VALUE_BYTES_MAX = 64
"""Longer values are named by a hash, so that an entity's memory is bounded."""
_NAMESPACE = re.compile(r"[a-z0-9][a-z0-9:_.-]{0,63}")


def _name(value: str) -> bytes:
    encoded = value.encode()
    if len(encoded) <= VALUE_BYTES_MAX:
        return encoded
    return b"#" + hashlib.blake2b(encoded, digest_size=16).hexdigest().encode()


@dataclass(frozen=True, slots=True)
class Keys:
    """The key space of one retailer and one namespace."""

    retailer: str
    namespace: str = LIVE

    def __post_init__(self) -> None:
        if not _NAMESPACE.fullmatch(self.namespace):
            raise ValueError("a namespace is 1 to 64 characters of a-z 0-9 : _ . -")

    @property
    def prefix(self) -> bytes:
        """In front of every key; no other namespace's key starts with it."""
        return f"{{{self.retailer}}}{self.namespace}/".encode()

    @property
    def sequence(self) -> bytes:
        """Counter of applied window_updates."""
        return self.prefix + b"seq"

    @property
    def coverage(self) -> bytes:
        """Sorted set: from when to when what was applied reaches (scoring/store/coverage.py)."""
        return self.prefix + b"coverage"

    @property
    def marks(self) -> bytes:
        """Hash of all marks, by entity key."""
        return self.prefix + b"marks"

    @property
    def holds(self) -> bytes:
        """Sorted set of open holds by their expiry, ms."""
        return self.prefix + b"holds"

    @property
    def history(self) -> bytes:
        """What was loaded of a history, as JSON."""
        return self.prefix + b"history"

    @property
    def history_lock(self) -> bytes:
        """Who loads a history now."""
        return self.prefix + b"history/lock"

    @property
    def breaker(self) -> bytes:
        """Hash of the breaker's counts and state."""
        return self.prefix + b"breaker"

    @property
    def stops(self) -> bytes:
        """List of the times of the newest holds and blocks that the breaker granted."""
        return self.prefix + b"breaker/stops"

    @property
    def occurrences(self) -> bytes:
        """List of the breaker's occurrences that nobody has told yet."""
        return self.prefix + b"breaker/untold"

    def name_sight(self, transaction_id: str) -> bytes:
        """First-sight record."""
        return self.prefix + b"sight/" + _name(transaction_id)

    def name_case(self, transaction_id: str) -> bytes:
        """Hash of a verdict that may be resolved."""
        return self.prefix + b"case/" + transaction_id.encode()

    def name_entity(self, entity: str, value: str) -> bytes:
        """State of one entity; raises ValueError for a field that is none."""
        if entity not in ENTITY_NAMES:
            raise ValueError(f"{entity} is no entity; entities are {', '.join(ENTITY_NAMES)}")
        return self.prefix + entity.encode() + b"/" + _name(value)

    def name_side(self, place: int, hashed: bytes) -> bytes:
        """What schema v2 keeps of an entity: its place among contract.windows.ENTITIES, and the 8 bytes that stand for it."""
        return self.prefix + b"side/" + bytes([48 + place]) + hashed

    def name_outcome(self, transaction_id: str) -> bytes:
        """What is known of a transaction."""
        return self.prefix + b"outcome/" + _name(transaction_id)

    def name_aliases(self, entity_key: bytes) -> bytes:
        """Set of the keys that are links to `entity_key`."""
        return self.prefix + b"aliases/" + entity_key.removeprefix(self.prefix)
