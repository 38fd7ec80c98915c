"""Positions in MongoDB's change streams, one per collection, and how an unfinished scan continues. Pure."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from bson import json_util
from bson.codec_options import DatetimeConversion
from bson.decimal128 import Decimal128
from bson.errors import BSONError
from bson.objectid import ObjectId
from bson.timestamp import Timestamp

from connectors.mongodb.values import Spelling
from connectors.ports import Position
from contract.errors import ConfigurationError

_OPTIONS = json_util.JSONOptions(tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO)
_TIME_IN_TOKEN = re.compile(r"82([0-9A-Fa-f]{8})")
_FORM = (
    'a MongoDB position looks like {"streams": {"orders": {"token": {"_data": "82…"}}}}, or for a moment '
    '{"streams": {"orders": {"at": {"$timestamp": {"t": 1700000000, "i": 0}}}}}'
)


class CollectionStart(NamedTuple):
    """Where one stream continues: after a resume token, or else at an operation time."""

    token: Mapping[str, Any] | None = None
    at: Timestamp | None = None


class MongoPosition(NamedTuple):
    """Where all streams continue; in a snapshot also how far the scan got."""

    streams: Mapping[str, CollectionStart]
    table: str | None = None
    after: object = None
    spellings: Mapping[str, Spelling] | None = None
    """How each collection's keys are written; it never changes, since transactions are known by these texts. A collection that is
    absent held no document so far. None: nobody has looked yet."""
    rows: int = 0
    """Documents of the collection that the scan has given."""


def encode_stream(position: MongoPosition) -> Position:
    """`position` as the runner keeps it."""
    return Position("stream", _text(position))


def encode_snapshot(position: MongoPosition, table: str, after: object, rows: int = 0) -> Position:
    """A scan of `table` that gave every document up to the ordering value `after`: `rows` of them."""
    return Position("snapshot", _text(position, {"table": table, "after": after} | ({"rows": rows} if rows else {})))


def describe_places(position: MongoPosition) -> str:
    """Up to when each stream was read, for people; a token itself holds the key of a document."""
    return ", ".join(f"{name} {_describe_start(start)}" for name, start in position.streams.items())


def _describe_start(start: CollectionStart) -> str:
    if start.at is not None:
        return f"from {start.at.as_datetime():%Y-%m-%dT%H:%M:%SZ}"
    # the first byte of a token is the kind of what follows: a time stamp, whose first half is seconds since 1970
    digits = _TIME_IN_TOKEN.match(str((start.token or {}).get("_data", "")))
    if digits is None:
        return "by a token"
    return f"from {datetime.fromtimestamp(int(digits[1], 16), UTC):%Y-%m-%dT%H:%M:%SZ}"


def _text(position: MongoPosition, scan: Mapping[str, object] | None = None) -> str:
    starts = {
        name: {"token": start.token} if start.token is not None else {"at": start.at}
        for name, start in position.streams.items()
    }
    document: dict[str, object] = {"streams": starts}
    if position.spellings is not None:
        document["keys"] = {name: spelling.to_text() for name, spelling in position.spellings.items()}
    return json_util.dumps(document | ({"scan": scan} if scan else {}))


def parse_position(position: Position) -> MongoPosition:
    """Reads a position; raises ConfigurationError when an operator set something else."""
    try:
        document = json_util.loads(position.text, json_options=_OPTIONS)
        streams = {str(name): _start(start) for name, start in document["streams"].items()}
        scan = document.get("scan") or {}
        keys = document.get("keys")
        spellings = None if keys is None else {str(name): Spelling.parse(text) for name, text in keys.items()}
        return MongoPosition(streams, scan.get("table"), scan.get("after"), spellings, int(scan.get("rows", 0)))
    except (ValueError, KeyError, TypeError, AttributeError, BSONError):
        raise ConfigurationError([_FORM]) from None


def _start(start: Mapping[str, Any]) -> CollectionStart:
    token, moment = start.get("token"), start.get("at")
    if isinstance(token, Mapping):
        return CollectionStart(token=token)
    if isinstance(moment, Timestamp):
        return CollectionStart(at=moment)
    raise ValueError("neither token nor at")


def can_resume_from(value: object) -> bool:
    """Whether a scan can ask for "not before `value`" later: of all values only those that are compared with their own kind."""
    if isinstance(value, str):
        return not any(0xD800 <= ord(c) <= 0xDFFF for c in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Decimal128):
        return value.to_decimal().is_finite()
    return isinstance(value, int | bytes | ObjectId | datetime)
