"""Window updates as commands for windows.lua, and its replies as one Applied. Pure: moves no bytes itself.

Written for speed: a few microseconds per event each way. Values seen again come from a bounded cache of ready fragments.
"""

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.risk import HABIT_ENTITIES, RISK_NAMES, list_side_names
from contract.windows import ENTITIES, ENTITY_NAMES, WINDOWS, hash_counterpart, list_aggregate_names
from scoring.ports import Applied, ListHit, SnoozeHit, WindowUpdate
from scoring.store.keys import Keys

CACHE_VALUES_MAX = 50_000
"""Values per entity whose fragments are kept; the cache starts afresh beyond it."""

MARKS = {"a": "allow", "d": "deny", "w": "watch"}
"""First letters of lists, as the store keeps them; `s` is a snooze."""

_WIDTHS = [len(list_aggregate_names(entity)) for entity in ENTITIES]
_STARTS = [sum(_WIDTHS[:i]) for i in range(len(ENTITIES))]
_SIDE_WIDTHS = [len(list_side_names(entity)) for entity in ENTITIES]
_SIDE_STARTS = [sum(_WIDTHS) + sum(_SIDE_WIDTHS[:i]) for i in range(len(ENTITIES))]
COLUMNS = sum(_WIDTHS) + sum(_SIDE_WIDTHS)
"""K, the number of aggregates of an event: those of the windows, then those of contract/risk.py."""
_HABITS = [entity.name in HABIT_ENTITIES for entity in ENTITIES]
_WITH_SIDE = 1
"""The script's mark of a record that holds what schema v2 adds; records of before hold 0."""
_HABIT = [("n", "<u4"), ("sum", "<f8"), ("unusual", "u1", 4), ("excess", "<u4"), ("since", "<u4")]
_RISK = [("counts", "<u4", 10), ("since", "<f8", 3), ("genuine", "<u4", 2)]
_NUMBERS = 2 * len(WINDOWS) + 1
"""How many of an entity's aggregates come before its counterparts; these are doubles where one passes 32 bits."""
_MISSING = 0xFFFFFFFF
_EVENT = struct.Struct("<QQ")
_SHARED = struct.Struct("<IIIHBBBIH")
_RECORD = struct.Struct("<QBBBBBBB")
_RECORD_AT = 9  # after the first-sight flag and the digest
_TEXT_AT = _RECORD_AT + _RECORD.size
_ENTITIES_AT = 13  # evalsha, script, number of keys, 3 keys and 3 arguments are always there


class Bounds(NamedTuple):
    """What bounds an entity's state and every lifetime, sent with each window_update."""

    idle_s: int
    sight_s: int
    max_events: int
    max_counterparts: int
    label_delay_s: int
    horizon_tiles: int


def _bulk(data: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(data), data)


@cache
def encode_layout(mask: int) -> bytes:
    """How many entities `mask` names, itself, their places (+ 128: with a habit), then per entity how many counterparts it has and where each stands (0: absent)."""
    present = [i for i in range(len(ENTITIES)) if mask >> i & 1]
    positions = {ENTITY_NAMES[i]: position for position, i in enumerate(present, 1)}
    parts = [struct.pack("<BH", len(present), mask), bytes(i + 128 * _HABITS[i] for i in present)]
    for i in present:
        counterparts = ENTITIES[i].counterparts
        parts.append(bytes([len(counterparts), *(positions.get(name, 0) for name in counterparts)]))
    return b"".join(parts)


class _Form(NamedTuple):
    """How the numbers of events that name the same entities, of which the same have a risk, stand in their replies."""

    record: np.dtype[Any]
    columns: NDArray[np.intp]
    """Of the windows' numbers."""
    habits: list[tuple[str, int]]
    """(field, first column)."""
    risks: list[tuple[str, int]]


@cache
def _form(mask: int, risky: int, with_side: bool) -> _Form:
    present = [i for i in range(len(ENTITIES)) if mask >> i & 1]
    columns = [column for i in present for column in range(_STARTS[i], _STARTS[i] + _WIDTHS[i])]
    habits = [(f"habit{i}", _SIDE_STARTS[i] + len(RISK_NAMES)) for i in present if _HABITS[i]] if with_side else []
    with_risk = [i for position, i in enumerate(present) if risky >> position & 1]
    risks = [(f"risk{i}", _SIDE_STARTS[i]) for i in with_risk]
    fields: list[Any] = [("windows", "<u4", (len(columns),))]
    fields += [(name, np.dtype(_HABIT)) for name, _ in habits] + [(name, np.dtype(_RISK)) for name, _ in risks]
    return _Form(np.dtype(fields), np.array(columns, dtype=np.intp), habits, risks)


