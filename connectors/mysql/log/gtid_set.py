"""Sets of MySQL's transaction identifiers, with and without tags: text, arithmetic and the binary form. Pure.

An identifier is `uuid:number` or, from MySQL 8.3 on, `uuid:tag:number`. A set is immutable.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from uuid import UUID

from connectors.mysql.log.cursor import Cursor, translate_read_errors

Source = tuple[str, str]
"""UUID and tag (empty: none)."""
Intervals = tuple[tuple[int, int], ...]
"""First and last number of each run, both included, in ascending order, with gaps between them."""

_TAG = re.compile(r"[a-z_][a-z0-9_]{0,31}")
_TAGGED_FORMAT = 1


class GtidSet:
    """What a reader has seen. `GtidSet()` is empty."""

    __slots__ = ("_parts",)

    def __init__(self, parts: Mapping[Source, Intervals] | None = None) -> None:
        self._parts: dict[Source, Intervals] = dict(parts or {})

    @classmethod
    def parse(cls, text: str) -> "GtidSet":
        """Reads the server's notation, `uuid:1-5:7:tag:1-3,uuid:…`; raises ValueError for anything else."""
        found: dict[Source, list[tuple[int, int]]] = {}
        for part in re.sub(r"\s", "", text).split(","):
            if part:
                for source, interval in _parse_part(part):
                    found.setdefault(source, []).append(interval)
        return cls({source: _normal(intervals) for source, intervals in found.items()})

    @classmethod
    def decode(cls, data: bytes) -> "GtidSet":
        """Reads the binary form (COM_BINLOG_DUMP_GTID, PREVIOUS_GTIDS); raises MalformedEventError."""
        with translate_read_errors("a set of GTIDs"):
            cursor = Cursor(data)
            header = cursor.take_number(8)
            tagged = header >> 56 == _TAGGED_FORMAT
            count = (header >> 8 & (1 << 48) - 1) if tagged else header
            found: dict[Source, list[tuple[int, int]]] = {}
            for _ in range(count):
                uuid = cursor.take_uuid()
                tag = cursor.take(cursor.take_varint()).decode("ascii") if tagged else ""
                runs = [(cursor.take_number(8), cursor.take_number(8) - 1) for _ in range(cursor.take_number(8))]
                found.setdefault((uuid, tag), []).extend(runs)
            return cls({source: _normal(intervals) for source, intervals in found.items()})

    def encode(self) -> bytes:
        """The binary form: the one that every server reads, or the tagged one where the set has tags."""
        tagged = any(tag for _, tag in self._parts)
        count = len(self._parts)
        header = _TAGGED_FORMAT << 56 | count << 8 | _TAGGED_FORMAT if tagged else count
        out = [header.to_bytes(8, "little")]
        for (uuid, tag), intervals in sorted(self._parts.items()):
            out.append(UUID(uuid).bytes)
            if tagged:
                out.append(bytes([len(tag) << 1]) + tag.encode())
            out.append(len(intervals).to_bytes(8, "little"))
            out += [first.to_bytes(8, "little") + (last + 1).to_bytes(8, "little") for first, last in intervals]
        return b"".join(out)

    def add(self, source: Source, number: int) -> "GtidSet":
        """This set and one more transaction."""
        known = self._parts.get(source, ())
        if known and known[-1][1] + 1 == number:  # the usual case: the next one
            merged: Intervals = (*known[:-1], (known[-1][0], number))
        else:
            merged = _normal([*known, (number, number)])
        return GtidSet({**self._parts, source: merged})

    def has(self, source: Source, number: int) -> bool:
        """Whether the transaction is in the set."""
        return any(first <= number <= last for first, last in self._parts.get(source, ()))

    def has_all_of(self, other: "GtidSet") -> bool:
        """Whether every transaction of `other` is in this set."""
        return not other.subtract(self)

    def subtract(self, other: "GtidSet") -> "GtidSet":
        """What is in this set and not in `other`."""
        gone = other.parts
        rest = {source: _subtract(runs, gone.get(source, ())) for source, runs in self._parts.items()}
        return GtidSet({source: runs for source, runs in rest.items() if runs})

    def combine(self, other: "GtidSet") -> "GtidSet":
        """What is in either."""
        mine, others = self._parts, other.parts
        return GtidSet({s: _normal([*mine.get(s, ()), *others.get(s, ())]) for s in mine.keys() | others.keys()})

    @property
    def parts(self) -> Mapping[Source, Intervals]:
        """Runs of numbers by source."""
        return self._parts

    def __bool__(self) -> bool:
        return bool(self._parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GtidSet) and self._parts == other._parts

    def __hash__(self) -> int:
        return hash(frozenset(self._parts.items()))

    def __str__(self) -> str:
        return ",".join(self._texts())

    def __repr__(self) -> str:
        return f"GtidSet({str(self)!r})"

    def _texts(self) -> Iterator[str]:
        last = ""
        words: list[str] = []
        for (uuid, tag), intervals in sorted(self._parts.items()):
            if uuid != last:
                if words:
                    yield ":".join(words)
                words, last = [uuid], uuid
            words += [tag] if tag else []
            words += [str(first) if first == end else f"{first}-{end}" for first, end in intervals]
        if words:
            yield ":".join(words)


def _parse_part(part: str) -> Iterator[tuple[Source, tuple[int, int]]]:
    uuid_text, *words = part.split(":")
    uuid, tag = str(UUID(uuid_text)), ""
    if not words:
        raise ValueError("a GTID set needs numbers after the UUID")
    for word in words:
        lowered = word.lower()
        if _TAG.fullmatch(lowered):
            tag = lowered
            continue
        first, _, last = word.partition("-")
        run = int(first), int(last or first)
        if not (first.isdecimal() and (not last or last.isdecimal()) and 1 <= run[0] < 2**63 and run[1] < 2**63):
            raise ValueError("a GTID set has a number that is none")
        if run[0] <= run[1]:  # the server takes an empty run for nothing
            yield (uuid, tag), run


def _normal(intervals: Iterable[tuple[int, int]]) -> Intervals:
    """Sorted, and merged where they touch."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(intervals):
        if last < first or first < 1:
            raise ValueError("an interval of GTIDs is empty")
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return tuple(merged)


def _subtract(runs: Intervals, others: Intervals) -> Intervals:
    rest: list[tuple[int, int]] = []
    for first, last in runs:
        start = first
        for gone_first, gone_last in others:
            if gone_last < start or gone_first > last:
                continue
            if gone_first > start:
                rest.append((start, gone_first - 1))
            start = gone_last + 1
        if start <= last:
            rest.append((start, last))
    return tuple(rest)
