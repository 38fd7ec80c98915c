"""Verdicts in the order of their arrival, and transactions in the order of their time."""

from typing import Any, NamedTuple

import sqlalchemy as sa

from backoffice.projection import cursors
from backoffice.projection.lines import decode_verdict, load_lines
from backoffice.projection.ranges import Cut, Span
from backoffice.projection.results import Page, TransactionLine, VerdictPage
from backoffice.projection.tables import PROJECTIONS, TRANSACTIONS, VERDICTS

OVERLAP_MS = 60_000
"""After a rebuild the feed continues this long before where it was: partitions are not read in step."""


class _Place(NamedTuple):
    generation: str
    seq: int
    """Of the last verdict that was given."""
    appended_ms: int
    """The greatest of all that were given."""


def list_verdicts_after(connection: sa.Connection, retailer: str, cursor: str | None, limit: int) -> VerdictPage:
    """See ports.ReadModel."""
    v = VERDICTS.c
    place = _find_place(connection, retailer, cursor)
    if place is None:
        return VerdictPage(verdicts=(), cursor=cursor or "")
    chosen = (v.retailer == retailer) & (v.seq > place.seq)
    rows = connection.execute(VERDICTS.select().where(chosen).order_by(v.seq).limit(limit)).all()
    if rows:
        place = place._replace(seq=rows[-1].seq, appended_ms=max(place.appended_ms, *(row.appended_ms for row in rows)))
    return VerdictPage(verdicts=tuple(decode_verdict(row.document) for row in rows), cursor=cursors.write(*place))


def find_feed_end(connection: sa.Connection, retailer: str, now_ms: int) -> str:
    """The cursor after which only verdicts to come follow."""
    row = _load_projection(connection, retailer)
    return cursors.write(row.generation, row.next_seq - 1, now_ms) if row else cursors.write("", 0, now_ms)


def list_transactions(connection: sa.Connection, retailer: str, span: Span, cut: Cut) -> Page[TransactionLine]:
    """By event time in [since, until), the newest first."""
    c = TRANSACTIONS.c
    chosen = (c.retailer == retailer) & (c.event_ms >= span.since_ms) & (c.event_ms < span.until_ms)
    if cut.after is not None:
        reached = cursors.read(cut.after, tuple[int, str])
        chosen &= sa.tuple_(c.event_ms, c.transaction_id) < sa.tuple_(*reached)
    statement = sa.select(c.event_ms, c.transaction_id).where(chosen)
    in_order = statement.order_by(c.event_ms.desc(), c.transaction_id.desc())
    rows = connection.execute(in_order.limit(cut.limit + 1)).all()
    more = cursors.write(*rows[cut.limit - 1]) if len(rows) > cut.limit else None
    return Page(items=load_lines(connection, retailer, [row.transaction_id for row in rows[: cut.limit]]), next=more)


def _find_place(connection: sa.Connection, retailer: str, cursor: str | None) -> _Place | None:
    """None: the read model is being made again, and has not come so far yet."""
    row = _load_projection(connection, retailer)
    generation = row.generation if row else ""
    if cursor is None:
        return _Place(generation, 0, 0)
    place = _Place(*cursors.read(cursor, tuple[str, int, int]))
    if place.generation == generation:
        return place
    # A read model that was made again gave other numbers: continue where the broker's clock says.
    v = VERDICTS.c
    young = (v.retailer == retailer) & (v.appended_ms >= place.appended_ms - OVERLAP_MS)
    first = connection.scalar(sa.select(v.seq).where(young).order_by(v.seq).limit(1))
    return None if first is None else _Place(generation, first - 1, place.appended_ms)


def _load_projection(connection: sa.Connection, retailer: str) -> Any:
    return connection.execute(PROJECTIONS.select().where(PROJECTIONS.c.retailer == retailer)).first()
