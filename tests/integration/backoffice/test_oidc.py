"""Signing in by an identity provider that runs next to the test: code flow with PKCE, bound to one browser."""

import socket
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from pydantic import SecretStr

from backoffice.accounts.oidc_provider import OidcProvider
from backoffice.accounts.oidc_sign_in import OidcSignIn
from backoffice.accounts.permissions import EVERYWHERE, Role
from backoffice.accounts.principal import Grant, Principal
from backoffice.refusals import NotSignedInError
from contract.clock import ManualClock, SystemClock
from contract.errors import TransientError
from contract.sections.backoffice import OidcSettings
from support.accounts import PASSWORD, ROOT, Accounts, open_accounts

# The provider's threads are of this process, and it is built on what its library will drop.
pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed:DeprecationWarning")
REDIRECT = "http://127.0.0.1:8484/v1/oidc/callback"
CLIENT_SECRET = "planted-client-secret"
ANALYST, OPERATOR = Grant("meadow", Role.ANALYST), Grant("meadow", Role.OPERATOR)


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the provider is built on what its library will drop
        from oidc_provider_mock import run_server_in_thread
    with run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def accounts(tmp_path: Path) -> Iterator[Accounts]:
    with open_accounts(f"sqlite:///{tmp_path / 'backoffice.db'}") as opened:
        # The provider's tokens are of now.
        opened.clock.advance((SystemClock().now() - opened.clock.now()).total_seconds())
        yield opened


@dataclass
class Browser:
    """Follows what it is told, and holds one cookie."""

    accounts: Accounts
    issuer: str
    oidc: OidcSignIn

    def begin(self, sub: str) -> tuple[SecretStr, SecretStr, SecretStr]:
        """State and code that come back from the provider after `sub` signed in there, and the cookie."""
        begun = self.oidc.begin()
        answer = httpx.post(begun.url, data={"sub": sub}, follow_redirects=False)
        assert answer.status_code == 302, answer.text
        given = parse_qs(urlsplit(answer.headers["location"]).query)
        return SecretStr(given["state"][0]), SecretStr(given["code"][0]), begun.browser

    def sign_in(self, sub: str) -> Principal:
        signed_in = self.oidc.finish(*self.begin(sub))
        principal = self.accounts.sessions.authenticate(signed_in.session)
        assert principal is not None
        return principal

    def set_claims(self, sub: str, **claims: object) -> None:
        httpx.put(f"{self.issuer}/users/{sub}", json={"email": f"{sub}@example.org", "email_verified": True} | claims)

    def find_faults(self) -> list[object]:
        entries = self.accounts.trail.list_entries(EVERYWHERE)
        return [each.details["fault"] for each in entries if each.outcome == "refused"]


def browser_of(accounts: Accounts, issuer: str) -> Browser:
    settings = OidcSettings(
        issuer=issuer,
        client_secret=SecretStr(CLIENT_SECRET),
        roles={"fraud-desk": ("meadow:analyst",), "night-shift": ("meadow:operator", "meadow:analyst")},
    )
    provider = OidcProvider(settings, REDIRECT, accounts.clock)
    oidc = OidcSignIn(
        accounts.database, accounts.trail, accounts.sign_in, provider=provider, settings=settings, clock=accounts.clock
    )
    return Browser(accounts, issuer, oidc)


@pytest.fixture
def browser(accounts: Accounts, issuer: str) -> Browser:
    return browser_of(accounts, issuer)


def test_somebody_new_gets_an_account_with_the_roles_of_the_claims_and_each_time_those_of_that_day(
    browser: Browser,
) -> None:
    browser.set_claims("ann", groups=["fraud-desk", "canteen"])
    first = browser.sign_in("ann")
    assert (first.name, first.grants) == ("ann@example.org", frozenset({ANALYST}))
    browser.accounts.people.set_roles(ROOT, first.principal_id, "harbour", [Role.VIEWER])
    browser.set_claims("ann", groups="night-shift", email="ann.new@example.org")
    later = browser.sign_in("ann")
    assert later.principal_id == first.principal_id
    assert later.grants == {ANALYST, OPERATOR, Grant("harbour", Role.VIEWER)}
    browser.set_claims("ann", groups=[])
    assert browser.sign_in("ann").grants == {Grant("harbour", Role.VIEWER)}
    assert all(browser.accounts.trail.verify(chain).holds for chain in (EVERYWHERE, "meadow"))


