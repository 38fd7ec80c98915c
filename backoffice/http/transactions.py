"""`POST /v1/transactions`: a checkout's question, and the verdict."""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from msgspec import Struct

from backoffice.accounts.permissions import Action
from backoffice.checkout.door import BusyError, FellBack, Judged, Refused
from backoffice.checkout.ports import NotTakenError
from backoffice.checkout.request import TransactionRequest
from backoffice.http.asking import Allowed, Asking, get_services
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.problems import FieldProblem, ProblemError, describe_invalid
from backoffice.http.services import Services
from contract.errors import InvalidEventError
from contract.verdicts import Decision, Verdict

BUDGET_MS = 80
BUDGET_MS_MAX = 10_000
RETRY_AFTER_S = "1"
router = APIRouter(tags=["checkout"])


class CheckoutAnswer(Struct, frozen=True, kw_only=True):
    """What the checkout is to do now."""

    decision: Decision
    source: Literal["verdict", "fallback"]
    """`fallback`: no verdict came within the budget, and the settings decided. The verdict comes later, as revision 0 or 1."""
    verdict: Verdict | None
    """Null with `fallback`."""


class _Timed(Struct):
    decision: str
    latency_ms: float
    stage_us: dict[str, float]


_decode_timed = msgspec.json.Decoder(_Timed).decode


@router.post(
    "/v1/transactions",
    **describe_route(
        {200: (CheckoutAnswer, "The verdict, or the fallback where none came within the budget")},
        body=TransactionRequest,
        problems={
            409: "The transaction_id was seen before with other content",
            413: "The body is larger than 64 KiB",
            415: "The body is not JSON",
            429: "Too many requests wait already; Retry-After says when to come again",
            503: "Kafka did not confirm the transaction; send it again with the same transaction_id",
        },
    ),
)
async def judge_transaction(
    request: Request,
    asking: Annotated[Asking, Depends(Allowed(Action.SCORE))],
    services: Annotated[Services, Depends(get_services)],
    budget_ms: Annotated[
        int, Query(ge=1, le=BUDGET_MS_MAX, description="How long the checkout waits, milliseconds")
    ] = BUDGET_MS,
) -> Response:
    """Judges a transaction. Send it again as often as needed: the same id with the same content gets the same verdict."""
    body = await read_body(request)
    try:
        answer = await asking.at.door.judge(body, budget_ms / 1000)
    except InvalidEventError as error:
        raise describe_invalid(error) from None
    except BusyError as error:
        raise ProblemError(429, str(error), headers={"Retry-After": RETRY_AFTER_S}) from None
    except NotTakenError as error:
        raise _refuse_now(error) from None
    if isinstance(answer, FellBack):
        services.metrics.add("tillguard_backoffice_fallbacks_total", retailer=asking.retailer)
    return answer_checkout(answer)


def answer_checkout(answer: Judged | FellBack | Refused) -> Response:
    """The checkout's envelope around an answer of the door; raises ProblemError for a refusal."""
    match answer:
        case Judged():
            return _answer_verdict(answer.document)
        case FellBack():
            return answer_json(CheckoutAnswer(decision=answer.decision, source="fallback", verdict=None))
        case Refused():
            raise _describe_refusal(answer)


def _refuse_now(error: NotTakenError) -> ProblemError:
    detail = f"{error}. Decide by your own fallback, and send the transaction again with the same transaction_id."
    return ProblemError(503, detail, code="not_taken", headers={"Retry-After": RETRY_AFTER_S})


def _describe_refusal(refused: Refused) -> ProblemError:
    if refused.reason == "conflict":
        return ProblemError(409, refused.detail, code="conflict")
    return ProblemError(422, errors=[FieldProblem(pointer="", code=refused.reason, text=refused.detail)])


def _answer_verdict(document: bytes) -> Response:
    """The verdict's own bytes within the envelope: they are not encoded again."""
    told = _decode_timed(document)
    stages = ", ".join(f"{name};dur={us / 1000:.3f}" for name, us in told.stage_us.items())
    timing = f"verdict;dur={told.latency_ms:.3f}" + (f", {stages}" if stages else "")
    envelope = b'{"decision":"%s","source":"verdict","verdict":%s}' % (told.decision.encode(), document)
    return answer_json(envelope, headers={"Server-Timing": timing})
