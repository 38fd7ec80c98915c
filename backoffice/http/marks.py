"""`/v1/lists` and `/v1/snoozes`: what people say of single entities."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import Response
from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from backoffice.accounts.permissions import Action
from backoffice.cases.marks import ListEntry, ListName, Snooze
from backoffice.http.asking import Allowed, Asking
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.entities import Kind, Token
from backoffice.http.parameters import read_asked
from backoffice.http.problems import ProblemError
from backoffice.projection.results import Entity

RuleId = Annotated[str, Path(min_length=1, max_length=64, description="The rule's id")]
router = APIRouter(tags=["lists"])


class ListsAnswer(Struct, frozen=True, kw_only=True):
    """Who is on a list."""

    entries: tuple[ListEntry, ...]


class SnoozesAnswer(Struct, frozen=True, kw_only=True):
    """Which rules are snoozed."""

    snoozes: tuple[Snooze, ...]


class ListAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which list, how long, and why."""

    list: ListName
    reason: str
    """At most 500 characters; no personal data."""
    expires_at: datetime | None = None
    """Analysts: within 30 days. Admins: any time, or none."""


class SnoozeEntityAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long, and why."""

    until: datetime
    """Analysts: within 30 days. Admins: within 180."""
    comment: str
    """At most 500 characters; no personal data."""


@router.get("/v1/lists", **describe_route({200: (ListsAnswer, "Every entry in force")}))
async def show_lists(asking: Annotated[Asking, Depends(Allowed(Action.READ_LISTS))]) -> Response:
    """Who is on the allow, deny and watch lists."""
    entries = await run_in_threadpool(asking.at.desk.entities.list_entries)
    return answer_json(ListsAnswer(entries=tuple(entries)))


@router.put("/v1/lists/{kind}/{token:path}", **describe_route({200: (ListEntry, "The entry")}, body=ListAsked))
async def put_on_list(
    kind: Kind, token: Token, request: Request, asking: Annotated[Asking, Depends(Allowed(Action.SET_LISTS))]
) -> Response:
    """Puts an entity on a list, instead of the one that it was on. Concerns transactions that arrive from now on."""
    asked = read_asked(ListAsked, await read_body(request))
    entry = ListEntry(
        entity=Entity(kind, token),
        list=asked.list,
        expires_at=asked.expires_at,
        by=asking.principal.name,
        reason=asked.reason,
    )
    await run_in_threadpool(asking.at.desk.entities.put_on_list, asking.principal, entry)
    return answer_json(entry)


@router.delete("/v1/lists/{kind}/{token:path}", **describe_route({204: (None, "It is on none now")}))
async def take_off_list(
    kind: Kind, token: Token, asking: Annotated[Asking, Depends(Allowed(Action.SET_LISTS))]
) -> Response:
    """Takes an entity off its list; 404 where it was on none."""
    if not await run_in_threadpool(asking.at.desk.entities.take_off_list, asking.principal, Entity(kind, token)):
        raise ProblemError(404)
    return Response(status_code=204)


@router.get("/v1/snoozes", **describe_route({200: (SnoozesAnswer, "Every snooze in force")}))
async def show_snoozes(asking: Annotated[Asking, Depends(Allowed(Action.READ_SNOOZES))]) -> Response:
    """Which rules do not count, for whom, until when, and why."""
    snoozes = await run_in_threadpool(asking.at.desk.entities.list_snoozes)
    return answer_json(SnoozesAnswer(snoozes=tuple(snoozes)))


@router.put(
    "/v1/snoozes/{rule}/{kind}/{token:path}", **describe_route({200: (Snooze, "The snooze")}, body=SnoozeEntityAsked)
)
async def snooze_rule(
    rule: RuleId,
    kind: Kind,
    token: Token,
    request: Request,
    asking: Annotated[Asking, Depends(Allowed(Action.SET_SNOOZES))],
) -> Response:
    """Snoozes a rule for an entity, instead of an earlier snooze of it. Verdicts name what was snoozed."""
    asked = read_asked(SnoozeEntityAsked, await read_body(request))
    snooze = Snooze(
        rule=rule, entity=Entity(kind, token), until=asked.until, by=asking.principal.name, comment=asked.comment
    )
    await run_in_threadpool(asking.at.desk.entities.add_snooze, asking.principal, snooze)
    return answer_json(snooze)


@router.delete("/v1/snoozes/{rule}/{kind}/{token:path}", **describe_route({204: (None, "The rule counts again")}))
async def end_snooze(
    rule: RuleId, kind: Kind, token: Token, asking: Annotated[Asking, Depends(Allowed(Action.SET_SNOOZES))]
) -> Response:
    """Ends a snooze; 404 where there was none."""
    entities = asking.at.desk.entities
    if not await run_in_threadpool(entities.end_snooze, asking.principal, rule, Entity(kind, token)):
        raise ProblemError(404)
    return Response(status_code=204)