def test_the_provider_is_asked_with_state_nonce_and_a_hashed_verifier(browser: Browser) -> None:
    first, second = (parse_qs(urlsplit(browser.oidc.begin().url).query) for _ in range(2))
    assert first["code_challenge_method"] == ["S256"]
    assert first["redirect_uri"] == [REDIRECT]
    assert first["scope"] == ["openid email profile"]
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
    assert CLIENT_SECRET not in str(first)


def test_an_answer_counts_once_and_in_the_browser_that_asked(browser: Browser) -> None:
    browser.set_claims("bob", groups=["fraud-desk"])
    state, code, cookie = browser.begin("bob")
    _, _, another = browser.begin("bob")
    with pytest.raises(NotSignedInError):
        browser.oidc.finish(state, code, another)
    browser.oidc.finish(state, code, cookie)
    with pytest.raises(NotSignedInError):
        browser.oidc.finish(state, code, cookie)
    assert browser.find_faults() == ["state", "state"]


def test_an_answer_that_comes_too_late_does_not_count(browser: Browser) -> None:
    browser.set_claims("bob", groups=["fraud-desk"])
    returned = browser.begin("bob")
    browser.accounts.clock.advance(600)
    with pytest.raises(NotSignedInError):
        browser.oidc.finish(*returned)


def test_a_code_of_another_flow_does_not_fit_its_nonce(browser: Browser) -> None:
    browser.set_claims("bob", groups=["fraud-desk"])
    (state, _, cookie), (_, stolen, _) = browser.begin("bob"), browser.begin("bob")
    for code in (stolen, SecretStr("made up")):
        with pytest.raises(NotSignedInError):
            browser.oidc.finish(state, code, cookie)
        state, _, cookie = browser.begin("bob")
    assert browser.find_faults() == ["id_token", "id_token"]


@pytest.mark.parametrize(
    ("claims", "fault"),
    [
        ({"email_verified": False}, "email_not_verified"),
        ({"email_verified": "true"}, "email_not_verified"),
        ({"email": ""}, "no_email"),
        ({"groups": []}, "no_role_or_name_taken"),
        ({"groups": {"fraud-desk": True}}, "no_role_or_name_taken"),
        ({"email": "two words"}, "no_role_or_name_taken"),
    ],
)
def test_claims_that_do_not_do_let_nobody_in_and_make_no_account(
    browser: Browser, claims: dict[str, object], fault: str
) -> None:
    browser.set_claims("eve", **{"groups": ["fraud-desk"]} | claims)
    with pytest.raises(NotSignedInError):
        browser.sign_in("eve")
    assert browser.find_faults() == [fault]
    assert browser.accounts.people.list_people() == []


def test_one_who_was_added_without_a_password_is_the_same_person_and_one_with_a_password_is_not(
    browser: Browser,
) -> None:
    invited = browser.accounts.people.create(ROOT, "carl@example.org", [OPERATOR])
    browser.accounts.people.create(ROOT, "dora@example.org", [Grant(EVERYWHERE, Role.ADMIN)], PASSWORD)
    for sub in ("carl", "dora"):
        browser.set_claims(sub, groups=["fraud-desk"])
    principal = browser.sign_in("carl")
    assert (principal.principal_id, principal.grants) == (invited.person_id, frozenset({ANALYST, OPERATOR}))
    with pytest.raises(NotSignedInError):
        browser.sign_in("dora")
    browser.accounts.people.disable(ROOT, invited.person_id)
    with pytest.raises(NotSignedInError):
        browser.sign_in("carl")


def test_a_token_from_tomorrow_is_refused(browser: Browser) -> None:
    browser.set_claims("bob", groups=["fraud-desk"])
    provider = browser.oidc._provider
    provider._clock = ManualClock(browser.accounts.clock.now())
    provider._clock.advance(2 * 86_400)  # to this clock the token has expired
    with pytest.raises(NotSignedInError):
        browser.sign_in("bob")


def test_a_provider_that_is_away_or_something_else_is_named_without_its_secret(accounts: Accounts, issuer: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        closed = listening.getsockname()[1]
    for wrong in (f"http://127.0.0.1:{closed}", f"{issuer}/nothing"):
        with pytest.raises(TransientError, match=r"backoffice\.oidc\.issuer") as caught:
            browser_of(accounts, wrong).oidc.begin()
        assert CLIENT_SECRET not in repr(caught.value)
