"""What was loaded of a retailer's history into its live windows, as Redis remembers it, and who is loading now."""

import secrets
from typing import Any, NamedTuple

import msgspec

from contract.settings import Settings
from scoring.store.client import RedisClient
from scoring.store.keys import LIVE, Keys

HELD_S = 60
"""A load that was killed frees its place after so long."""

_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Span(NamedTuple):
    """From a time on, both included; event_time, ms since 1970 UTC."""

    from_ms: int
    to_ms: int | None
    """None: without an end."""

    def has(self, moment_ms: int) -> bool:
        """Whether the moment lies within."""
        return self.from_ms <= moment_ms and (self.to_ms is None or moment_ms <= self.to_ms)


class LoadRecord(NamedTuple):
    """The newest load."""

    complete: bool
    known: Span | None
    """What the live windows knew themselves, so that it was left out; None: nothing."""
    taken: Span | None
    """What they hold by any load; None before the first transaction."""
    applied: int
    """Transactions that the live windows had taken, from wherever, when the load was complete."""


class HistoryRecords:
    """Reads and writes the record; every method raises StoreUnavailableError."""

    def __init__(self, settings: Settings, namespace: str = LIVE) -> None:
        self._client = RedisClient(settings.redis)
        self._keys = Keys(settings.retailer, namespace)
        self._token = secrets.token_hex(8)

    def acquire(self) -> bool:
        """Takes the place of the one that loads, for HELD_S; False where another process holds it."""
        key, token = self._keys.history_lock, self._token
        return bool(
            self._client.run(lambda client: client.set(key, token, nx=True, ex=HELD_S) or _holds(client, key, token))
        )

    def renew(self) -> None:
        """Keeps the place for another HELD_S."""
        self._client.run(lambda client: client.expire(self._keys.history_lock, HELD_S))

    def release(self) -> None:
        """Gives the place back."""
        self._client.run(lambda client: client.eval(_RELEASE, 1, self._keys.history_lock, self._token))

    def count_applied(self) -> int:
        """How many transactions the live windows have taken, from wherever."""
        return int(self._client.run(lambda client: client.get(self._keys.sequence)) or 0)

    def read(self) -> LoadRecord | None:
        """None before the first load."""
        found = self._client.run(lambda client: client.get(self._keys.history))
        return None if found is None else msgspec.json.decode(found, type=LoadRecord)

    def write(self, record: LoadRecord) -> None:
        """Replaces the record."""
        data = msgspec.json.encode(record)
        self._client.run(lambda client: client.set(self._keys.history, data))

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()


def _holds(client: Any, key: bytes, token: str) -> bool:
    """Whether the place is this process's own already: the command before may have been sent twice."""
    return bool(client.get(key) == token.encode())
