"""`/v1/cases`: the queue, one case, who has it, and notes; `/v1/desk`: how the desk does."""

from datetime import timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from backoffice.accounts.permissions import Action
from backoffice.cases.locks import CaseLock
from backoffice.cases.results import CaseNote, CasePage, CaseView, DeskFigures
from backoffice.http.asking import Allowed, Asking, get_services
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.idempotency import Key, answer_once
from backoffice.http.parameters import Moment, check_moment, read_asked
from backoffice.http.services import Services
from backoffice.projection.results import CaseQuery, CaseState, Entity
from backoffice.refusals import FieldFault, InvalidInputError
from contract.verdicts import Decision

TransactionId = Annotated[str, Path(min_length=1, max_length=128, description="The case's transaction")]
FIGURES_OF = timedelta(days=30)
router = APIRouter(tags=["cases"])


class NoteAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A note."""

    text: str
    """At most 2,000 characters; no personal data."""


@router.get("/v1/cases", **describe_route({200: (CasePage, "A page of the queue")}))
async def list_cases(
    asking: Annotated[Asking, Depends(Allowed(Action.READ_CASES))],
    *,
    state: CaseState = "open",
    order: Annotated[
        Literal["priority", "loss", "time_left"],
        Query(description="`priority`: the top of the queue alone; the others can be paged through"),
    ] = "priority",
    decision: Annotated[Decision | None, Query(description="Only verdicts that say this")] = None,
    amount_min_minor: Annotated[int | None, Query(ge=0, description="In minor units of the base currency")] = None,
    entity_kind: Annotated[str | None, Query(max_length=16, description="With entity_token: only this one's")] = None,
    entity_token: Annotated[str | None, Query(max_length=128)] = None,
    after: Annotated[str | None, Query(max_length=1_024, description="`next` of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Response:
    """Cases, the most pressing first: expected loss, weighed by how soon a hold ends without anybody."""
    entity = Entity(entity_kind, entity_token) if entity_kind and entity_token else None
    query = CaseQuery(
        state=state,
        order="time_left" if order == "time_left" else "loss",
        decision=decision,
        amount_min_minor=amount_min_minor,
        entity=entity,
    )
    desk = asking.at.desk
    if order == "priority":
        return answer_json(await run_in_threadpool(desk.list_pressing, query, limit=limit))
    return answer_json(await run_in_threadpool(desk.list_cases, query, after=after, limit=limit))


@router.post(
    "/v1/cases/next",
    **describe_route(
        {200: (CaseView, "The case, yours for ten minutes"), 204: (None, "Nothing is open that nobody has")},
        problems={409: "You hold too many cases already, or the same request still runs"},
    ),
)
async def take_next_case(
    asking: Annotated[Asking, Depends(Allowed(Action.TAKE_CASES))],
    services: Annotated[Services, Depends(get_services)],
    key: Key = None,
) -> Response:
    """Takes the most pressing case that nobody has."""

    async def act() -> Response:
        taken = await run_in_threadpool(asking.at.desk.take_next, asking.principal)
        return Response(status_code=204) if taken is None else await _answer_view(asking, taken)

    return await answer_once(services.keys, asking.owner, key, ("POST /v1/cases/next", b""), act)


@router.get("/v1/cases/{transaction_id:path}", **describe_route({200: (CaseView, "All that belongs to the case")}))
async def show_case(
    transaction_id: TransactionId, asking: Annotated[Asking, Depends(Allowed(Action.READ_CASES))]
) -> Response:
    """One case: verdicts with reasons, its entities, earlier decisions and how they turned out, and what happened when."""
    return await _answer_view(asking, transaction_id)


@router.put(
    "/v1/cases/{transaction_id:path}/lock",
    **describe_route({200: (CaseLock, "Yours until then")}, problems={409: "Another has it, or it is decided"}),
)
async def take_case(
    transaction_id: TransactionId, asking: Annotated[Asking, Depends(Allowed(Action.TAKE_CASES))]
) -> Response:
    """Takes one case, or holds it for ten minutes from now."""
    return answer_json(await run_in_threadpool(asking.at.desk.take, asking.principal, transaction_id))


@router.delete("/v1/cases/{transaction_id:path}/lock", **describe_route({204: (None, "It is not yours (any more)")}))
async def release_case(
    transaction_id: TransactionId, asking: Annotated[Asking, Depends(Allowed(Action.TAKE_CASES))]
) -> Response:
    """Gives a case back."""
    await run_in_threadpool(asking.at.desk.release, asking.principal, transaction_id)
    return Response(status_code=204)


@router.post(
    "/v1/cases/{transaction_id:path}/notes",
    **describe_route({201: (CaseNote, "The note")}, body=NoteAsked, problems={409: "The case has too many notes"}),
)
async def note_case(
    transaction_id: TransactionId,
    request: Request,
    asking: Annotated[Asking, Depends(Allowed(Action.NOTE_CASES))],
    services: Annotated[Services, Depends(get_services)],
    key: Key = None,
) -> Response:
    """Adds a note."""
    body = await read_body(request)
    asked = read_asked(NoteAsked, body)

    async def act() -> Response:
        note = await run_in_threadpool(asking.at.desk.note, asking.principal, transaction_id, asked.text)
        return answer_json(note, 201)

    return await answer_once(services.keys, asking.owner, key, (f"POST /v1/cases/{transaction_id}/notes", body), act)


@router.get("/v1/desk", **describe_route({200: (DeskFigures, "The figures")}))
async def show_figures(
    asking: Annotated[Asking, Depends(Allowed(Action.READ_CASES))],
    services: Annotated[Services, Depends(get_services)],
    since: Moment = None,
    until: Moment = None,
    own: Annotated[bool, Query(description="Your own decisions alone")] = False,
) -> Response:
    """How many cases were decided, how often rightly, how fast, and how many holds ended unseen; of the last 30 days by default."""
    end = check_moment("?until", until) or services.clock.now()
    begin = check_moment("?since", since) or end - FIGURES_OF
    if begin > end:
        raise InvalidInputError([FieldFault("?since", "order", "lies after until")])
    by = asking.principal if own else None
    return answer_json(await run_in_threadpool(asking.at.desk.measure, begin, end, by))


async def _answer_view(asking: Asking, transaction_id: str) -> Response:
    view = await run_in_threadpool(asking.at.desk.view, transaction_id)
    return answer_json(view, headers={"ETag": f'"{view.version}"'})
