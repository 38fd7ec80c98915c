"""Sightings as commands for windows.lua, and its replies as one Applied. Pure: moves no bytes itself.

Written for speed: a few microseconds per event each way. Values seen again come from a bounded cache of ready fragments.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.windows import ENTITIES, ENTITY_NAMES, WINDOWS, aggregate_names
from scoring.ports import Applied, Mark, Sighting
from scoring.redis_keys import Keys, counterpart_hash

CACHE_VALUES_MAX = 50_000
"""Values per entity whose fragments are kept; the cache starts afresh beyond it."""

MARKS = {"a": "allow", "d": "deny", "w": "watch"}
"""First letters, as the store keeps them."""

_WIDTHS = [len(aggregate_names(entity)) for entity in ENTITIES]
_STARTS = [sum(_WIDTHS[:i]) for i in range(len(ENTITIES))]
COLUMNS = sum(_WIDTHS)
"""K, the number of aggregates of an event."""
_NUMBERS = 2 * len(WINDOWS) + 1
"""How many of an entity's aggregates come before its counterparts; these are doubles where one passes 32 bits."""
_MISSING = 0xFFFFFFFF
_EVENT = struct.Struct("<QQ")
_SHARED = struct.Struct("<IIIHBBB")
_RECORD = struct.Struct("<QHHBBB")
_RECORD_AT = 9  # after the first-sight flag and the digest
_TEXT_AT = _RECORD_AT + _RECORD.size
_ENTITIES_AT = 13  # evalsha, script, number of keys, 3 keys and 3 arguments are always there


class Bounds(NamedTuple):
    """What bounds an entity's state and every lifetime, sent with each sighting."""

    idle_s: int
    sight_s: int
    max_events: int
    max_counterparts: int


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


@cache
def layout(mask: int) -> bytes:
    """How many entities `mask` names, itself, then per entity how many counterparts it has and where each stands (0: absent)."""
    present = [i for i in range(len(ENTITIES)) if mask >> i & 1]
    positions = {ENTITY_NAMES[i]: position for position, i in enumerate(present, 1)}
    parts = [struct.pack("<BH", len(present), mask)]
    for i in present:
        counterparts = ENTITIES[i].counterparts
        parts.append(bytes([len(counterparts), *(positions.get(name, 0) for name in counterparts)]))
    return b"".join(parts)


@cache
def _columns(mask: int) -> NDArray[np.intp]:
    spans = [range(_STARTS[i], _STARTS[i] + _WIDTHS[i]) for i in range(len(ENTITIES)) if mask >> i & 1]
    return np.array([column for span in spans for column in span], dtype=np.intp)


class SightingPacker:
    """Makes one EVALSHA per sighting."""

    def __init__(self, keys: Keys, sha: bytes, bounds: Bounds) -> None:
        self._keys = keys
        self._bounds = bounds
        self._start = b"$7\r\nEVALSHA\r\n" + _bulk(sha)
        self._middle = _bulk(keys.sequence) + _bulk(keys.marks)
        self._fragments: list[dict[str, tuple[bytes, bytes]]] = [{} for _ in ENTITIES]
        self._heads = [
            b"*%d\r\n%b%b" % (6 + count, self._start, _bulk(b"%d" % count)) for count in range(2 * len(ENTITIES) + 4)
        ]
        self._layouts = [_bulk(layout(mask)) for mask in range(1 << len(ENTITIES))]

    def shared(self, now_s: int, model_version: str, rules_version: str) -> bytes:
        """The argument that a whole batch has in common; raises ValueError for a version over 255 bytes."""
        model, rules = model_version.encode(), rules_version.encode()
        if max(len(model), len(rules)) > 255:
            raise ValueError("a version is at most 255 bytes")
        return _bulk(_SHARED.pack(now_s, *self._bounds, len(model), len(rules)) + model + rules)

    def pack(self, sightings: Sequence[Sighting], shared: bytes) -> list[bytes]:
        """One command per sighting, in their order."""
        return [self._one(sighting, shared) for sighting in sightings]

    def pack_apart(self, sightings: Sequence[Sighting], shared: bytes, others: Mapping[int, bytes]) -> list[bytes]:
        """As `pack`, with another shared argument for the sightings at some places."""
        return [self._one(sighting, others.get(place, shared)) for place, sighting in enumerate(sightings)]

    def _one(self, sighting: Sighting, shared: bytes) -> bytes:
        times = _EVENT.pack(sighting.event_time_ms, sighting.amount_base_minor)
        argument = [times[:6], times[8:14], sighting.digest]
        parts = [b"", _bulk(self._keys.sight(sighting.transaction_id)), self._middle]
        mask, bit = 0, 1
        for fragments, value in zip(self._fragments, sighting.entities, strict=True):
            if value is not None:
                mask |= bit
                fragment = fragments.get(value) or self._fragment(bit.bit_length() - 1, value)
                parts.append(fragment[0])
                argument.append(fragment[1])
            bit += bit
        if sighting.aliases is not None:
            self._add_aliases(sighting, sighting.aliases, parts, argument)
        parts[0] = self._heads[len(parts)]
        event = b"".join(argument)
        parts += (b"$%d\r\n%b\r\n" % (len(event), event), shared, self._layouts[mask])
        return b"".join(parts)

    def _add_aliases(
        self, sighting: Sighting, aliases: tuple[str | None, ...], parts: list[bytes], argument: list[bytes]
    ) -> None:
        position = 0
        for i, (value, alias) in enumerate(zip(sighting.entities, aliases, strict=True)):
            if value is None:
                continue
            position += 1
            if alias is not None and alias != value:
                key, hashed = self._fragments[i].get(alias) or self._fragment(i, alias)
                parts.append(key)
                argument.append(bytes([position]) + hashed)

    def _fragment(self, i: int, value: str) -> tuple[bytes, bytes]:
        fragments = self._fragments[i]
        if len(fragments) >= CACHE_VALUES_MAX:
            fragments.clear()
        key = self._keys.entity(ENTITY_NAMES[i], value)
        fragment = fragments[value] = (_bulk(key), counterpart_hash(value.encode()))
        return fragment


