"""What an entity did, and which entities share transactions with it. Every question looks at a bounded number of transactions."""

from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from backoffice.projection import cursors
from backoffice.projection.lines import choose_ids, load_labels, load_lines
from backoffice.projection.ports import DEGREE_MAX, NEIGHBOURS_MAX, SUMMARY_MAX
from backoffice.projection.ranges import Cut, Span
from backoffice.projection.record_reader import list_entities
from backoffice.projection.results import Entity, EntitySummary, Neighbour, Neighbourhood, Page, TransactionLine
from backoffice.projection.tables import ENTITIES, TRANSACTIONS
from contract.clock import from_epoch_ms
from contract.events import Transaction

STOPPED = ("hold", "block")
LINKS_MAX = 1_000
_decode_transaction = msgspec.json.Decoder(Transaction).decode


def list_history(
    connection: sa.Connection, retailer: str, entity: Entity, cut: Cut, *, at_ms: int, later: bool
) -> Page[TransactionLine]:
    """Transactions that name the entity: from `at_ms` back in time without it, or with `later` from it on."""
    c = ENTITIES.c
    chosen = _named(retailer, entity) & (c.event_ms >= at_ms if later else c.event_ms < at_ms)
    if cut.after is not None:
        place, reached = sa.tuple_(c.event_ms, c.transaction_id), sa.tuple_(*cursors.read(cut.after, tuple[int, str]))
        chosen &= place > reached if later else place < reached
    order = (c.event_ms, c.transaction_id) if later else (c.event_ms.desc(), c.transaction_id.desc())
    rows = connection.execute(
        sa.select(c.event_ms, c.transaction_id).where(chosen).order_by(*order).limit(cut.limit + 1)
    ).all()
    more = cursors.write(*rows[cut.limit - 1]) if len(rows) > cut.limit else None
    return Page(items=load_lines(connection, retailer, [row.transaction_id for row in rows[: cut.limit]]), next=more)


def summarise(connection: sa.Connection, retailer: str, entity: Entity, span: Span) -> EntitySummary:
    """Of the newest SUMMARY_MAX transactions in [since, until)."""
    c, t = ENTITIES.c, TRANSACTIONS.c
    chosen = _named(retailer, entity) & (c.event_ms >= span.since_ms) & (c.event_ms < span.until_ms)
    newest = sa.select(c.transaction_id).where(chosen).order_by(c.event_ms.desc()).limit(SUMMARY_MAX + 1)
    ids = connection.execute(newest).scalars().all()
    counted = ids[:SUMMARY_MAX]
    figures = sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(t.base_minor), 0),
        sa.func.coalesce(sa.func.sum(sa.case((t.decision.in_(STOPPED), 1), else_=0)), 0),
        sa.func.min(t.event_ms),
        sa.func.max(t.event_ms),
    )
    count, amount, stopped, first_ms, last_ms = connection.execute(
        figures.where(choose_ids(TRANSACTIONS, retailer, counted))
    ).one()
    return EntitySummary(
        count=count,
        amount_minor=int(amount),
        stopped=int(stopped),
        frauds=_count_frauds(connection, retailer, counted),
        first=None if first_ms is None else from_epoch_ms(first_ms),
        last=None if last_ms is None else from_epoch_ms(last_ms),
        capped=len(ids) > SUMMARY_MAX,
    )


class _Seen(NamedTuple):
    """A transaction that was looked at."""

    entities: tuple[Entity, ...]
    fraud: bool


def find_neighbours(connection: sa.Connection, retailer: str, entity: Entity, depth: int) -> Neighbourhood:
    """Breadth first, so what is nearest is found where a bound cuts."""
    seen: dict[str, _Seen] = {}
    depths, opened = {entity: 0}, set[Entity]()
    capped, ring = False, [entity]
    for step in range(1, min(depth, 2) + 1):
        found: dict[str, None] = {}
        for each in ring:
            ids = _list_ids(connection, retailer, each)
            if len(ids) > DEGREE_MAX and each != entity:
                continue
            opened.add(each)
            capped |= len(ids) > DEGREE_MAX
            found |= dict.fromkeys(ids[:DEGREE_MAX])
        seen |= _load_seen(connection, retailer, [each for each in found if each not in seen])
        ring = list(
            dict.fromkeys(one for each in found if each in seen for one in seen[each].entities if one not in depths)
        )
        room = max(0, NEIGHBOURS_MAX + 1 - len(depths))
        capped |= len(ring) > room
        ring = ring[:room]
        depths |= dict.fromkeys(ring, step)
    return _draw(seen, depths, opened, entity, capped=capped)


def _draw(
    seen: dict[str, _Seen], depths: dict[Entity, int], opened: set[Entity], middle: Entity, *, capped: bool
) -> Neighbourhood:
    counts: Counter[Entity] = Counter()
    frauds: Counter[Entity] = Counter()
    links: Counter[tuple[Entity, Entity]] = Counter()
    for each in seen.values():
        there = [one for one in each.entities if one in depths]
        counts.update(there)
        frauds.update(there if each.fraud else [])
        links.update(combinations(sorted(there, key=lambda one: (depths[one], one.kind, one.token)), 2))
    neighbours = [
        Neighbour(entity=one, depth=at, transactions=counts[one], frauds=frauds[one], opened=one in opened)
        for one, at in depths.items()
        if one != middle
    ]
    neighbours.sort(
        key=lambda each: (each.depth, -each.frauds, -each.transactions, each.entity.kind, each.entity.token)
    )
    return Neighbourhood(
        neighbours=tuple(neighbours),
        links=tuple((one, other, count) for (one, other), count in links.most_common(LINKS_MAX)),
        transactions=tuple(seen),
        capped=capped or len(links) > LINKS_MAX,
    )


def _named(retailer: str, entity: Entity) -> sa.ColumnElement[bool]:
    c = ENTITIES.c
    return (c.retailer == retailer) & (c.kind == entity.kind) & (c.token == entity.token)


def _list_ids(connection: sa.Connection, retailer: str, entity: Entity) -> Sequence[str]:
    """The newest, one more than DEGREE_MAX where there are as many."""
    c = ENTITIES.c
    newest = sa.select(c.transaction_id).where(_named(retailer, entity)).order_by(c.event_ms.desc())
    return connection.execute(newest.limit(DEGREE_MAX + 1)).scalars().all()


def _load_seen(connection: sa.Connection, retailer: str, ids: Sequence[str]) -> dict[str, _Seen]:
    if not ids:
        return {}
    c = TRANSACTIONS.c
    rows = connection.execute(sa.select(c.transaction_id, c.document).where(choose_ids(TRANSACTIONS, retailer, ids)))
    documents = {row.transaction_id: row.document for row in rows if row.document is not None}
    frauds = _list_frauds(connection, retailer, ids)
    return {
        each: _Seen(
            tuple(Entity(*named) for named in list_entities(_decode_transaction(documents[each]))), each in frauds
        )
        for each in ids
        if each in documents
    }


def _list_frauds(connection: sa.Connection, retailer: str, ids: Sequence[str]) -> set[str]:
    """The transactions whose last label says fraud, whether its time has come or not."""
    labels = load_labels(connection, retailer, ids) if ids else {}
    return {each for each, several in labels.items() if several[-1].fraud}


def _count_frauds(connection: sa.Connection, retailer: str, ids: Sequence[str]) -> int:
    return len(_list_frauds(connection, retailer, ids))
