"""What became known of transactions as commands for outcome.lua. Pure: moves no bytes itself."""

from collections.abc import Sequence

from contract.clock import to_epoch_ms
from contract.errors import InvalidEventError
from contract.risk import TILE_MS, KnownOutcome
from contract.windows import ENTITIES
from scoring.ports import Finding
from scoring.store.keys import Keys
from scoring.store.link import encode_command
from scoring.store.window_updates import Bounds

KNOWN_FOR = 2
"""Times the horizon of a risk: a label that is revised later finds no tile any more."""


class OutcomePacker:
    """Makes one EVALSHA per finding."""

    def __init__(self, keys: Keys, sha: bytes, bounds: Bounds) -> None:
        self._keys = keys
        self._sha = sha
        horizon_ms = bounds.horizon_tiles * TILE_MS
        self._tail = (
            b"%d" % (KNOWN_FOR * horizon_ms // 1000),
            b"%d" % max(horizon_ms, bounds.idle_s * 1000 * 33 // 32),
            b"%d" % bounds.horizon_tiles,
        )

    def pack(self, findings: Sequence[Finding]) -> list[bytes]:
        """One command per finding, in their order."""
        return [self._one(finding) for finding in findings]

    def _one(self, finding: Finding) -> bytes:
        keys = [self._keys.name_outcome(finding.transaction_id)]
        keys += [self._keys.name_side(place, hashed) for place, hashed in finding.entities]
        outcome = b"p" if finding.plain else b"f" if finding.fraud else b"g"
        tile = b"%d" % (finding.event_time_ms // TILE_MS)
        return encode_command(b"EVALSHA", self._sha, b"%d" % len(keys), *keys, tile, outcome, *self._tail)


def decode_entities(entities: bytes) -> tuple[tuple[int, bytes], ...]:
    """(place, hash) of each entity in FeatureRecord.entities; raises InvalidEventError where its length is wrong."""
    mask = int.from_bytes(entities[:2], "little")
    places = [place for place in range(len(ENTITIES)) if mask >> place & 1]
    if mask >> len(ENTITIES) or len(entities) != 2 + 8 * len(places):
        raise InvalidEventError("field_invalid", "entities: a mask of 2 bytes, then 8 bytes for each entity it names")
    return tuple((place, entities[2 + 8 * i : 10 + 8 * i]) for i, place in enumerate(places))


def build_finding(outcome: KnownOutcome) -> Finding:
    """The store's part of a message; raises InvalidEventError."""
    return Finding(
        outcome.transaction_id,
        to_epoch_ms(outcome.event_time),
        decode_entities(outcome.entities),
        outcome.fraud,
        outcome.fraud and outcome.plain,
    )