class ReplyReader:
    """Turns the script's replies into one Applied."""

    def __init__(self) -> None:
        self._pinned: dict[tuple[int, int, int, bytes], tuple[str, str, tuple[Mark, ...]]] = {}

    def applied(self, replies: Sequence[bytes]) -> Applied:
        """The answer for a batch, one reply per sighting."""
        count = len(replies)
        flags = np.frombuffer(b"".join([reply[:1] for reply in replies]), np.uint8)
        sequence: list[int] = []
        models: list[str] = []
        rules: list[str] = []
        marks: list[tuple[Mark, ...]] = []
        groups: dict[int, tuple[list[int], list[bytes]]] = {}
        wide_rows: list[tuple[int, int, int, bytes]] = []
        for row, reply in enumerate(replies):
            applied_seq, mask, wide, model_length, rules_length, marked = _RECORD.unpack_from(reply, _RECORD_AT)
            end = _TEXT_AT + model_length + rules_length + 2 * marked
            text = (mask if marked else 0, model_length, rules_length, reply[_TEXT_AT:end])
            pinned = self._pinned.get(text) or self._read_text(text)
            sequence.append(applied_seq)
            models.append(pinned[0])
            rules.append(pinned[1])
            marks.append(pinned[2])
            if wide:
                wide_rows.append((row, mask, wide, reply[end:]))
            else:
                group = groups.get(mask)
                if group is None:
                    group = groups[mask] = ([], [])
                group[0].append(row)
                group[1].append(reply[end:])
        aggregates = np.full((count, COLUMNS), np.nan)
        for mask, (rows, payloads) in groups.items():
            numbers = np.frombuffer(b"".join(payloads), "<u4").reshape(len(rows), -1)
            values = numbers.astype(np.float64)
            values[numbers == _MISSING] = np.nan
            aggregates[np.array(rows)[:, None], _columns(mask)] = values
        for row, mask, wide, payload in wide_rows:
            aggregates[row, _columns(mask)] = _read_wide(mask, wide, payload)
        return Applied(
            applied_seq=np.array(sequence, dtype=np.int64),
            first=flags == ord("1"),
            conflict=flags == ord("2"),
            aggregates=aggregates,
            model_versions=models,
            rules_versions=rules,
            marks=marks,
        )

    def _read_text(self, key: tuple[int, int, int, bytes]) -> tuple[str, str, tuple[Mark, ...]]:
        mask, model_length, rules_length, text = key
        names = [name for i, name in enumerate(ENTITY_NAMES) if mask >> i & 1]
        pairs = text[model_length + rules_length :]
        marks = tuple(Mark(names[pairs[i] - 1], MARKS[chr(pairs[i + 1])]) for i in range(0, len(pairs), 2))
        if len(self._pinned) >= 1024:
            self._pinned.clear()
        model, rules = text[:model_length].decode(), text[model_length : model_length + rules_length].decode()
        pinned = self._pinned[key] = (model, rules, marks)
        return pinned


def _read_wide(mask: int, wide: int, payload: bytes) -> list[float]:
    """Aggregates of an event with an entity whose numbers pass 32 bits; bits of `wide` count named entities."""
    values: list[Any] = []
    at = 0
    for position, i in enumerate(i for i in range(len(ENTITIES)) if mask >> i & 1):
        code = "d" if wide >> position & 1 else "I"
        form = struct.Struct(f"<{_NUMBERS}{code}{_WIDTHS[i] - _NUMBERS}I")
        numbers = form.unpack_from(payload, at)
        at += form.size
        values += [
            np.nan if number in (_MISSING, -1) and _may_miss(i, k) else number for k, number in enumerate(numbers)
        ]
    return values


def _may_miss(entity: int, column: int) -> bool:
    return aggregate_names(ENTITIES[entity])[column].startswith("since_")
