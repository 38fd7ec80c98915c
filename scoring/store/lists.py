"""Allow, deny and watch lists, and overrides of single entities until a given time, on Redis."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from contract.clock import Clock, SystemClock, from_epoch_ms, to_epoch_ms
from contract.settings import Settings
from scoring.store.client import RedisClient
from scoring.store.keys import LIVE, Keys

MarkKind = Literal["allow", "deny", "watch"]
_KINDS: Mapping[str, MarkKind] = {"a": "allow", "d": "deny", "w": "watch"}
LINK = 3
"""Last byte of a state that only points to another (see windows.lua)."""


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One entry of a list."""

    entity: str
    """Field name, as `card`."""
    value: str
    mark: MarkKind
    expires_at: datetime | None
    """UTC, by the wall clock of Redis; None: until it is removed."""
    by: str
    """Who set it: a user or system name."""
    reason_code: str


class ListStore:
    """The lists of one retailer; an entity carries one mark at a time. Safe for threads.

    A transaction's marks are pinned at its first sight; a change concerns later transactions only. Every method raises
    StoreUnavailableError.
    """

    def __init__(self, settings: Settings, namespace: str = LIVE, clock: Clock | None = None) -> None:
        self._client = RedisClient(settings.redis)
        self._keys = Keys(settings.retailer, namespace)
        self._clock = clock or SystemClock()

    def set(
        self, entity: str, value: str, mark: MarkKind, *, expires_at: datetime | None = None, by: str, reason_code: str
    ) -> None:
        """ListStore an entity, instead of the mark it had; raises ValueError for an unknown entity or mark."""
        if mark not in _KINDS.values():
            raise ValueError(f"a mark is one of {', '.join(_KINDS.values())}")
        key = self._keys.name_entity(entity, value)
        until = "" if expires_at is None else str(to_epoch_ms(expires_at))
        about = json.dumps({"entity": entity, "value": value, "by": by, "reason_code": reason_code}, ensure_ascii=False)
        record = f"{mark[0]}{until}{about}".encode()
        self._client.run(lambda client: client.hset(self._keys.marks, _canonical(client, key), record))

    def remove(self, entity: str, value: str) -> bool:
        """Takes an entity off its list; False where it was on none."""
        key = self._keys.name_entity(entity, value)
        return bool(self._client.run(lambda client: client.hdel(self._keys.marks, key, _canonical(client, key))))

    def list(self) -> list[ListEntry]:
        """Every mark in force, by entity and value; removes the expired ones."""
        records: dict[bytes, bytes] = self._client.run(lambda client: client.hgetall(self._keys.marks))
        entries = {field: _entry(record) for field, record in records.items()}
        now = self._clock.now()
        over = [field for field, entry in entries.items() if entry.expires_at is not None and entry.expires_at <= now]
        if over:
            self._client.run(lambda client: client.hdel(self._keys.marks, *over))
        kept = [entry for field, entry in entries.items() if field not in over]
        return sorted(kept, key=lambda entry: (entry.entity, entry.value))

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()


def _canonical(client: Any, key: bytes) -> bytes:
    """The oldest token's key. A link made meanwhile does no harm: the script also looks under the newer token."""
    state = client.get(key)
    return bytes(state[12:-1]) if state and state[-1] == LINK else key


def _entry(record: bytes) -> ListEntry:
    text = record.decode()
    start = text.index("{")
    about = json.loads(text[start:])
    return ListEntry(mark=_KINDS[text[0]], expires_at=from_epoch_ms(int(text[1:start])) if start > 1 else None, **about)