@cache
def _blank(mask: int, with_side: bool) -> NDArray[np.float64]:
    """The numbers of an event before any is read: no risk for a named entity, NaN elsewhere."""
    row = np.full(COLUMNS, np.nan)
    for i in range(len(ENTITIES)):
        if with_side and mask >> i & 1:
            risk = row[_SIDE_STARTS[i] : _SIDE_STARTS[i] + len(RISK_NAMES)]
            risk[:] = [np.nan if name.startswith(("since_", "genuine_")) else 0.0 for name in RISK_NAMES]
    return row


def _fill_sides(form: _Form, records: NDArray[Any], into: NDArray[np.float64]) -> None:
    """The numbers beyond the windows of `records` into the rows of `into`, which run in step."""
    for name, start in form.habits:
        habit = records[name]
        into[:, start] = habit["n"]
        into[:, start + 1] = habit["sum"]
        into[:, start + 2 : start + 6] = habit["unusual"]
        into[:, start + 6] = habit["excess"]
        into[:, start + 7] = np.where(habit["since"] == _MISSING, np.nan, habit["since"])
    for name, start in form.risks:
        found = records[name]
        since = np.where(found["since"] < 0, np.nan, found["since"])
        into[:, start : start + 10] = found["counts"]
        into[:, start + 10 : start + 13] = since
        into[:, start + 13 : start + 15] = np.where(np.isnan(since[:, :2]), np.nan, found["genuine"])


class WindowUpdatePacker:
    """Makes one EVALSHA per window_update."""

    def __init__(self, keys: Keys, sha: bytes, bounds: Bounds) -> None:
        self._keys = keys
        self._bounds = bounds
        self._start = b"$7\r\nEVALSHA\r\n" + _bulk(sha)
        self._middle = _bulk(keys.sequence) + _bulk(keys.marks)
        self._fragments: list[dict[str, tuple[bytes, bytes]]] = [{} for _ in ENTITIES]
        self._heads = [
            b"*%d\r\n%b%b" % (6 + count, self._start, _bulk(b"%d" % count)) for count in range(2 * len(ENTITIES) + 4)
        ]
        self._layouts = [_bulk(encode_layout(mask)) for mask in range(1 << len(ENTITIES))]

    def pack_shared(self, now_s: int, model_version: str, rules_version: str) -> bytes:
        """The argument that a whole batch has in common; raises ValueError for a version over 255 bytes."""
        model, rules = model_version.encode(), rules_version.encode()
        if max(len(model), len(rules)) > 255:
            raise ValueError("a version is at most 255 bytes")
        *bounds, delay_s, horizon = self._bounds
        return _bulk(_SHARED.pack(now_s, *bounds, len(model), len(rules), delay_s, horizon) + model + rules)

    def pack(self, window_updates: Sequence[WindowUpdate], shared: bytes) -> list[bytes]:
        """One command per window update, in their order."""
        return [self._one(window_update, shared) for window_update in window_updates]

    def pack_apart(
        self, window_updates: Sequence[WindowUpdate], shared: bytes, others: Mapping[int, bytes]
    ) -> list[bytes]:
        """As `pack`, with another shared argument for the window updates of some rows."""
        return [self._one(window_update, others.get(row, shared)) for row, window_update in enumerate(window_updates)]

    def _one(self, window_update: WindowUpdate, shared: bytes) -> bytes:
        times = _EVENT.pack(window_update.event_time_ms, window_update.amount_base_minor)
        argument = [times[:6], times[8:14], window_update.digest]
        parts = [b"", _bulk(self._keys.name_sight(window_update.transaction_id)), self._middle]
        mask, bit = 0, 1
        for fragments, value in zip(self._fragments, window_update.entities, strict=True):
            if value is not None:
                mask |= bit
                fragment = fragments.get(value) or self._fragment(bit.bit_length() - 1, value)
                parts.append(fragment[0])
                argument.append(fragment[1])
            bit += bit
        if window_update.aliases is not None:
            self._add_aliases(window_update, window_update.aliases, parts, argument)
        parts[0] = self._heads[len(parts)]
        event = b"".join(argument)
        parts += (b"$%d\r\n%b\r\n" % (len(event), event), shared, self._layouts[mask])
        return b"".join(parts)

    def _add_aliases(
        self, window_update: WindowUpdate, aliases: tuple[str | None, ...], parts: list[bytes], argument: list[bytes]
    ) -> None:
        position = 0
        for i, (value, alias) in enumerate(zip(window_update.entities, aliases, strict=True)):
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
        key = self._keys.name_entity(ENTITY_NAMES[i], value)
        fragment = fragments[value] = (_bulk(key), hash_counterpart(value.encode()))
        return fragment


class _Pinned(NamedTuple):
    """What the first sight of a transaction pinned, but for its numbers."""

    model_version: str
    rules_version: str
    marks: tuple[ListHit, ...]
    snoozes: tuple[SnoozeHit, ...]


