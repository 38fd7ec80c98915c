"""`/v1/verdicts`: what was decided, and the end of a hold."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import Response
from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from backoffice.accounts.permissions import Action
from backoffice.checkout.door import Accepted, BusyError, Judged, Refused
from backoffice.checkout.ports import NotTakenError
from backoffice.http.asking import Allowed, Asking, get_services
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.problems import FieldProblem, ProblemError, describe_invalid
from backoffice.http.services import Services
from backoffice.projection.ports import ReadModel
from backoffice.projection.results import KnownTransaction, VerdictPage
from contract.codec import Decoder
from contract.errors import InvalidEventError
from contract.events import Identifier, Moment, Resolution, ResolutionKind
from contract.verdicts import Verdict

WAIT_MS_MAX = 30_000
RETRY_AFTER_S = "1"
FEED_POLL_S = 0.1
TransactionId = Annotated[str, Path(min_length=1, max_length=128, description="As the checkout sent it")]
WaitMs = Annotated[int, Query(ge=0, le=WAIT_MS_MAX, description="How long to wait for it, milliseconds")]
router = APIRouter(tags=["checkout"])


class ResolutionRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a hold or review."""

    resolution_id: Identifier
    """One resolution_id gives one revision, however often it is sent."""
    outcome: ResolutionKind
    resolved_at: Moment | None = None
    """When it was decided, with a time zone; now where absent."""


class Revisions(Struct, frozen=True, kw_only=True):
    """What was answered about one transaction."""

    transaction_id: str
    verdicts: tuple[Verdict, ...]
    resolutions: tuple[Resolution, ...]


RESOLUTION_DECODER = Decoder(ResolutionRequest)


@router.get(
    "/v1/verdicts/{transaction_id:path}/revisions",
    **describe_route(
        {200: (Revisions, "Every revision, the lowest first")}, problems={410: "Erased on request of the customer"}
    ),
)
def list_revisions(
    transaction_id: TransactionId,
    asking: Annotated[Asking, Depends(Allowed(Action.READ_VERDICTS))],
    services: Annotated[Services, Depends(get_services)],
) -> Response:
    """Every answer that a transaction got, and the resolutions between them."""
    kept = _find_kept(services.read_model, asking, transaction_id)
    verdicts, resolutions = ((), ()) if kept is None else (kept.verdicts, kept.resolutions)
    return answer_json(Revisions(transaction_id=transaction_id, verdicts=verdicts, resolutions=resolutions))


@router.get(
    "/v1/verdicts/{transaction_id:path}",
    **describe_route(
        {200: (Verdict, "The highest revision"), 204: (None, "No verdict yet, or none of that revision")},
        problems={410: "Erased on request of the customer", 429: "Too many requests wait already"},
    ),
)
async def find_verdict(
    transaction_id: TransactionId,
    asking: Annotated[Asking, Depends(Allowed(Action.READ_VERDICTS))],
    services: Annotated[Services, Depends(get_services)],
    wait_ms: WaitMs = 0,
    min_revision: Annotated[int, Query(ge=0, le=1_000_000, description="An older one is no answer")] = 0,
) -> Response:
    """The newest verdict of a transaction, waiting for it if asked to."""
    try:
        found = await asking.at.door.find(transaction_id, min_revision, wait_ms / 1000)
    except BusyError as error:
        raise ProblemError(429, str(error), headers={"Retry-After": RETRY_AFTER_S}) from None
    if found is not None and found.revision >= min_revision:
        return answer_json(found.document)
    kept = await run_in_threadpool(_find_kept, services.read_model, asking, transaction_id)
    if kept is None or kept.line.verdict is None or kept.line.verdict.revision < min_revision:
        return Response(status_code=204)
    return answer_json(kept.line.verdict)


