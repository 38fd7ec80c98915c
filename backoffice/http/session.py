"""`/v1/session`: people sign in, by password or by a link that is good once, and out again. The session is a cookie."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from msgspec import Struct
from pydantic import SecretStr
from starlette.concurrency import run_in_threadpool

from backoffice.accounts.csrf import find_csrf_fault
from backoffice.accounts.permissions import EVERYWHERE, Action
from backoffice.accounts.principal import Principal
from backoffice.accounts.sign_in import SignedIn
from backoffice.http.asking import COOKIE, find_principal, get_services, read_session
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.problems import ProblemError, describe_invalid
from backoffice.http.services import Services
from contract.codec import Decoder
from contract.errors import InvalidEventError

router = APIRouter(tags=["people"])
Served = Annotated[Services, Depends(get_services)]


class SignInRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Either name and password, or a link's secret."""

    name: str | None = None
    password: str | None = None
    link: str | None = None


class SessionView(Struct, frozen=True, kw_only=True):
    """Who asks, and what that allows."""

    kind: str
    name: str
    retailers: dict[str, list[str]]
    """Actions that are allowed at each retailer."""
    installation: list[str]
    """Actions that are allowed for the whole installation."""


_decoder = Decoder(SignInRequest)


@router.post(
    "/v1/session",
    **describe_route(
        {200: (SessionView, "Signed in: the cookie is the session")},
        body=SignInRequest,
        problems={
            401: "Not signed in: which part was wrong is never said",
            403: "Another site made the browser send it",
            422: "Something in the request cannot be used",
            429: "Too many failures; Retry-After says when to try again",
        },
        is_open=True,
    ),
)
async def open_session(request: Request, services: Served) -> Response:
    """Signs in. The answer to a failure is the same whatever was wrong."""
    fault = find_csrf_fault("POST", request.headers, services.public_url)
    if fault is not None:
        raise ProblemError(403, fault, code="other_site")
    try:
        asked = _decoder.decode(await read_body(request))
    except InvalidEventError as error:
        raise describe_invalid(error) from None
    signed_in = await run_in_threadpool(_sign_in, services, asked, request)
    answer = answer_json(_describe(signed_in.person.as_principal(), services))
    # Secure: browsers and curl send it to localhost without TLS too.
    answer.set_cookie(
        COOKIE, signed_in.session.get_secret_value(), secure=True, httponly=True, samesite="strict", path="/"
    )
    return answer


@router.get("/v1/session", **describe_route({200: (SessionView, "Who asks")}))
async def show_session(principal: Annotated[Principal, Depends(find_principal)], services: Served) -> Response:
    """Who asks, and what that allows at each retailer."""
    return answer_json(_describe(principal, services))


@router.delete("/v1/session", **describe_route({204: (None, "Signed out")}))
async def close_session(
    request: Request, principal: Annotated[Principal, Depends(find_principal)], services: Served
) -> Response:
    """Signs out."""
    session = read_session(request)
    if session is not None:
        await run_in_threadpool(services.accounts.sign_in.close, principal, session)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
    return answer


def _sign_in(services: Services, asked: SignInRequest, request: Request) -> SignedIn:
    previous, sign_in = read_session(request), services.accounts.sign_in
    if asked.link is not None:
        return sign_in.open_by_link(SecretStr(asked.link), previous)
    address = request.client.host if request.client is not None else ""
    return sign_in.open_by_password(asked.name or "", SecretStr(asked.password or ""), address, previous)


def _describe(principal: Principal, services: Services) -> SessionView:
    return SessionView(
        kind=principal.kind,
        name=principal.name,
        retailers={
            name: [action.value for action in Action if principal.may(action, name)]
            for name in principal.select_retailers(services.retailers)
        },
        installation=[action.value for action in Action if principal.may(action, EVERYWHERE)],
    )
