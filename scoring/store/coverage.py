"""Where Redis says what a retailer's live state covers (scoring/engine/coverage.py): one sorted set, written with what it is about.

The windows' beginning travels in the batch that moves it, so it costs no round trip: a worker sends it with its first batch and
whenever an earlier transaction comes.
"""

from collections.abc import Sequence

from scoring.engine.coverage import Coverage
from scoring.ports import Finding, WindowUpdate
from scoring.store.client import RedisClient
from scoring.store.keys import Keys
from scoring.store.link import encode_command

WINDOWS_FROM, FRAUDS_FROM, FRAUDS_TO = b"windows_from", b"frauds_from", b"frauds_to"
"""Members; their scores are event times, ms since 1970 UTC."""


class CoverageNotes:
    """Commands that widen the coverage, for one connection; what a server confirmed is not sent again."""

    def __init__(self, keys: Keys) -> None:
        self._key = keys.coverage
        self._windows_from_ms: int | None = None

    def encode_updates(self, window_updates: Sequence[WindowUpdate]) -> tuple[list[bytes], int | None]:
        """At most one command, and what to confirm when it was answered."""
        earliest_ms = min((window_update.event_time_ms for window_update in window_updates), default=None)
        known_ms = self._windows_from_ms
        if earliest_ms is None or (known_ms is not None and known_ms <= earliest_ms):
            return [], None
        return [encode_command(b"ZADD", self._key, b"LT", b"%d" % earliest_ms, WINDOWS_FROM)], earliest_ms

    def confirm(self, earliest_ms: int | None) -> None:
        """The server has it."""
        if earliest_ms is not None:
            self._windows_from_ms = min(earliest_ms, self._windows_from_ms or earliest_ms)

    def encode_findings(self, findings: Sequence[Finding]) -> list[bytes]:
        """Two commands, or none where there is no fraud."""
        times_ms = [finding.event_time_ms for finding in findings if finding.fraud]
        if not times_ms:
            return []
        return [
            encode_command(b"ZADD", self._key, b"LT", b"%d" % min(times_ms), FRAUDS_FROM),
            encode_command(b"ZADD", self._key, b"GT", b"%d" % max(times_ms), FRAUDS_TO),
        ]


def read_coverage(client: RedisClient, retailer: str) -> Coverage:
    """What the retailer's live state covers now; raises StoreUnavailableError."""
    key = Keys(retailer).coverage
    found = dict(client.run(lambda redis: redis.zrange(key, 0, -1, withscores=True)))
    return Coverage(*(_ms(found.get(member)) for member in (WINDOWS_FROM, FRAUDS_FROM, FRAUDS_TO)))


def _ms(score: float | None) -> int | None:
    return None if score is None else int(score)