@router.get("/v1/verdicts", **describe_route({200: (VerdictPage, "Verdicts, and the cursor of what follows")}))
async def follow_verdicts(
    asking: Annotated[Asking, Depends(Allowed(Action.FOLLOW_VERDICTS))],
    services: Annotated[Services, Depends(get_services)],
    after: Annotated[
        str | None,
        Query(max_length=1_024, description="The cursor of the page before; without it, from the oldest that is kept"),
    ] = None,
    wait_ms: WaitMs = 0,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> Response:
    """The change feed, for shops without Kafka: every revision of every transaction, at least once, in the order of arrival."""
    deadline_s = services.clock.monotonic_s() + wait_ms / 1000
    while True:
        page = await run_in_threadpool(services.read_model.list_verdicts_after, asking.retailer, after, limit)
        left_s = deadline_s - services.clock.monotonic_s()
        if page.verdicts or left_s <= 0:
            return answer_json(page)
        await asyncio.sleep(min(FEED_POLL_S, left_s))


@router.post(
    "/v1/verdicts/{transaction_id:path}/resolution",
    **describe_route(
        {200: (Verdict, "The new revision"), 202: (None, "Taken; the new revision has not come yet")},
        body=ResolutionRequest,
        problems={
            409: "Another resolution came first",
            413: "The body is larger than 64 KiB",
            415: "The body is not JSON",
            429: "Too many requests wait already",
            503: "Kafka did not confirm the resolution; send it again with the same resolution_id",
        },
    ),
)
async def resolve_verdict(
    transaction_id: TransactionId,
    request: Request,
    asking: Annotated[Asking, Depends(Allowed(Action.RESOLVE))],
    services: Annotated[Services, Depends(get_services)],
    wait_ms: WaitMs = 2_000,
) -> Response:
    """Ends a hold or review: a step-up's result, or a person's decision. Becomes a label for the trainer, too."""
    try:
        asked = RESOLUTION_DECODER.decode(await read_body(request))
        resolution = _build_resolution(asked, transaction_id, asking, services.clock.now())
        answer = await asking.at.door.resolve(resolution, wait_ms / 1000)
    except InvalidEventError as error:
        raise describe_invalid(error) from None
    except BusyError as error:
        raise ProblemError(429, str(error), headers={"Retry-After": RETRY_AFTER_S}) from None
    except NotTakenError as error:
        detail = f"{error}. Send it again with the same resolution_id."
        raise ProblemError(503, detail, code="not_taken", headers={"Retry-After": RETRY_AFTER_S}) from None
    return answer_resolution(answer)


def answer_resolution(answer: Judged | Accepted | Refused) -> Response:
    """The new revision where it is there; raises ProblemError for a refusal."""
    match answer:
        case Judged():
            return answer_json(answer.document)
        case Accepted():
            return Response(status_code=202)
        case Refused():
            raise _describe_refusal(answer)


def _find_kept(read_model: ReadModel, asking: Asking, transaction_id: str) -> KnownTransaction | None:
    """What the read model knows; raises 410 for what was erased, and 404 for what nobody knows."""
    kept = read_model.find_transaction(asking.retailer, transaction_id)
    if kept is None:
        if read_model.is_erased(asking.retailer, transaction_id):
            raise ProblemError(410)
        if not asking.at.door.is_asked(transaction_id):
            raise ProblemError(404)
    return kept


def _build_resolution(asked: ResolutionRequest, transaction_id: str, asking: Asking, now: datetime) -> Resolution:
    return Resolution(
        resolution_id=asked.resolution_id,
        transaction_id=transaction_id,
        retailer=asking.retailer,
        outcome=asked.outcome,
        actor=asking.principal.name,
        resolved_at=asked.resolved_at or now,
    )


def _describe_refusal(refused: Refused) -> ProblemError:
    if refused.reason in {"conflict", "not_resolvable"}:
        return ProblemError(409, refused.detail, code=refused.reason)
    return ProblemError(422, errors=[FieldProblem(pointer="", code=refused.reason, text=refused.detail)])
