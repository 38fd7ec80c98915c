"""What is asked of an identity provider: where it is, a code for tokens, and whether the ID token is its own. Knows no database.

The signature, issuer, audience, nonce and times of the ID token are checked; `none` and shared-key algorithms are not accepted.
"""

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote_plus

import httpx
from authlib.common.errors import AuthlibBaseError
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from backoffice.refusals import NotSignedInError
from contract.clock import Clock
from contract.errors import TransientError
from contract.sections.backoffice import OidcSettings

ANSWER_WITHIN_S = 5.0
KNOWN_FOR_S = 3_600.0
"""How long a discovery document is believed."""
LEEWAY_S = 60
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA")
SCOPES = "openid email profile"
_UNREACHABLE = "the identity provider (backoffice.oidc.issuer) does not answer as one"


class OidcProvider:
    """Used by any number of threads."""

    def __init__(self, settings: OidcSettings, redirect_uri: str, clock: Clock) -> None:
        self._issuer = settings.issuer or ""
        self._client_id = settings.client_id
        self._secret = settings.client_secret
        self._redirect_uri = redirect_uri
        self._clock = clock
        self._lock = threading.Lock()
        self._known: tuple[float, dict[str, Any]] | None = None

    def make_sign_in_url(self, *, state: str, nonce: str, verifier: str) -> str:
        """Where to send the browser; raises TransientError where the provider does not answer."""
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": self._redirect_uri,
            "scope": SCOPES,
            "state": state,
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
        }
        return str(add_params_to_uri(self._discover()["authorization_endpoint"], asked.items()))

    def fetch_claims(self, code: str, *, nonce: str, verifier: str) -> Mapping[str, Any]:
        """Claims of the ID token that `code` stands for; raises NotSignedInError where anything does not fit, TransientError."""
        places = self._discover()
        try:
            with httpx.Client(timeout=ANSWER_WITHIN_S) as client:
                tokens = self._exchange(client, places["token_endpoint"], code, verifier)
                keys = KeySet.import_key_set(client.get(places["jwks_uri"]).raise_for_status().json())
            return self._verify(tokens, keys, nonce)
        except httpx.HTTPError:
            raise TransientError(_UNREACHABLE) from None
        except (AuthlibBaseError, JoseError, ValueError, KeyError, TypeError):
            # Their words may repeat the token.
            raise NotSignedInError from None

    def _verify(self, tokens: Mapping[str, Any], keys: KeySet, nonce: str) -> Mapping[str, Any]:
        token = jwt.decode(tokens["id_token"], keys, algorithms=list(ALGORITHMS))
        wanted = {"iss": self._issuer, "aud": self._client_id}
        options = {name: {"essential": True, "value": value} for name, value in wanted.items()}
        params = {"client_id": self._client_id, "nonce": nonce, "access_token": tokens.get("access_token")}
        claims = CodeIDToken(token.claims, token.header, options, params)
        claims.validate(now=int(self._clock.now().timestamp()), leeway=LEEWAY_S)
        return dict(claims)

    def _discover(self) -> dict[str, Any]:
        now_s = self._clock.monotonic_s()
        with self._lock:
            known = self._known
        if known is not None and now_s - known[0] < KNOWN_FOR_S:
            return known[1]
        try:
            with httpx.Client(timeout=ANSWER_WITHIN_S) as client:
                answer = client.get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
                places: dict[str, Any] = answer.raise_for_status().json()
            fits = str(places["issuer"]).rstrip("/") == self._issuer.rstrip("/")
            fits = fits and all(
                isinstance(places[name], str) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            )
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            raise TransientError(_UNREACHABLE) from None
        if not fits:
            raise TransientError(_UNREACHABLE)
        with self._lock:
            self._known = (now_s, places)
        return places

    def _exchange(self, client: httpx.Client, endpoint: str, code: str, verifier: str) -> dict[str, Any]:
        """Code for tokens; raises NotSignedInError where the provider refuses, httpx.HTTPError."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": self._redirect_uri,
        }
        auth: httpx.Auth = httpx.Auth()
        if self._secret is None:
            form["client_id"] = self._client_id
        else:
            # Both parts are encoded as in a form first (RFC 6749, 2.3.1).
            auth = httpx.BasicAuth(quote_plus(self._client_id), quote_plus(self._secret.get_secret_value()))
        answer = client.post(endpoint, data=form, auth=auth)
        if answer.is_client_error:
            raise NotSignedInError
        tokens: dict[str, Any] = answer.raise_for_status().json()
        return tokens
