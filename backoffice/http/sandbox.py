"""`/v1/sandbox`: the checkout's paths for tokens of the sandbox. Touches no topic; every outcome comes on demand."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from backoffice.accounts.permissions import Action
from backoffice.checkout.door import FellBack
from backoffice.checkout.sandbox import SandboxRequest
from backoffice.http.asking import Allowed, Asking
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.problems import describe_invalid
from backoffice.http.transactions import BUDGET_MS, BUDGET_MS_MAX, CheckoutAnswer, answer_checkout
from backoffice.http.verdicts import RESOLUTION_DECODER, ResolutionRequest, TransactionId, answer_resolution
from contract.errors import InvalidEventError
from contract.verdicts import Verdict

BODY_PROBLEMS = {413: "The body is larger than 64 KiB", 415: "The body is not JSON"}
router = APIRouter(prefix="/v1/sandbox", tags=["sandbox"])
Sandboxed = Annotated[Asking, Depends(Allowed(Action.USE_SANDBOX))]


@router.post(
    "/transactions",
    **describe_route(
        {200: (CheckoutAnswer, "What `force` asks for")},
        body=SandboxRequest,
        problems={409: "`conflict` was asked for, or the id was seen with other content", **BODY_PROBLEMS},
    ),
)
async def judge_in_sandbox(
    request: Request, asking: Sandboxed, budget_ms: Annotated[int, Query(ge=1, le=BUDGET_MS_MAX)] = BUDGET_MS
) -> Response:
    """As `POST /v1/transactions`, with the outcome that the request names."""
    try:
        answer = asking.at.sandbox.judge(await read_body(request))
    except InvalidEventError as error:
        raise describe_invalid(error) from None
    if isinstance(answer, FellBack):
        await asyncio.sleep(budget_ms / 1000)
    return answer_checkout(answer)


@router.get(
    "/verdicts/{transaction_id:path}",
    **describe_route({200: (Verdict, "The highest revision"), 204: (None, "None yet")}),
)
async def find_in_sandbox(transaction_id: TransactionId, asking: Sandboxed) -> Response:
    """As `GET /v1/verdicts/{transaction_id}`."""
    found = asking.at.sandbox.find(transaction_id)
    return Response(status_code=204) if found is None else answer_json(found.document)


@router.post(
    "/verdicts/{transaction_id:path}/resolution",
    **describe_route(
        {200: (Verdict, "The new revision")},
        body=ResolutionRequest,
        problems={409: "Not held, flagged or blocked, or resolved before", **BODY_PROBLEMS},
    ),
)
async def resolve_in_sandbox(transaction_id: TransactionId, request: Request, asking: Sandboxed) -> Response:
    """As `POST /v1/verdicts/{transaction_id}/resolution`."""
    try:
        asked = RESOLUTION_DECODER.decode(await read_body(request))
    except InvalidEventError as error:
        raise describe_invalid(error) from None
    return answer_resolution(asking.at.sandbox.resolve(transaction_id, asked.resolution_id, asked.outcome))
