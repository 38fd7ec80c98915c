"""Positions in MongoDB's change streams, one per collection, and how an unfinished scan goes on. Pure."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from bson import json_util
from bson.errors import BSONError, InvalidId
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from connectors.ports import Position
from contract.errors import ConfigurationError

_WITH_ZONE = json_util.JSONOptions(tz_aware=True)
_FORM = (
    'a MongoDB position looks like {"streams": {"orders": {"token": {"_data": "82…"}}}}, or for a moment '
    '{"streams": {"orders": {"at": {"$timestamp": {"t": 1700000000, "i": 0}}}}}'
)


class CollectionStart(NamedTuple):
    """Where one stream goes on: after a resume token, or else at an operation time."""

    token: Mapping[str, Any] | None = None
    at: Timestamp | None = None


class MongoPosition(NamedTuple):
    """Where all streams go on; in a snapshot also how far the scan got."""

    streams: Mapping[str, CollectionStart]
    table: str | None = None
    after: object = None


def stream_text(position: MongoPosition) -> Position:
    """`position` as the runner keeps it."""
    return Position("stream", _text(position.streams))


def snapshot_text(position: MongoPosition, table: str, after: object) -> Position:
    """A scan of `table` that gave every document up to the ordering value `after`."""
    return Position("snapshot", _text(position.streams, {"table": table, "after": after}))


def _text(streams: Mapping[str, CollectionStart], scan: Mapping[str, object] | None = None) -> str:
    starts = {
        name: {"token": start.token} if start.token is not None else {"at": start.at} for name, start in streams.items()
    }
    return json_util.dumps({"streams": starts} | ({"scan": scan} if scan else {}))


def parse_position(position: Position) -> MongoPosition:
    """Reads a position; raises ConfigurationError when an operator set something else."""
    try:
        document = json_util.loads(position.text, json_options=_WITH_ZONE)
        streams = {str(name): _start(start) for name, start in document["streams"].items()}
        scan = document.get("scan") or {}
        return MongoPosition(streams, scan.get("table"), scan.get("after"))
    except (ValueError, KeyError, TypeError, AttributeError, BSONError):
        raise ConfigurationError([_FORM]) from None


def _start(start: Mapping[str, Any]) -> CollectionStart:
    token, moment = start.get("token"), start.get("at")
    if isinstance(token, Mapping):
        return CollectionStart(token=token)
    if isinstance(moment, Timestamp):
        return CollectionStart(at=moment)
    raise ValueError("neither token nor at")


def key_candidates(key: str) -> list[object]:
    """What a key written as text may have been in the database."""
    found: list[object] = [key]
    with suppress(InvalidId):
        found.append(ObjectId(key))
    if key.lstrip("-").isdecimal() and len(key) < 19:
        found.append(int(key))
    return found
