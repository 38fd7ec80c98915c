"""How the pipeline does: alarms, dead letters, latencies by stage, decisions by minute."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import sqlalchemy as sa

from backoffice.projection import cursors
from backoffice.projection.ports import SAMPLE_MAX
from backoffice.projection.ranges import Cut, Span
from backoffice.projection.results import (
    DecisionCount,
    Latencies,
    LetterCount,
    Page,
    StageLatency,
    StoredLetter,
)
from backoffice.projection.rows import MINUTE_MS
from backoffice.projection.tables import ALARMS, DEAD_LETTERS, MINUTES, PROCESSES, VERDICTS
from contract.alarms import Alarm
from contract.clock import from_epoch_ms
from contract.dead_letters import DeadLetter
from contract.status.message import ProcessStatus
from contract.status.words import Heard
from contract.verdicts import REVISION_DEGRADED, REVISION_FULL, Decision

TOTAL = "total"
SLICES = 20
PROCESSES_MAX = 1_000
_decode_alarm = msgspec.json.Decoder(Alarm).decode
_decode_status = msgspec.json.Decoder(ProcessStatus).decode
_decode_letter = msgspec.json.Decoder(DeadLetter).decode


class _Timed(msgspec.Struct):
    """What matters of a verdict here."""

    latency_ms: float
    stage_us: dict[str, float]


_decode_timed = msgspec.json.Decoder(_Timed).decode


def list_alarms(connection: sa.Connection, retailer: str, cut: Cut) -> Page[Alarm]:
    """The newest first."""
    c = ALARMS.c
    chosen = c.retailer == retailer
    if cut.after is not None:
        chosen &= sa.tuple_(c.raised_ms, c.alarm_id) < sa.tuple_(*cursors.read(cut.after, tuple[int, str]))
    in_order = ALARMS.select().where(chosen).order_by(c.raised_ms.desc(), c.alarm_id.desc())
    rows = connection.execute(in_order.limit(cut.limit + 1)).all()
    page = rows[: cut.limit]
    more = cursors.write(page[-1].raised_ms, page[-1].alarm_id) if len(rows) > cut.limit else None
    return Page(items=tuple(_decode_alarm(row.document) for row in page), next=more)


def list_processes(connection: sa.Connection, retailer: str, since_ms: int) -> tuple[Heard, ...]:
    """Heard since, by part and process."""
    c = PROCESSES.c
    chosen = PROCESSES.select().where((c.retailer == retailer) & (c.appended_ms >= since_ms))
    rows = connection.execute(chosen.order_by(c.part, c.process).limit(PROCESSES_MAX))
    return tuple(Heard(_decode_status(row.document), from_epoch_ms(row.appended_ms)) for row in rows)


def count_dead_letters(connection: sa.Connection, retailer: str) -> tuple[LetterCount, ...]:
    """By reason and part, the most frequent first."""
    c = DEAD_LETTERS.c
    figures = (sa.func.count().label("number"), sa.func.max(c.failed_ms).label("newest_ms"))
    grouped = sa.select(c.reason, c.part, *figures).where(c.retailer == retailer).group_by(c.reason, c.part)
    rows = connection.execute(grouped.order_by(sa.desc("number"), c.reason, c.part))
    return tuple(
        LetterCount(reason=row.reason, part=row.part, count=row.number, newest=from_epoch_ms(row.newest_ms))
        for row in rows
    )


def list_dead_letters(
    connection: sa.Connection, retailer: str, reason: str | None, part: str | None, cut: Cut
) -> Page[StoredLetter]:
    """The newest first."""
    c = DEAD_LETTERS.c
    chosen = c.retailer == retailer
    if reason is not None:
        chosen &= c.reason == reason
    if part is not None:
        chosen &= c.part == part
    place = (c.failed_ms, c.partition, c.offset)
    if cut.after is not None:
        chosen &= sa.tuple_(*place) < sa.tuple_(*cursors.read(cut.after, tuple[int, int, int]))
    in_order = DEAD_LETTERS.select().where(chosen).order_by(*(column.desc() for column in place))
    rows = connection.execute(in_order.limit(cut.limit + 1)).mappings().all()
    last = rows[cut.limit - 1] if len(rows) > cut.limit else None
    more = None if last is None else cursors.write(last["failed_ms"], last["partition"], last["offset"])
    letters = (
        StoredLetter(letter=_decode_letter(row["document"]), partition=row["partition"], offset=row["offset"])
        for row in rows[: cut.limit]
    )
    return Page(items=tuple(letters), next=more)


def measure_latencies(connection: sa.Connection, retailer: str, span: Span) -> Latencies:
    """Of first answers by scored_at in [since, until) that were not late; of a spread sample where there are many."""
    m = MINUTES.c
    chosen = (
        (m.retailer == retailer) & (m.minute >= span.since_ms // MINUTE_MS) & (m.minute < _ceil_minute(span.until_ms))
    )
    total = connection.scalar(sa.select(sa.func.sum(m["count"])).where(chosen & m.late.is_(False))) or 0
    slices = 1 if total <= SAMPLE_MAX else SLICES
    length_ms = span.until_ms - span.since_ms
    edges = [span.since_ms + length_ms * at // slices for at in range(slices + 1)]
    timed: list[_Timed] = []
    for begin_ms, end_ms in pairwise(edges):
        timed += _load_timed(connection, retailer, begin_ms, end_ms, SAMPLE_MAX // slices)
    series: dict[str, list[float]] = {TOTAL: [each.latency_ms * 1000 for each in timed]}
    for each in timed:
        for stage, taken_us in each.stage_us.items():
            series.setdefault(stage, []).append(taken_us)
    stages = tuple(_make_stage(stage, taken) for stage, taken in series.items() if taken)
    return Latencies(stages=stages, verdicts=int(total), sampled=slices > 1)


def count_decisions(
    connection: sa.Connection, retailer: str, span: Span, step: int, decision: Decision | None
) -> tuple[DecisionCount, ...]:
    """By steps of `step` minutes, the first of which begins with the minute of `span.since_ms`."""
    c, first = MINUTES.c, span.since_ms // MINUTE_MS
    begins = (c.minute - (c.minute - first) % step).label("begins")
    chosen = (c.retailer == retailer) & (c.minute >= first) & (c.minute < _ceil_minute(span.until_ms))
    if decision is not None:
        chosen &= c.decision == decision
    grouped = sa.select(begins, c.decision, c.degraded, c.late, sa.func.sum(c["count"]).label("number")).where(chosen)
    rows = connection.execute(
        grouped.group_by(sa.text("1"), c.decision, c.degraded, c.late).order_by(
            "begins", c.decision, c.degraded, c.late
        )
    )
    return tuple(
        DecisionCount(
            begins=from_epoch_ms(row.begins * MINUTE_MS),
            decision=row.decision,
            degraded=row.degraded,
            late=row.late,
            count=int(row.number),
        )
        for row in rows
    )


def _ceil_minute(ms: int) -> int:
    return -(-ms // MINUTE_MS)


def _load_timed(connection: sa.Connection, retailer: str, begin_ms: int, end_ms: int, limit: int) -> list[_Timed]:
    v, earlier = VERDICTS.c, VERDICTS.alias("earlier")
    e = earlier.c
    same = (e.retailer == v.retailer) & (e.transaction_id == v.transaction_id) & (e.revision == REVISION_DEGRADED)
    # the full answer after a degraded one kept nobody waiting
    first = (v.revision == REVISION_DEGRADED) | ((v.revision == REVISION_FULL) & ~sa.exists().where(same))
    chosen = (v.retailer == retailer) & (v.scored_ms >= begin_ms) & (v.scored_ms < end_ms) & v.late.is_(False)
    rows: Sequence[Any] = connection.execute(sa.select(v.document).where(chosen & first).limit(limit)).scalars().all()
    return [_decode_timed(document) for document in rows]


def _make_stage(stage: str, taken_us: Sequence[float]) -> StageLatency:
    p50, p95, p99 = np.percentile(taken_us, (50, 95, 99))
    return StageLatency(stage=stage, count=len(taken_us), p50_us=float(p50), p95_us=float(p95), p99_us=float(p99))
