"""What people say of single entities, on Redis: one record per entity, with the list that it is on and the rules snoozed for it.

windows.lua reads a record at a transaction's first sight, and pins what it says; scoring/store/lua/mark.lua has the record's form.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from contract.clock import Clock, SystemClock, from_epoch_ms, to_epoch_ms
from contract.settings import Settings
from scoring.store.client import RedisClient
from scoring.store.keys import LIVE, Keys
from scoring.store.scripts import load_script

SNOOZE = "s"
"""First letter of a snooze; those of lists are in scoring/store/lists.py."""
SNOOZES_MAX = 8
"""Of an entity: what a first-sight record has room for, whatever the transaction names."""
LINK = 3
"""Last byte of a state that only points to another (see windows.lua)."""
_LISTED, _NOTHING = "^[^s]", ""


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of a record."""

    letter: str
    until: datetime | None
    """UTC; None: until it is removed."""
    rule: str
    """Of a snooze; empty for a list."""
    about: dict[str, str]
    """Who, which and why, for people: `entity`, `value` and more."""


class MarkStore:
    """The records of one retailer; safe for threads. Every method raises StoreUnavailableError, and ValueError for an unknown entity."""

    def __init__(self, settings: Settings, namespace: str = LIVE, clock: Clock | None = None) -> None:
        self._client = RedisClient(settings.redis)
        self._keys = Keys(settings.retailer, namespace)
        self._clock = clock or SystemClock()
        self._script = load_script("mark")

    def put(self, entity: str, value: str, mark: Mark) -> bool:
        """Adds a mark, instead of the list or the snooze of the same rule that was there; False where there is no room."""
        key = self._keys.name_entity(entity, value)
        line = _encode(mark)
        return self._client.run(lambda client: self._change(client, _canonical(client, key), _like(mark), line)) >= 0

    def remove_list(self, entity: str, value: str) -> bool:
        """Takes an entity off its list; False where it was on none."""
        return self._remove(entity, value, _LISTED)

    def remove_snooze(self, entity: str, value: str, rule: str) -> bool:
        """Ends a snooze; False where there was none."""
        return self._remove(entity, value, _snoozed(rule))

    def list(self) -> list[Mark]:
        """Every mark in force; removes the expired ones."""
        records: dict[bytes, bytes] = self._client.run(lambda client: client.hgetall(self._keys.marks))
        now, found = self._clock.now(), list[Mark]()
        for field, record in records.items():
            marks = list(_decode(record))
            live = [mark for mark in marks if mark.until is None or mark.until > now]
            if len(live) < len(marks):
                self._client.run(partial(self._change, field=field, pattern=_NOTHING))
            found += live
        return found

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _remove(self, entity: str, value: str, pattern: str) -> bool:
        key = self._keys.name_entity(entity, value)
        return self._client.run(
            lambda client: sum(self._change(client, field, pattern) for field in {key, _canonical(client, key)}) > 0
        )

    def _change(self, client: Any, field: bytes, pattern: str, line: str = "") -> int:
        now_ms = to_epoch_ms(self._clock.now())
        return int(client.eval(self._script, 1, self._keys.marks, field, pattern, line, now_ms, SNOOZES_MAX))


def _canonical(client: Any, key: bytes) -> bytes:
    """The oldest token's key. A link made meanwhile does no harm: the script also looks under the newer token."""
    state = client.get(key)
    return bytes(state[12:-1]) if state and state[-1] == LINK else key


def _snoozed(rule: str) -> str:
    """A Lua pattern of the rule's snooze."""
    return f"^{SNOOZE}%d+ {rule.replace('-', '%-')}{{"


def _like(mark: Mark) -> str:
    return _snoozed(mark.rule) if mark.letter == SNOOZE else _LISTED


def _encode(mark: Mark) -> str:
    until = "" if mark.until is None else str(to_epoch_ms(mark.until))
    rule = f" {mark.rule}" if mark.rule else ""
    return f"{mark.letter}{until}{rule}{json.dumps(mark.about, ensure_ascii=False)}"


def _decode(record: bytes) -> Iterator[Mark]:
    for line in record.decode().split("\n"):
        start = line.index("{")
        until, _, rule = line[1:start].partition(" ")
        yield Mark(line[0], from_epoch_ms(int(until)) if until else None, rule, json.loads(line[start:]))
