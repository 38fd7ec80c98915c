"""The breaker seen from outside, on Redis: whether it is open, and what is still to be told. Counting is RedisCases'."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from scoring.decision.breaker import Limit, Occurrence
from scoring.store.client import RedisClient
from scoring.store.keys import Keys
from scoring.store.scripts import load_script

LEASE_MS = 30_000
"""An occurrence that a worker took to tell and nobody confirmed is given to another after so long."""


class RedisBreaker:
    """Shared by all workers of a retailer; every method raises StoreUnavailableError. `now_ms`: as RedisCases'."""

    def __init__(self, client: RedisClient, keys: Keys, *, now_ms: Callable[[], int] | None = None) -> None:
        self._client = client
        self._keys = keys
        self._now_ms = now_ms
        self._script = load_script("breaker_look")

    def look(self) -> tuple[bool, list[Occurrence]]:
        """Whether it is open, and what this worker is to tell now; nothing where another one is at it."""
        now: int | str = "" if self._now_ms is None else self._now_ms()
        keys = (2, self._keys.breaker, self._keys.occurrences)
        is_open, *untold = self._client.run(lambda client: client.eval(self._script, *keys, LEASE_MS, now))
        return bool(is_open), [_occurrence(record) for record in untold]

    def note_told(self, occurrences: Sequence[Occurrence]) -> None:
        """Notes that these were told, so that they do not come again."""
        self._client.run(lambda client: self._forget(client, occurrences))

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _forget(self, client: Any, occurrences: Sequence[Occurrence]) -> None:
        with client.pipeline(transaction=False) as pipeline:
            for found in occurrences:
                pipeline.lrem(self._keys.occurrences, 1, " ".join(map(str, found)))
            pipeline.hdel(self._keys.breaker, "lease")
            pipeline.execute()


def _occurrence(record: bytes) -> Occurrence:
    kind, since_ms, at_ms, limit, stops, transactions = record.decode().split(" ")
    return Occurrence(
        "open" if kind == "open" else "closed",
        int(since_ms),
        int(at_ms),
        cast("Limit", limit),
        int(stops),
        int(transactions),
    )
