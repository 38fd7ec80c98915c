"""What operators look at: processes, alarms, dead letters, stage times and decisions over time."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from msgspec import Struct

from backoffice.accounts.permissions import Action
from backoffice.http.asking import Allowed, Asking, get_services
from backoffice.http.bodies import answer_json, describe_route
from backoffice.http.problems import FieldProblem, ProblemError
from backoffice.http.services import Services
from backoffice.projection.ports import PAGE_MAX
from backoffice.projection.results import DecisionCount, Latencies, LetterCount, Page, StoredLetter
from contract.alarms import Alarm

LATELY = timedelta(hours=1)
After = Annotated[str | None, Query(max_length=1_024, description="`next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]
Since = Annotated[datetime | None, Query(description="With a time zone; an hour before `until` where absent")]
Until = Annotated[datetime | None, Query(description="With a time zone; now where absent")]
Seen = Annotated[Asking, Depends(Allowed(Action.READ_SYSTEM))]
Served = Annotated[Services, Depends(get_services)]
router = APIRouter(tags=["operation"])


class AlarmPage(Struct, frozen=True, kw_only=True):
    """Alarms, the newest first."""

    items: tuple[Alarm, ...]
    next: str | None


class LetterPage(Struct, frozen=True, kw_only=True):
    """Dead letters, the newest first."""

    items: tuple[StoredLetter, ...]
    next: str | None


class LetterCounts(Struct, frozen=True, kw_only=True):
    """Dead letters by reason and part, the most frequent first."""

    items: tuple[LetterCount, ...]


class DecisionCounts(Struct, frozen=True, kw_only=True):
    """Verdicts in steps of time."""

    items: tuple[DecisionCount, ...]


@router.get("/v1/alarms", **describe_route({200: (AlarmPage, "What a person should look at, each with its remedy")}))
def list_alarms(asking: Seen, services: Served, after: After = None, limit: Limit = 50) -> Response:
    """The newest alarms."""
    page: Page[Alarm] = services.read_model.list_alarms(asking.retailer, after=after, limit=limit)
    return answer_json(AlarmPage(items=page.items, next=page.next))


@router.get("/v1/dead-letters", **describe_route({200: (LetterPage, "What could not be used, and why")}))
def list_dead_letters(
    asking: Annotated[Asking, Depends(Allowed(Action.READ_DEAD_LETTERS))],
    services: Served,
    *,
    reason: Annotated[str | None, Query(max_length=64)] = None,
    part: Annotated[str | None, Query(max_length=64)] = None,
    after: After = None,
    limit: Limit = 50,
) -> Response:
    """Dead letters that nobody took back; their payload holds tokens alone."""
    page = services.read_model.list_dead_letters(asking.retailer, reason=reason, part=part, after=after, limit=limit)
    return answer_json(LetterPage(items=page.items, next=page.next))


@router.get(
    "/v1/dead-letters/counts", **describe_route({200: (LetterCounts, "How many there are of each reason and part")})
)
def count_dead_letters(
    asking: Annotated[Asking, Depends(Allowed(Action.READ_DEAD_LETTERS))], services: Served
) -> Response:
    """Dead letters by reason and part."""
    return answer_json(LetterCounts(items=services.read_model.count_dead_letters(asking.retailer)))


@router.get(
    "/v1/latencies", **describe_route({200: (Latencies, "Percentiles of each stage, from the verdicts themselves")})
)
def measure_latencies(asking: Seen, services: Served, since: Since = None, until: Until = None) -> Response:
    """How long verdicts took."""
    begin, end = _choose_range(services, since, until)
    return answer_json(services.read_model.measure_latencies(asking.retailer, begin, end))


@router.get("/v1/decisions", **describe_route({200: (DecisionCounts, "Verdicts by decision in each step of time")}))
def count_decisions(
    asking: Seen,
    services: Served,
    since: Since = None,
    until: Until = None,
    step_minutes: Annotated[int, Query(ge=1, le=1_440)] = 1,
) -> Response:
    """How many verdicts of each decision there were."""
    begin, end = _choose_range(services, since, until)
    try:
        counts = services.read_model.count_decisions(asking.retailer, begin, end, step_minutes=step_minutes)
    except ValueError as error:
        fault = FieldProblem(pointer="?step_minutes", code="too_many_steps", text=str(error))
        raise ProblemError(422, errors=[fault]) from None
    return answer_json(DecisionCounts(items=counts))


def _choose_range(services: Services, since: datetime | None, until: datetime | None) -> tuple[datetime, datetime]:
    end = until or services.clock.now()
    begin = since or end - LATELY
    for name, moment in (("since", begin), ("until", end)):
        if moment.tzinfo is None:
            fault = FieldProblem(
                pointer=f"?{name}", code="time_zone", text="give a time zone, as in 2026-12-01T10:00:00Z"
            )
            raise ProblemError(422, errors=[fault])
    if begin > end:
        fault = FieldProblem(pointer="?since", code="order", text="lies after until")
        raise ProblemError(422, errors=[fault])
    return begin, end
