"""`/v1/cases/{id}/decision` and `/v1/cases/decisions`: one case or many are decided, and the checkout gets a new revision."""

import asyncio
from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from msgspec import Meta, Struct
from starlette.concurrency import run_in_threadpool

from backoffice.accounts.permissions import Action
from backoffice.cases.desk import BULK_MAX
from backoffice.cases.outbox import Sent
from backoffice.cases.outcomes import ActionName
from backoffice.cases.results import CaseDecision, CaseMark
from backoffice.cases.wishes import DecisionAsked
from backoffice.http.asking import Allowed, Asking, get_services
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.cases import TransactionId
from backoffice.http.idempotency import Key, answer_once, name_request
from backoffice.http.parameters import read_asked
from backoffice.http.problems import FieldProblem, ProblemError
from backoffice.http.services import Services
from backoffice.projection.results import Entity
from backoffice.refusals import InvalidInputError, StateConflictError, UnknownObjectError
from contract.errors import TransientError
from contract.events import Identifier
from contract.verdicts import Verdict

WAIT_MS = 2_000
WAIT_MS_MAX = 30_000
WaitMs = Annotated[int, Query(ge=0, le=WAIT_MS_MAX, description="How long to wait for the new revision, milliseconds")]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", max_length=128, description="The ETag of the case as you have seen it")
]
CONFLICTS = frozenset({"conflict", "not_resolvable"})
router = APIRouter(tags=["cases"])


class DecisionAnswer(Struct, frozen=True, kw_only=True):
    """What became of a decision."""

    decision: CaseDecision
    verdict: Verdict | None
    """The new revision; null where it has not come yet. It will: the decision is written down, and sent until it does."""
    marks: tuple[CaseMark, ...]
    """The snooze and the list entry that the decision asked for."""


class DecisionsAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One decision for many cases: name them, or an entity whose open cases they are."""

    outcome: ActionName
    note: str | None = None
    transaction_ids: Annotated[list[Identifier], Meta(min_length=1, max_length=BULK_MAX)] | None = None
    entity: Entity | None = None


class DecidedItem(Struct, frozen=True, kw_only=True):
    """What became of one of many."""

    transaction_id: str
    state: Literal["applied", "pending", "refused"]
    revision: int | None = None
    code: str | None = None
    """Why it was refused: `unknown`, `locked`, `decided`, `conflict` and more."""
    text: str | None = None


class DecisionsAnswer(Struct, frozen=True, kw_only=True):
    """What became of each."""

    items: tuple[DecidedItem, ...]
    more: bool
    """The entity has further open cases: send it again."""


@router.post(
    "/v1/cases/{transaction_id:path}/decision",
    **describe_route(
        {
            200: (DecisionAnswer, "Decided: the new revision stands on the checkout's topic"),
            202: (DecisionAnswer, "Taken: written down and sent, and the new revision has not come yet"),
        },
        body=DecisionAsked,
        problems={
            409: "Another has the case, or it is decided: by whom, and what",
            412: "The case changed since the version that If-Match names",
        },
    ),
)
async def decide_case(
    transaction_id: TransactionId,
    request: Request,
    asking: Annotated[Asking, Depends(Allowed(Action.DECIDE_CASES))],
    services: Annotated[Services, Depends(get_services)],
    *,
    key: Key = None,
    if_match: IfMatch = None,
    wait_ms: WaitMs = WAIT_MS,
) -> Response:
    """Decides a case, with a note, a snooze and a list entry where asked for. The case is free again afterwards."""
    body = await read_body(request)
    asked = read_asked(DecisionAsked, body)
    _check_rights(asking, asked)

    async def act() -> Response:
        decision = await run_in_threadpool(
            asking.at.desk.decide,
            asking.principal,
            transaction_id,
            asked,
            request_key=name_request(key, body),
            version=None if if_match is None else if_match.strip().removeprefix("W/").strip('"'),
        )
        sent = await asking.at.outbox.send(decision, wait_ms / 1000)
        return await _answer_sent(asking, sent)

    try:
        return await answer_once(
            services.keys, asking.owner, key, (f"POST /v1/cases/{transaction_id}/decision", body), act
        )
    except StateConflictError as error:
        if error.code != "changed":
            raise
        raise ProblemError(412, str(error), code=error.code) from None


@router.post(
    "/v1/cases/decisions",
    **describe_route(
        {200: (DecisionsAnswer, "What became of each")},
        body=DecisionsAsked,
        problems={409: "The same request still runs"},
    ),
)
async def decide_cases(
    request: Request,
    asking: Annotated[Asking, Depends(Allowed(Action.DECIDE_CASES))],
    services: Annotated[Services, Depends(get_services)],
    key: Key = None,
    wait_ms: WaitMs = WAIT_MS,
) -> Response:
    """Decides up to 100 cases at once; each stands for itself, so some may be refused."""
    body = await read_body(request)
    asked = read_asked(DecisionsAsked, body)
    if (asked.transaction_ids is None) == (asked.entity is None):
        text = "give either transaction_ids or entity"
        raise ProblemError(422, errors=[FieldProblem(pointer="/transaction_ids", code="field_missing", text=text)])

    async def act() -> Response:
        ids, more = list(dict.fromkeys(asked.transaction_ids or ())), False
        if asked.entity is not None:
            ids, more = await run_in_threadpool(asking.at.desk.find_open_ids, asked.entity)
        one = DecisionAsked(outcome=asked.outcome, note=asked.note)
        request_key = name_request(key, body)
        items = await asyncio.gather(*(_decide_item(asking, each, one, request_key, wait_ms / 1000) for each in ids))
        return answer_json(DecisionsAnswer(items=tuple(items), more=more))

    return await answer_once(services.keys, asking.owner, key, ("POST /v1/cases/decisions", body), act)


async def _decide_item(
    asking: Asking, transaction_id: str, asked: DecisionAsked, request_key: str | None, wait_s: float
) -> DecidedItem:
    def refuse(code: str, text: str) -> DecidedItem:
        return DecidedItem(transaction_id=transaction_id, state="refused", code=code, text=text)

    try:
        decision = await run_in_threadpool(
            asking.at.desk.decide, asking.principal, transaction_id, asked, request_key=request_key
        )
    except UnknownObjectError:
        return refuse("unknown", "no such case")
    except StateConflictError as error:
        return refuse(error.code, str(error))
    except InvalidInputError as error:
        return refuse(error.fields[0].code, str(error))
    except TransientError:
        return refuse("not_now", "a database does not answer; try again")
    made = (await asking.at.outbox.send(decision, wait_s)).decision
    return DecidedItem(
        transaction_id=transaction_id, state=made.state, revision=made.revision, code=made.reason, text=made.detail
    )


async def _answer_sent(asking: Asking, sent: Sent) -> Response:
    decision = sent.decision
    if decision.state == "refused":
        raise await _describe_refusal(asking, decision)
    marks = await run_in_threadpool(asking.at.desk.decisions.list_marks, asking.retailer, decision.transaction_id)
    answer = DecisionAnswer(
        decision=decision,
        verdict=None if sent.document is None else msgspec.json.decode(sent.document, type=Verdict),
        marks=tuple(mark for mark in marks if mark.decision_id == decision.decision_id),
    )
    return answer_json(answer, 200 if decision.state == "applied" else 202)


async def _describe_refusal(asking: Asking, decision: CaseDecision) -> ProblemError:
    reason, detail = decision.reason or "refused", decision.detail or "the worker refused it"
    if reason not in CONFLICTS:
        return ProblemError(422, errors=[FieldProblem(pointer="", code=reason, text=detail)])
    try:
        winner = await run_in_threadpool(
            asking.at.desk.describe_winner, decision.transaction_id, decision.resolution_id
        )
    except TransientError:
        winner = None
    return ProblemError(409, winner or detail, code=reason)


def _check_rights(asking: Asking, asked: DecisionAsked) -> None:
    for action, mark in ((Action.SET_SNOOZES, asked.snooze), (Action.SET_LISTS, asked.list)):
        if mark is not None and not asking.principal.may(action, asking.retailer):
            raise ProblemError(403, f"this needs the right {action.value}", code="right_missing")
