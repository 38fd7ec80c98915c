"""What an identity provider's claims say of a person: who it is, and which roles. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backoffice.accounts.permissions import Role
from backoffice.accounts.principal import Grant
from contract.sections.backoffice import OidcSettings


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whom the provider vouches for."""

    issuer: str
    subject: str
    """Stays the same when the address changes."""
    name: str
    """The verified e-mail address."""
    grants: frozenset[Grant]


def find_identity_fault(claims: Mapping[str, Any]) -> str | None:
    """Why these claims let nobody in, as a code; None where they do."""
    if not isinstance(claims.get("sub"), str) or not 0 < len(claims["sub"]) <= 255:
        return "no_subject"
    if not isinstance(claims.get("email"), str) or not claims["email"]:
        return "no_email"
    # Only true itself: some providers let people type any address, and say "false" as text.
    return None if claims.get("email_verified") is True else "email_not_verified"


def make_identity(claims: Mapping[str, Any], settings: OidcSettings) -> Identity:
    """Of claims without a fault; values that the settings do not name give nothing."""
    given = claims.get(settings.roles_claim, [])
    values = given if isinstance(given, list) else [given]
    grants = {_parse(text) for value in values if isinstance(value, str) for text in settings.roles.get(value, ())}
    return Identity(settings.issuer or "", claims["sub"], claims["email"], frozenset(grants))


def _parse(text: str) -> Grant:
    retailer, _, role = text.partition(":")
    return Grant(retailer, Role(role))
