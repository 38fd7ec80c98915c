"""`/v1/entities`: what a card, customer, device and so on did, and with whom it shares transactions."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from backoffice.accounts.permissions import Action
from backoffice.cases.entities import FoundEntity
from backoffice.cases.results import EntityStrip
from backoffice.http.asking import Allowed, Asking
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.parameters import Moment, check_moment, read_asked
from backoffice.projection.results import Entity, Neighbourhood, TransactionLine

Kind = Annotated[
    str, Path(max_length=16, description="customer, card, device, ip, email, address, coupon, terminal or phone")
]
Token = Annotated[str, Path(min_length=1, max_length=128, description="As transactions name it")]
router = APIRouter(tags=["entities"])


class LookupAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A value as a customer would say it."""

    kind: str
    value: str
    """Becomes a token at once and is never kept."""


class HistoryPage(Struct, frozen=True, kw_only=True):
    """Part of an entity's transactions."""

    transactions: tuple[TransactionLine, ...]
    next: str | None
    """The cursor of the page that follows, for `after`."""


@router.post("/v1/entities/lookup", **describe_route({200: (FoundEntity, "The entity")}, body=LookupAsked))
async def look_up_entity(
    request: Request, asking: Annotated[Asking, Depends(Allowed(Action.LOOK_UP_ENTITIES))]
) -> Response:
    """Which entity a raw value is. The value is never kept; that somebody asked stands in the audit trail."""
    asked = read_asked(LookupAsked, await read_body(request))
    found = await run_in_threadpool(asking.at.desk.entities.look_up, asking.principal, asked.kind, asked.value)
    return answer_json(found)


@router.get("/v1/entities/{kind}/{token:path}/history", **describe_route({200: (HistoryPage, "Its transactions")}))
async def list_entity_history(
    kind: Kind,
    token: Token,
    asking: Annotated[Asking, Depends(Allowed(Action.READ_ENTITIES))],
    *,
    at: Moment = None,
    later: Annotated[bool, Query(description="From `at` on in time, instead of back")] = False,
    after: Annotated[str | None, Query(max_length=1_024, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Transactions that name it, from a moment back in time, or on."""
    begin = check_moment("?at", at)

    page = await run_in_threadpool(
        asking.at.desk.entities.list_history, Entity(kind, token), at=begin, later=later, after=after, limit=limit
    )
    return answer_json(HistoryPage(transactions=page.items, next=page.next))


@router.get("/v1/entities/{kind}/{token:path}/neighbours", **describe_route({200: (Neighbourhood, "Who is near")}))
async def find_entity_neighbours(
    kind: Kind,
    token: Token,
    asking: Annotated[Asking, Depends(Allowed(Action.READ_ENTITIES))],
    depth: Annotated[int, Query(ge=1, le=2)] = 1,
) -> Response:
    """Entities that share transactions with it, up to two steps away."""
    desk = asking.at.desk.entities
    return answer_json(await run_in_threadpool(desk.find_neighbours, Entity(kind, token), 2 if depth > 1 else 1))


@router.get("/v1/entities/{kind}/{token:path}", **describe_route({200: (EntityStrip, "What it did up to now")}))
async def show_entity(
    kind: Kind, token: Token, asking: Annotated[Asking, Depends(Allowed(Action.READ_ENTITIES))]
) -> Response:
    """What it did within an hour, a day and 30 days; which list it is on, and what is snoozed for it."""
    return answer_json(await run_in_threadpool(asking.at.desk.entities.view, Entity(kind, token)))
