"""Forgetting: one entity everywhere, or a whole key space. Scans, so it is for operators and replays, not for the hot path."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import structlog

from contract.settings import Settings
from contract.windows import ENTITIES, ENTITY_NAMES, hash_counterpart
from scoring.store.client import RedisClient
from scoring.store.keys import LIVE, Keys
from scoring.store.scripts import load_script

log = structlog.get_logger()

SCAN_KEYS = 1_000
STRIKE_KEYS = 200
"""Keys that one script call looks through: well under a millisecond, so that scoring does not wait."""


class KeySpace:
    """Everything that one retailer keeps in Redis under one namespace."""

    def __init__(self, settings: Settings, namespace: str = LIVE) -> None:
        self._client = RedisClient(settings.redis)
        self._keys = Keys(settings.retailer, namespace)
        self._erase_script = load_script("erase")
        self._strike_script = load_script("strike")

    def erase(self, entity: str, value: str) -> int:
        """Removes every trace of an entity and returns how many places held one.

        Its windows under all its tokens, its marks, and its hash in other entities' counterpart lists. First-sight records
        hold numbers only and stay until they expire. Raises ValueError for an unknown entity, StoreUnavailableError; doing
        it again is harmless.
        """
        key = self._keys.name_entity(entity, value)
        arguments = (3, self._keys.marks, key, self._keys.prefix)
        known, removed = self._client.run(lambda client: client.eval(self._erase_script, *arguments))
        hashed = known or hash_counterpart(value.encode())
        side = self._keys.name_side(ENTITY_NAMES.index(entity), hashed)
        removed += self._client.run(lambda client: client.delete(side))
        struck = self._client.run(lambda client: self._strike(client, entity, hashed))
        log.info("entity_erased", entity=entity, states=removed, lists=struck)
        return int(removed) + struck

    def drop(self) -> int:
        """Removes the whole key space and returns how many keys it had; raises ValueError for the one that serves."""
        if self._keys.namespace == LIVE:
            raise ValueError("the live windows are not dropped")
        return self._client.run(self._drop)

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _drop(self, client: Any) -> int:
        return sum(int(client.unlink(*keys)) for keys in self._scan(client))

    def _scan(self, client: Any) -> Iterator[list[bytes]]:
        cursor = 0
        while True:
            cursor, keys = client.scan(cursor, match=self._keys.prefix + b"*", count=SCAN_KEYS)
            if keys:
                yield keys
            if cursor == 0:
                return

    def _strike(self, client: Any, counterpart: str, hashed: bytes) -> int:
        lists = {
            entity.name: (entity.counterparts.index(counterpart) + 1, len(entity.counterparts))
            for entity in ENTITIES
            if counterpart in entity.counterparts
        }
        if not lists:
            return 0
        struck = 0
        for keys in self._scan(client):
            for name, states in self._by_entity(keys).items():
                if name in lists:
                    for i in range(0, len(states), STRIKE_KEYS):
                        part = states[i : i + STRIKE_KEYS]
                        struck += int(client.eval(self._strike_script, len(part), *part, hashed, *lists[name]))
        return struck

    def _by_entity(self, keys: list[bytes]) -> dict[str, list[bytes]]:
        found: dict[str, list[bytes]] = defaultdict(list)
        for key in keys:
            kind = key.removeprefix(self._keys.prefix).partition(b"/")[0].decode()
            if kind in ENTITY_NAMES:
                found[kind].append(key)
        return found
