"""The archive of a retailer's rules on Redis, so that a worker on another machine judges by the rules of a first sight."""

from scoring.store.client import RedisClient
from scoring.store.keys import Keys


class RedisRules:
    """RulesArchive on Redis (scoring/ports.py): one hash per retailer, a few kB per version; safe for threads."""

    def __init__(self, client: RedisClient, keys: Keys) -> None:
        self._client = client
        self._key = keys.prefix + b"rules"

    def keep(self, version: str, source: str) -> None:
        """As the port says."""
        self._client.run(lambda client: client.hset(self._key, version, source.encode()))

    def find(self, version: str) -> str | None:
        """As the port says."""
        source = self._client.run(lambda client: client.hget(self._key, version))
        return None if source is None else source.decode(errors="replace")

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()
