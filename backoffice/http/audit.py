"""`/v1/audit`: who did what, in a chain that shows when it was changed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response
from msgspec import Struct

from backoffice.accounts.permissions import Action
from backoffice.audit.chain import AuditEntry
from backoffice.http.asking import Allowed, Asking, get_services
from backoffice.http.bodies import answer_json, describe_route
from backoffice.http.services import Services

router = APIRouter(tags=["accounts"])


class AuditPage(Struct, frozen=True, kw_only=True):
    """Entries, the newest first."""

    items: list[AuditEntry]
    head: str
    """Number of the entry that follows, and the digest that it must name: note it outside, to find later whether anything was cut off."""


@router.get("/v1/audit", **describe_route({200: (AuditPage, "Entries, the newest first")}))
def list_audit(
    asking: Annotated[Asking, Depends(Allowed(Action.READ_AUDIT))],
    services: Annotated[Services, Depends(get_services)],
    before: Annotated[int | None, Query(ge=0, le=2**53, description="Only entries with a smaller number")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 100,
) -> Response:
    """The retailer's audit trail."""
    trail = services.accounts.trail
    head = trail.find_head(asking.retailer)
    entries = trail.list_entries(asking.retailer, before=before, limit=limit)
    return answer_json(AuditPage(items=list(entries), head=str(head)))
