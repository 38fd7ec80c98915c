"""Who asks, and about which retailer. What a principal has no business with does not exist: 404, never 403."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool

from backoffice.accounts.csrf import find_csrf_fault
from backoffice.accounts.permissions import Action
from backoffice.accounts.principal import Principal
from backoffice.http.idempotency import KeyOwner
from backoffice.http.problems import ProblemError
from backoffice.http.services import RetailerServices, Services

BEARER = "bearer "
COOKIE = "__Host-tillguard"


@dataclass(frozen=True, slots=True)
class Asking:
    """One who may do what the route does, at one retailer."""

    principal: Principal
    retailer: str
    at: RetailerServices

    @property
    def owner(self) -> KeyOwner:
        """Whose idempotency keys the request's are."""
        return KeyOwner(self.retailer, self.principal.principal_id)


def get_services(request: Request) -> Services:
    """The services of this application."""
    services: Services = request.app.state.services
    return services


def read_session(request: Request) -> SecretStr | None:
    """The session that the browser holds, valid or not."""
    found = request.cookies.get(COOKIE)
    return None if found is None else SecretStr(found)


async def find_principal(request: Request, services: Annotated[Services, Depends(get_services)]) -> Principal:
    """Who asks: a machine by its token, a person by the session's cookie.

    Raises 401 in the same words whatever is wrong, and 403 for what another site made a browser send.
    """
    header = request.headers.get("authorization", "")
    if header[: len(BEARER)].lower() == BEARER:
        token = header[len(BEARER) :].strip()
        found = services.tokens.find_remembered(token) or await run_in_threadpool(services.tokens.authenticate, token)
        if found is not None:
            return found
    session = read_session(request)
    if session is not None and not header:
        person = await run_in_threadpool(services.accounts.sessions.authenticate, session)
        if person is not None:
            fault = find_csrf_fault(request.method, request.headers, services.public_url)
            if fault is not None:
                raise ProblemError(403, fault, code="other_site")
            return person
    raise ProblemError(401, headers={"WWW-Authenticate": "Bearer"})


class Allowed:
    """A dependency of a route: who asks may do `action` at the retailer that the request is about."""

    def __init__(self, action: Action) -> None:
        self.action = action

    async def __call__(
        self,
        services: Annotated[Services, Depends(get_services)],
        principal: Annotated[Principal, Depends(find_principal)],
        retailer: Annotated[
            str | None, Query(description="The retailer; needed only by who belongs to several", max_length=48)
        ] = None,
    ) -> Asking:
        """Raises 403 where the action is not allowed, 404 where the retailer is none of the principal's."""
        own = principal.select_retailers(services.retailers)
        if retailer is None and len(own) != 1:
            raise ProblemError(422, "say which retailer: ?retailer=NAME", code="retailer_missing")
        chosen = own[0] if retailer is None else retailer
        if chosen not in own:
            raise ProblemError(404)
        if not principal.may(self.action, chosen):
            raise ProblemError(403, f"this needs the right {self.action.value}", code="right_missing")
        return Asking(principal, chosen, services.retailers[chosen])
