"""The case queue: pages by expected loss or by the time that is left, and counts."""

from typing import Any

import sqlalchemy as sa

from backoffice.projection import cursors
from backoffice.projection.lines import choose_ids, decode_resolution, decode_verdict, load_lines
from backoffice.projection.ranges import Cut, Span
from backoffice.projection.results import CaseCount, CaseQuery, Page, ResolvedCase, TransactionLine
from backoffice.projection.tables import ENTITIES, RESOLUTIONS, TRANSACTIONS, VERDICTS
from contract.clock import to_epoch_ms
from contract.verdicts import REVISION_FULL, Verdict

UNRESOLVED = ("open", "expired", "history")


def list_cases(connection: sa.Connection, retailer: str, query: CaseQuery, cut: Cut) -> Page[TransactionLine]:
    """A page of the queue. Chosen and sorted within an index; the documents are read for the page alone."""
    c = TRANSACTIONS.c
    place = None if cut.after is None else cursors.read(cut.after, tuple[str, str, int, str])
    if place is not None and place[:2] != (query.state, query.order):
        raise cursors.CursorError("the cursor is of another queue; begin without one")
    by_loss = query.order == "loss"
    column = c.loss_minor if by_loss else c.due_ms
    chosen = (c.retailer == retailer) & (c.case_state == query.state) & _filters(retailer, query)
    if place is not None:
        further = column < place[2] if by_loss else column > place[2]
        chosen &= further | ((column == place[2]) & (c.transaction_id > place[3]))
    statement = sa.select(c.transaction_id, column.label("rank")).where(chosen)
    in_order = statement.order_by(column.desc() if by_loss else column, c.transaction_id)
    rows = connection.execute(in_order.limit(cut.limit + 1)).all()
    page = rows[: cut.limit]
    more = cursors.write(query.state, query.order, page[-1].rank, page[-1][0]) if len(rows) > cut.limit else None
    return Page(items=load_lines(connection, retailer, [row[0] for row in page]), next=more)


def _filters(retailer: str, query: CaseQuery) -> sa.ColumnElement[bool]:
    c = TRANSACTIONS.c
    filters: list[sa.ColumnElement[bool]] = [sa.true()]
    if query.order == "time_left":
        since = to_epoch_ms(query.due_after) if query.due_after is not None else None
        filters.append(c.due_ms.is_not(None) if since is None else c.due_ms > since)
    if query.decision is not None:
        filters.append(c.decision == query.decision)
    if query.amount_min_minor is not None:
        filters.append(c.base_minor >= query.amount_min_minor)
    if query.entity is not None:
        e = ENTITIES.c
        named = (e.retailer == retailer) & (e.kind == query.entity.kind) & (e.token == query.entity.token)
        filters.append(c.transaction_id.in_(sa.select(e.transaction_id).where(named)))
    return sa.and_(*filters)


def count_cases(connection: sa.Connection, retailer: str) -> tuple[CaseCount, ...]:
    """By state and decision, of what is not resolved."""
    c = TRANSACTIONS.c
    chosen = (c.retailer == retailer) & c.case_state.in_(UNRESOLVED)
    figures = (sa.func.count().label("number"), sa.func.sum(c.loss_minor).label("loss"))
    grouped = sa.select(c.case_state, c.decision, *figures).where(chosen).group_by(c.case_state, c.decision)
    rows = connection.execute(grouped.order_by(c.case_state, c.decision))
    return tuple(
        CaseCount(state=row.case_state, decision=row.decision, count=row.number, expected_loss_minor=int(row.loss))
        for row in rows
    )


def count_expired(connection: sa.Connection, retailer: str, span: Span) -> int:
    """Holds that the hold policy ended in [since, until) and that nobody resolved since."""
    c = TRANSACTIONS.c
    chosen = (
        (c.retailer == retailer)
        & (c.case_state == "expired")
        & (c.due_ms >= span.since_ms)
        & (c.due_ms < span.until_ms)
    )
    return connection.scalar(sa.select(sa.func.count()).select_from(TRANSACTIONS).where(chosen)) or 0


def list_resolved(connection: sa.Connection, retailer: str, span: Span, cut: Cut) -> Page[ResolvedCase]:
    """Resolutions in [since, until), the newest first, of transactions that are known."""
    c = RESOLUTIONS.c
    chosen = (c.retailer == retailer) & (c.resolved_ms >= span.since_ms) & (c.resolved_ms < span.until_ms)
    place = sa.tuple_(c.resolved_ms, c.resolution_id, c.transaction_id)
    if cut.after is not None:
        chosen &= place < sa.tuple_(*cursors.read(cut.after, tuple[int, str, str]))
    statement = RESOLUTIONS.select().where(chosen)
    in_order = statement.order_by(c.resolved_ms.desc(), c.resolution_id.desc(), c.transaction_id.desc())
    rows = connection.execute(in_order.limit(cut.limit + 1)).all()
    page = rows[: cut.limit]
    last = page[-1] if len(rows) > cut.limit else None
    ids = list(dict.fromkeys(row.transaction_id for row in page))
    lines = {line.transaction_id: line for line in load_lines(connection, retailer, ids)}
    asked = _load_asked(connection, retailer, ids)
    items = tuple(
        ResolvedCase(
            resolution=decode_resolution(row.document),
            line=lines[row.transaction_id],
            asked=asked.get(row.transaction_id),
        )
        for row in page
        if row.transaction_id in lines
    )
    more = None if last is None else cursors.write(last.resolved_ms, last.resolution_id, last.transaction_id)
    return Page(items=items, next=more)


def _load_asked(connection: sa.Connection, retailer: str, ids: list[str]) -> dict[str, Verdict]:
    """Each transaction's full verdict before any resolution or expiry."""
    v = VERDICTS.c
    chosen: Any = choose_ids(VERDICTS, retailer, ids) & (v.revision == REVISION_FULL)
    return {
        row.transaction_id: decode_verdict(row.document) for row in connection.execute(VERDICTS.select().where(chosen))
    }
