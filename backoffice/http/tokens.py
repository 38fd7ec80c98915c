"""`/v1/tokens`: access tokens of machines, shown once when they are made."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import Response
from msgspec import Struct
from starlette.concurrency import run_in_threadpool

from backoffice.accounts.access_tokens import AccessToken
from backoffice.accounts.permissions import Action, Scope
from backoffice.http.asking import Allowed, Asking, get_services
from backoffice.http.bodies import answer_json, describe_route, read_body
from backoffice.http.problems import describe_invalid
from backoffice.http.services import Services
from contract.codec import Decoder
from contract.errors import InvalidEventError
from contract.events import Moment

router = APIRouter(tags=["accounts"])
Served = Annotated[Services, Depends(get_services)]


class TokenRequest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token that is to be made."""

    name: str
    """For people: what uses it."""
    scopes: list[Scope]
    sandbox: bool = False
    """A token of the sandbox, which opens nothing else."""
    expires_at: Moment | None = None
    """With a time zone; never where absent."""


class TokenView(Struct, frozen=True, kw_only=True):
    """What is known of a token, without the token."""

    token_id: str
    name: str
    scopes: list[str]
    sandbox: bool
    made_at: datetime
    made_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    """To the hour."""
    revoked_at: datetime | None


class NewToken(Struct, frozen=True, kw_only=True):
    """A new token: its text is shown now and never again."""

    text: str
    token: TokenView


class TokenViews(Struct, frozen=True, kw_only=True):
    """All tokens of a retailer, the newest first."""

    items: list[TokenView]


_decoder = Decoder(TokenRequest)


@router.get("/v1/tokens", **describe_route({200: (TokenViews, "Without the tokens' texts")}))
def list_tokens(asking: Annotated[Asking, Depends(Allowed(Action.READ_TOKENS))], services: Served) -> Response:
    """Which tokens there are, and when each was used last."""
    found = services.accounts.access_tokens.list_tokens(asking.retailer)
    return answer_json(TokenViews(items=[_describe(each) for each in found]))


@router.post(
    "/v1/tokens",
    **describe_route(
        {201: (NewToken, "Keep the text: it is shown only now")},
        body=TokenRequest,
        problems={409: "The retailer has too many tokens: revoke some first"},
    ),
)
async def make_token(
    request: Request, asking: Annotated[Asking, Depends(Allowed(Action.MAKE_TOKENS))], services: Served
) -> Response:
    """Makes a token for a machine of this retailer."""
    try:
        asked = _decoder.decode(await read_body(request))
    except InvalidEventError as error:
        raise describe_invalid(error) from None

    def make() -> NewToken:
        made = services.accounts.access_tokens.make(
            asking.principal,
            asking.retailer,
            asked.name,
            asked.scopes,
            sandbox=asked.sandbox,
            expires_at=asked.expires_at,
        )
        return NewToken(text=made.text.get_secret_value(), token=_describe(made.token))

    return answer_json(await run_in_threadpool(make), 201)


@router.delete("/v1/tokens/{token_id}", **describe_route({200: (TokenView, "It opens nothing any more")}))
def revoke_token(
    token_id: str, asking: Annotated[Asking, Depends(Allowed(Action.REVOKE_TOKENS))], services: Served
) -> Response:
    """Revokes a token, at once in this process."""
    ended = services.accounts.access_tokens.revoke(asking.principal, asking.retailer, token_id)
    services.accounts.token_cache.forget(token_id)
    return answer_json(_describe(ended))


def _describe(token: AccessToken) -> TokenView:
    return TokenView(
        token_id=token.token_id,
        name=token.name,
        scopes=sorted(token.scopes),
        sandbox=token.sandbox,
        made_at=token.made_at,
        made_by=token.made_by,
        expires_at=token.expires_at,
        last_used_at=token.last_used_at,
        revoked_at=token.revoked_at,
    )
