"""`/health`, `/ready` and `/metrics`: for machines that watch; they need no token and name no customer."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from backoffice.http.asking import get_services
from backoffice.http.bodies import answer_json
from backoffice.http.services import Services

router = APIRouter(tags=["operation"])
OPEN: dict[str, Any] = {"openapi_extra": {"x-open": True}}


@router.get("/health", **OPEN)
async def show_health() -> Response:
    """Whether the process runs."""
    return answer_json(msgspec.json.encode({"alive": True}))


@router.get("/ready", **OPEN, responses={503: {"description": "A door is closed"}})
async def show_readiness(services: Annotated[Services, Depends(get_services)]) -> Response:
    """Which retailers' doors are open, and why one is not."""
    doors = {name: each.list_closed() for name, each in services.retailers.items()}
    ready = not any(doors.values())
    document = {
        "ready": ready,
        "doors": {name: {"open": not why, "reasons": why} for name, why in doors.items()},
        # A read model that is behind closes no door.
        "read_model": {each.retailer: each for each in services.list_projections()},
    }
    return answer_json(msgspec.json.encode(document), 200 if ready else 503)


@router.get("/metrics", **OPEN)
def show_metrics(services: Annotated[Services, Depends(get_services)]) -> Response:
    """Prometheus' text format."""
    return Response(generate_latest(services.metrics.registry), media_type=CONTENT_TYPE_LATEST)
