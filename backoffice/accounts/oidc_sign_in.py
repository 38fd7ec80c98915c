"""Signing in by an identity provider: begun for one browser, finished by the same browser, once.

State, nonce and PKCE verifier are made here and kept; the browser keeps a secret in a cookie. Whoever comes back with another browser's
state, or with one that was used, is refused: nobody can be signed in as somebody else by a link.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from pydantic import SecretStr

from backoffice.accounts.identities import Identities
from backoffice.accounts.identity import find_identity_fault, make_identity
from backoffice.accounts.oidc_provider import OidcProvider
from backoffice.accounts.permissions import EVERYWHERE
from backoffice.accounts.secret_text import hash_secret, make_secret
from backoffice.accounts.sign_in import OPEN, SignedIn, SignIn
from backoffice.audit.chain import Who
from backoffice.audit.trail import AuditTrail
from backoffice.refusals import NotSignedInError
from contract.clock import Clock, to_epoch_ms
from contract.sections.backoffice import OidcSettings
from runtime.database import Database

FLOW_LASTS = timedelta(minutes=10)
FLOWS = sa.Table(
    "oidc_flows",
    sa.MetaData(),
    sa.Column("state_sha256", sa.String(64), primary_key=True),
    sa.Column("browser_sha256", sa.String(64)),
    sa.Column("nonce", sa.String(64)),
    sa.Column("verifier", sa.String(64)),
    sa.Column("expires_ms", sa.BigInteger),
)


@dataclass(frozen=True, slots=True)
class BegunSignIn:
    """Where to send the browser, and what it keeps in a cookie until it comes back."""

    url: str
    browser: SecretStr


class OidcSignIn:
    """Used by any number of threads and processes."""

    def __init__(
        self,
        database: Database,
        trail: AuditTrail,
        sign_in: SignIn,
        *,
        provider: OidcProvider,
        settings: OidcSettings,
        clock: Clock,
    ) -> None:
        self._database = database
        self._trail = trail
        self._sign_in = sign_in
        self._provider = provider
        self._identities = Identities(database, trail, clock)
        self._settings = settings
        self._clock = clock

    def begin(self) -> BegunSignIn:
        """A sign-in for the browser that asks; raises TransientError where the provider or the database does not answer."""
        state, browser, nonce, verifier = (make_secret() for _ in range(4))
        told = {"nonce": nonce.get_secret_value(), "verifier": verifier.get_secret_value()}
        url = self._provider.make_sign_in_url(state=state.get_secret_value(), **told)
        now_ms = to_epoch_ms(self._clock.now())
        row = {"state_sha256": hash_secret(state), "browser_sha256": hash_secret(browser)} | told
        with self._database.begin() as connection:
            connection.execute(FLOWS.delete().where(FLOWS.c.expires_ms <= now_ms))
            expires_ms = now_ms + FLOW_LASTS // timedelta(milliseconds=1)
            connection.execute(FLOWS.insert().values(**row, expires_ms=expires_ms))
        return BegunSignIn(url, browser)

    def finish(
        self, state: SecretStr, code: SecretStr, browser: SecretStr, previous: SecretStr | None = None
    ) -> SignedIn:
        """A new session for whom the provider sends back; raises NotSignedInError, TransientError."""
        flow = self._take_flow(state, browser)
        if flow is None:
            raise self._refuse("state")
        try:
            claims = self._provider.fetch_claims(code.get_secret_value(), nonce=flow.nonce, verifier=flow.verifier)
        except NotSignedInError:
            raise self._refuse("id_token") from None
        if fault := find_identity_fault(claims):
            raise self._refuse(fault)
        try:
            person_id = self._identities.adopt(make_identity(claims, self._settings))
        except NotSignedInError:
            raise self._refuse("no_role_or_name_taken") from None
        return self._sign_in.open_for(person_id, "oidc", previous)

    def _take_flow(self, state: SecretStr, browser: SecretStr) -> sa.Row[Any, Any] | None:
        chosen = FLOWS.delete().where(
            FLOWS.c.state_sha256 == hash_secret(state),
            FLOWS.c.browser_sha256 == hash_secret(browser),
            FLOWS.c.expires_ms > to_epoch_ms(self._clock.now()),
        )
        with self._database.begin() as connection:
            return connection.execute(chosen.returning(FLOWS.c.nonce, FLOWS.c.verifier)).one_or_none()

    def _refuse(self, fault: str) -> NotSignedInError:
        who, details = Who("anonymous", "", ""), {"with": "oidc", "fault": fault}
        self._trail.record(who, EVERYWHERE, OPEN, "person:?", outcome="refused", details=details)
        return NotSignedInError()