class ReplyReader:
    """Turns the script's replies into one Applied."""

    def __init__(self) -> None:
        self._pinned: dict[tuple[int, int, int, bytes], _Pinned] = {}

    def read_replies(self, replies: Sequence[bytes]) -> Applied:
        """The answer for a batch, one reply per window_update."""
        count = len(replies)
        flags = np.frombuffer(b"".join([reply[:1] for reply in replies]), np.uint8)
        sequence: list[int] = []
        models: list[str] = []
        rules: list[str] = []
        marks: list[tuple[ListHit, ...]] = []
        snoozes: list[tuple[SnoozeHit, ...]] = []
        groups: dict[tuple[int, int, bool], tuple[list[int], list[bytes]]] = {}
        wide_rows: list[tuple[int, tuple[int, int, bool], int, bytes]] = []
        for row, reply in enumerate(replies):
            applied_seq, mask, risky, wide, side, model_length, rules_length, marked = _RECORD.unpack_from(
                reply, _RECORD_AT
            )
            end = _TEXT_AT + model_length + rules_length + 2 * marked
            text = (mask if marked else 0, model_length, rules_length, reply[_TEXT_AT:end])
            pinned = self._pinned.get(text) or self._read_text(text)
            sequence.append(applied_seq)
            models.append(pinned[0])
            rules.append(pinned[1])
            marks.append(pinned[2])
            snoozes.append(pinned[3])
            kind = (mask, risky, side == _WITH_SIDE)
            if wide:
                wide_rows.append((row, kind, wide, reply[end:]))
            else:
                group = groups.get(kind)
                if group is None:
                    group = groups[kind] = ([], [])
                group[0].append(row)
                group[1].append(reply[end:])
        aggregates = np.empty((count, COLUMNS))
        for kind, (rows, payloads) in groups.items():
            form = _form(*kind)
            values = np.repeat(_blank(kind[0], kind[2])[None, :], len(rows), axis=0)
            if form.record.itemsize:
                records = np.frombuffer(b"".join(payloads), form.record)
                numbers = records["windows"]
                values[:, form.columns] = np.where(numbers == _MISSING, np.nan, numbers)
                _fill_sides(form, records, values)
            aggregates[rows] = values
        for row, kind, wide, payload in wide_rows:
            aggregates[row] = _read_wide(kind, wide, payload)
        return Applied(
            applied_seq=np.array(sequence, dtype=np.int64),
            first=flags == ord("1"),
            conflict=flags == ord("2"),
            aggregates=aggregates,
            model_versions=models,
            rules_versions=rules,
            marks=marks,
            snoozes=snoozes,
        )

    def _read_text(self, key: tuple[int, int, int, bytes]) -> _Pinned:
        mask, model_length, rules_length, text = key
        names = [name for i, name in enumerate(ENTITY_NAMES) if mask >> i & 1]
        marks, snoozes = _read_marks(text[model_length + rules_length :], names)
        if len(self._pinned) >= 1024:
            self._pinned.clear()
        model, rules = text[:model_length].decode(), text[model_length : model_length + rules_length].decode()
        pinned = self._pinned[key] = _Pinned(model, rules, marks, snoozes)
        return pinned


def _read_marks(data: bytes, names: list[str]) -> tuple[tuple[ListHit, ...], tuple[SnoozeHit, ...]]:
    """Lists and snoozes of a transaction that names the entities `names`; a snooze holds its rule's id, in pairs of bytes."""
    marks: list[ListHit] = []
    snoozes: list[SnoozeHit] = []
    at = 0
    while at < len(data):
        name, letter = names[data[at] - 1], chr(data[at + 1])
        at += 2
        if letter in MARKS:
            marks.append(ListHit(name, MARKS[letter]))
        else:
            length = data[at]
            snoozes.append(SnoozeHit(name, data[at + 1 : at + 1 + length].decode()))
            at += (length + 2) // 2 * 2
    return tuple(marks), tuple(snoozes)


def _read_wide(kind: tuple[int, int, bool], wide: int, payload: bytes) -> NDArray[np.float64]:
    """Aggregates of an event with an entity whose numbers pass 32 bits; bits of `wide` count named entities."""
    mask, _, with_side = kind
    values: list[Any] = []
    at = 0
    for position, i in enumerate(i for i in range(len(ENTITIES)) if mask >> i & 1):
        code = "d" if wide >> position & 1 else "I"
        window = struct.Struct(f"<{_NUMBERS}{code}{_WIDTHS[i] - _NUMBERS}I")
        numbers = window.unpack_from(payload, at)
        at += window.size
        values += [
            np.nan if number in (_MISSING, -1) and _may_miss(i, k) else number for k, number in enumerate(numbers)
        ]
    form, row = _form(*kind), _blank(mask, with_side).copy()
    row[form.columns] = values
    beyond = np.dtype([(name, form.record[name]) for name in form.record.names or () if name != "windows"])
    if beyond.itemsize:
        _fill_sides(form, np.frombuffer(payload[at:], beyond), row[None, :])
    return row


def _may_miss(entity: int, column: int) -> bool:
    return list_aggregate_names(ENTITIES[entity])[column].startswith("since_")
