"""People over HTTP: they sign in, act within their roles, and what they did can be read again."""

from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from backoffice.accounts.permissions import EVERYWHERE, Role, Scope
from backoffice.accounts.principal import Grant
from support.live_backoffice import LiveBackoffice
from support.live_worker import Shop
from tillguard.backoffice.accounts import find_shell_principal

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
PASSWORD = "planted-Passw0rd-of-nobody"
RULES = """
rules:
  - id: planted
    when: amount > 500
    decision: hold
    text: an amount above 500
"""


@pytest.fixture
def shop(retailer: Any, tmp_path: Path) -> Shop:
    return Shop(retailer, tmp_path)


@pytest.fixture
def office(shop: Shop) -> Iterator[LiveBackoffice]:
    with LiveBackoffice(shop.folder, shop.settings) as office:
        yield office


def sign_in(office: LiveBackoffice, name: str, **changes: Any) -> httpx.Client:
    """A browser's client; httpx keeps no Secure cookie of a page without TLS, so it is sent by hand."""
    headers = {"Origin": office.url, "X-Tillguard": "1"}
    answer = httpx.post(
        f"{office.url}/v1/session", json={"name": name, "password": PASSWORD} | changes, headers=headers, timeout=60
    )
    assert answer.status_code == 200, answer.text
    cookie = SimpleCookie(answer.headers["set-cookie"])["__Host-tillguard"]
    assert cookie["secure"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "strict"
    return httpx.Client(
        base_url=office.url, headers=headers | {"Cookie": f"__Host-tillguard={cookie.value}"}, timeout=60
    )


def test_an_operator_puts_rules_in_service_and_an_admin_sees_who_did(
    shop: Shop, office: LiveBackoffice, capfd: pytest.CaptureFixture[str]
) -> None:
    name, shell = shop.settings.retailer, find_shell_principal()
    for person, role in (("olga", Role.OPERATOR), ("vera", Role.VIEWER), ("ada", Role.ADMIN)):
        office.accounts.people.create(shell, person, [Grant(name, role)], SecretStr(PASSWORD))

    with sign_in(office, "vera") as viewer:
        assert viewer.get("/v1/session").json()["retailers"][name]
        assert viewer.post("/v1/rules/versions", json={"source": RULES}).status_code == 403
        assert viewer.get("/v1/rules", params={"retailer": "other"}).status_code == 404

    with sign_in(office, "olga") as operator:
        faults = operator.post("/v1/rules/check", json={"source": RULES + "    decision: hold\n"}).json()["faults"]
        assert faults == ["source:7: decision: named twice"]
        made = operator.post("/v1/rules/versions", json={"source": RULES, "note": "stricter"})
        assert made.status_code == 201, made.text
        version, tag = made.json()["rules_version"], operator.get("/v1/rules").headers["etag"]
        serving = {"version": version, "reason": "more fraud above 500"}
        assert operator.put("/v1/rules/serving", json=serving).status_code == 428
        assert operator.put("/v1/rules/serving", json=serving, headers={"If-Match": tag}).status_code == 200
        again = operator.put("/v1/rules/serving", json=serving, headers={"If-Match": tag})
        assert again.status_code == 412, "somebody changed it since"
        assert operator.get("/v1/rules").json()["serving"]["served_by"] == "olga"
        assert operator.get("/v1/audit").status_code == 403

    with sign_in(office, "ada") as admin:
        made = admin.post("/v1/tokens", json={"name": "till 1", "scopes": ["score"]})
        assert made.status_code == 201, made.text
        assert [each["name"] for each in admin.get("/v1/tokens").json()["items"]] == ["till 1"]
        assert made.json()["text"] not in admin.get("/v1/tokens").text
        assert admin.post("/v1/tokens", json={"name": "", "scopes": ["score"]}).status_code == 422
        ended = admin.delete(f"/v1/tokens/{made.json()['token']['token_id']}")
        assert ended.json()["revoked_at"] is not None
        trail = admin.get("/v1/audit").json()["items"]
        assert {(each["who_name"], each["action"]) for each in trail} >= {
            ("olga", "rules.serve"),
            ("ada", "tokens.make"),
            ("ada", "tokens.revoke"),
        }
        assert admin.delete("/v1/session").status_code == 204
        assert admin.get("/v1/session").status_code == 401
    said = capfd.readouterr()
    assert PASSWORD not in said.out + said.err
    assert not any(PASSWORD.encode() in file.read_bytes() for file in shop.folder.glob("*.db*"))


def test_whoever_is_not_who_they_say_learns_nothing(shop: Shop, office: LiveBackoffice) -> None:
    shell = find_shell_principal()
    person = office.accounts.people.create(shell, "ann", [Grant(EVERYWHERE, Role.ADMIN)], SecretStr(PASSWORD))
    headers = {"Origin": office.url, "X-Tillguard": "1"}

    def attempt(headers: dict[str, str], **body: str) -> httpx.Response:
        return httpx.post(f"{office.url}/v1/session", json=body, headers=headers, timeout=60)

    wrong = attempt(headers, name="ann", password="wrong-password-of-ann")
    nobody = attempt(headers, name="nobody", password="wrong-password-of-ann")
    assert (wrong.status_code, wrong.text) == (nobody.status_code, nobody.text) == (401, nobody.text)
    evil = attempt({"Origin": "https://evil.example", "X-Tillguard": "1"}, name="ann", password=PASSWORD)
    assert (evil.status_code, evil.json()["code"]) == (403, "other_site")
    link = office.accounts.sign_in.make_link(shell, person.person_id).get_secret_value()
    with sign_in(office, "", link=link) as admin:
        cookie = admin.headers["cookie"]
        assert admin.get("/v1/session").json()["name"] == "ann"
    other_site = {"Cookie": cookie, "Origin": "https://evil.example", "X-Tillguard": "1"}
    with httpx.Client(base_url=office.url, headers=other_site) as evil_page:
        assert evil_page.post("/v1/tokens", json={"name": "a", "scopes": ["score"]}).status_code == 403
    assert attempt(headers, link=link).status_code == 401, "a link is good once"
    with office.client("unknown", Scope.READ) as stranger:
        assert stranger.get("/v1/alarms", params={"retailer": shop.settings.retailer}).status_code == 404
