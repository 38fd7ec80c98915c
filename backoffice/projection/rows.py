"""Applies a batch to the tables, within the caller's SQL transaction. Only a projector calls this, and only one at a time for a retailer."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from backoffice.projection import upserts
from backoffice.projection.changes import VerdictChange
from backoffice.projection.gathering import Gathered, rank_alarm, rank_newest, rank_resolution, rank_verdict
from backoffice.projection.heads import Head, merge
from backoffice.projection.record_reader import list_entities
from backoffice.projection.tables import (
    ALARMS,
    DEAD_LETTERS,
    ENTITIES,
    ERASURES,
    LABELS,
    MINUTES,
    PROCESSES,
    RESOLUTIONS,
    TRANSACTIONS,
    VERDICTS,
)
from contract.events import Transaction
from contract.verdicts import REVISION_FULL

MINUTE_MS = 60_000
_OF_TRANSACTION = (VERDICTS, LABELS, RESOLUTIONS, TRANSACTIONS)
_decode_transaction = msgspec.json.Decoder(Transaction).decode


class Answers(NamedTuple):
    """The series that one row of `minutes` counts."""

    minute: int
    decision: str
    degraded: bool
    late: bool


class RowWriter:
    """The rows of one retailer, on one connection."""

    def __init__(self, connection: sa.Connection, retailer: str) -> None:
        self._connection, self._retailer = connection, retailer

    def apply(self, gathered: Gathered, next_seq: int) -> int:
        """Writes everything that the batch changes.

        Args:
            gathered: the batch.
            next_seq: the number of the first new verdict.

        Returns:
            The number after the last new verdict's.
        """
        self._erase(gathered)
        next_seq, told = self._write_verdicts(gathered, next_seq)
        self._write_labels(gathered)
        self._write_resolutions(gathered)
        self._write_heads(gathered, told)
        self._write_alarms(gathered)
        self._write_processes(gathered)
        self._write_letters(gathered)
        return next_seq

    def delete_transactions(self, ids: Sequence[str]) -> None:
        """Deletes transactions with everything that belongs to them."""
        for some in upserts.cut(ids):
            self._delete_entities(self._read_heads(some).values())
            self._count(self._read_answers(some), -1)
            for table in _OF_TRANSACTION:
                self._connection.execute(table.delete().where(self._of(table, some)))

    def _erase(self, gathered: Gathered) -> None:
        """Erasures of this batch and of earlier ones win over all that is told of their transactions."""
        known: dict[str, int] = {}
        for some in upserts.cut(gathered.list_ids()):
            chosen = sa.select(ERASURES.c.transaction_id, ERASURES.c.appended_ms).where(self._of(ERASURES, some))
            known |= {row.transaction_id: row.appended_ms for row in self._connection.execute(chosen)}
        later = [each for key, each in gathered.erasures.items() if each.appended_ms > known.get(key, -1)]
        upserts.write(self._connection, ERASURES, self._rows(later))
        self.delete_transactions(sorted(gathered.erasures))
        gathered.drop({*known, *gathered.erasures})

    def _write_verdicts(self, gathered: Gathered, next_seq: int) -> tuple[int, list[VerdictChange]]:
        known = self._read_verdicts(sorted({transaction_id for transaction_id, _ in gathered.verdicts}))
        new = [each for key, each in gathered.verdicts.items() if key not in known]
        better = [
            each
            for key, each in gathered.verdicts.items()
            if key in known and rank_verdict(each) < rank_verdict(known[key])
        ]
        self._count([_answers(known[each.transaction_id, each.revision]) for each in better if _counts(each)], -1)
        self._count([_answers(each) for each in (*new, *better) if _counts(each)], 1)
        rows = [self._verdict_row(each, next_seq + at) for at, each in enumerate(new)]
        upserts.write(self._connection, VERDICTS, rows)
        upserts.write(self._connection, VERDICTS, [self._verdict_row(each, 0) for each in better], kept=["seq"])
        return next_seq + len(new), new + better

    def _verdict_row(self, told: VerdictChange, seq: int) -> upserts.Row:
        row = {name: value for name, value in told._asdict().items() if name in VERDICTS.c}
        return row | {"retailer": self._retailer, "seq": seq}

    def _write_labels(self, gathered: Gathered) -> None:
        known = self._read(LABELS, {each for each, _ in gathered.labels}, "digest")
        rows = [
            each
            for key, each in gathered.labels.items()
            if key not in known or rank_newest(each) < rank_newest(known[key])
        ]
        upserts.write(self._connection, LABELS, self._rows(rows))

    def _write_resolutions(self, gathered: Gathered) -> None:
        known = self._read(RESOLUTIONS, {each for each, _ in gathered.resolutions}, "resolution_id")
        rows = [
            each
            for key, each in gathered.resolutions.items()
            if key not in known or rank_resolution(each) < rank_resolution(known[key])
        ]
        upserts.write(self._connection, RESOLUTIONS, self._rows(rows))

    def _write_heads(self, gathered: Gathered, told: Sequence[VerdictChange]) -> None:
        verdicts: dict[str, list[VerdictChange]] = {}
        for each in told:
            verdicts.setdefault(each.transaction_id, []).append(each)
        named = {*gathered.transactions, *verdicts}
        resolved = self._read_resolved(sorted(named | {each for each, _ in gathered.resolutions}))
        known = self._read_heads(sorted(named | resolved))
        changed: dict[str, Head] = {}
        for transaction_id in sorted(named | (resolved & known.keys())):
            head = known.setdefault(transaction_id, Head(transaction_id))
            transaction, revisions = gathered.transactions.get(transaction_id), verdicts.get(transaction_id, ())
            merged = merge(head, transaction, revisions, resolved=transaction_id in resolved)
            if merged != head:
                changed[transaction_id] = merged
        upserts.write(self._connection, TRANSACTIONS, [each.as_row(self._retailer) for each in changed.values()])
        moved = [each for each in changed.values() if each.document != known[each.transaction_id].document]
        self._delete_entities(known[each.transaction_id] for each in moved)
        entities = {each.transaction_id: gathered.transactions[each.transaction_id].entities for each in moved}
        upserts.add_missing(
            self._connection,
            ENTITIES,
            [row for each in moved for row in self._index(each, entities[each.transaction_id])],
        )

    def _write_alarms(self, gathered: Gathered) -> None:
        known: dict[str, Any] = {}
        for some in upserts.cut(gathered.alarms):
            chosen = (ALARMS.c.retailer == self._retailer) & ALARMS.c.alarm_id.in_(some)
            known |= {row.alarm_id: row for row in self._connection.execute(ALARMS.select().where(chosen))}
        rows = [
            each
            for key, each in gathered.alarms.items()
            if key not in known or rank_alarm(each) < rank_alarm(known[key])
        ]
        upserts.write(self._connection, ALARMS, self._rows(rows))

    def _write_processes(self, gathered: Gathered) -> None:
        statement = PROCESSES.select().where(PROCESSES.c.retailer == self._retailer)
        rows: Iterable[Any] = self._connection.execute(statement) if gathered.processes else ()
        known: dict[tuple[str, str], Any] = {(row.part, row.process): row for row in rows}
        newer = [
            each
            for key, each in gathered.processes.items()
            if key not in known or rank_newest(each) < rank_newest(known[key])
        ]
        upserts.write(self._connection, PROCESSES, self._rows(newer))

    def _write_letters(self, gathered: Gathered) -> None:
        c = DEAD_LETTERS.c
        for each in gathered.letter_erasures.values():
            place = (c.topic_id == each.topic_id) & (c.partition == each.partition) & (c.offset < each.offset)
            chosen = (c.retailer == self._retailer) & (c.key == each.key) & place
            self._connection.execute(DEAD_LETTERS.delete().where(chosen))
        upserts.write(self._connection, DEAD_LETTERS, self._rows(gathered.letters.values()))

    def _read_heads(self, ids: Iterable[str]) -> dict[str, Head]:
        columns = [TRANSACTIONS.c[name] for name in Head._fields]
        heads: dict[str, Head] = {}
        for some in upserts.cut(ids):
            rows = self._connection.execute(sa.select(*columns).where(self._of(TRANSACTIONS, some)))
            heads |= {row.transaction_id: Head(*row) for row in rows}
        return heads

    def _read_verdicts(self, ids: Iterable[str]) -> dict[tuple[str, int], Any]:
        return self._read(VERDICTS, ids, "revision")

    def _read(self, table: sa.Table, ids: Iterable[str], second: str) -> dict[tuple[str, Any], Any]:
        found: dict[tuple[str, Any], Any] = {}
        for some in upserts.cut(sorted(ids)):
            rows = self._connection.execute(table.select().where(self._of(table, some)))
            found |= {(row.transaction_id, getattr(row, second)): row for row in rows}
        return found

    def _read_resolved(self, ids: Iterable[str]) -> set[str]:
        resolved: set[str] = set()
        for some in upserts.cut(ids):
            chosen = sa.select(RESOLUTIONS.c.transaction_id).where(self._of(RESOLUTIONS, some))
            resolved |= {*self._connection.execute(chosen).scalars()}
        return resolved

    def _read_answers(self, ids: Sequence[str]) -> list[Answers]:
        c = VERDICTS.c
        chosen = self._of(VERDICTS, ids) & (c.revision <= REVISION_FULL)
        rows = self._connection.execute(sa.select(c.scored_ms, c.decision, c.degraded, c.late).where(chosen))
        return [_answers(row) for row in rows]

    def _count(self, answers: Iterable[Answers], sign: int) -> None:
        rows = [
            {"retailer": self._retailer, **series._asdict(), "count": sign * count}
            for series, count in sorted(Counter(answers).items())
        ]
        upserts.add(self._connection, MINUTES, rows, "count")
        if sign < 0 and rows:
            empty = (MINUTES.c.retailer == self._retailer) & (MINUTES.c["count"] <= 0)
            minutes = MINUTES.c.minute.in_(sorted({row["minute"] for row in rows}))
            self._connection.execute(MINUTES.delete().where(empty & minutes))

    def _index(self, head: Head, entities: Iterable[tuple[str, str]]) -> list[upserts.Row]:
        place = {"event_ms": head.event_ms, "transaction_id": head.transaction_id}
        return [{"retailer": self._retailer, "kind": kind, "token": token, **place} for kind, token in entities]

    def _delete_entities(self, heads: Iterable[Head]) -> None:
        rows = [
            row
            for head in heads
            if head.document is not None
            for row in self._index(head, list_entities(_decode_transaction(head.document)))
        ]
        upserts.delete_keys(self._connection, ENTITIES, rows)

    def _rows(self, changes: Iterable[Any]) -> list[upserts.Row]:
        return [{"retailer": self._retailer, **each._asdict()} for each in changes]

    def _of(self, table: sa.Table, ids: Sequence[str]) -> sa.ColumnElement[bool]:
        return (table.c.retailer == self._retailer) & table.c.transaction_id.in_(ids)


def _counts(verdict: VerdictChange) -> bool:
    """What follows a resolution or an expiry is no answer to a transaction."""
    return verdict.revision <= REVISION_FULL


def _answers(row: Any) -> Answers:
    return Answers(row.scored_ms // MINUTE_MS, row.decision, bool(row.degraded), bool(row.late))
