"""Requests that another site makes in a person's browser are refused."""

import pytest

from backoffice.accounts.csrf import find_csrf_fault

URL = "https://desk.example.org"
OWN = {"x-tillguard": "1"}


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_may_come_from_anywhere(method: str) -> None:
    assert find_csrf_fault(method, {"sec-fetch-site": "cross-site"}, URL) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "https://behind-a-proxy.internal"},
        {"origin": "https://desk.example.org"},
        {"origin": "https://desk.example.org:443"},
        {"origin": "https://DESK.example.org"},
    ],
)
def test_the_own_page_may_write_with_the_own_header_and_not_without(headers: dict[str, str]) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert find_csrf_fault(method, headers | OWN, URL) is None
        assert "x-tillguard is missing" in (find_csrf_fault(method, headers, URL) or "")
        assert find_csrf_fault(method, headers | {"x-tillguard": ""}, URL) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "cross-site", "origin": URL},
        {"sec-fetch-site": ""},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://desk.example.org"},
        {"origin": "https://desk.example.org:8443"},
        {"origin": "https://desk.example.org.evil.example"},
        {"origin": "https://desk.example.org@evil.example"},
        {"origin": "https://desk.example.org:port"},
    ],
)
def test_every_other_origin_is_refused_even_with_the_header(headers: dict[str, str]) -> None:
    assert find_csrf_fault("POST", headers | OWN, URL) is not None


def test_a_url_with_a_path_and_a_port_is_the_same_origin() -> None:
    assert find_csrf_fault("POST", {"origin": "http://127.0.0.1:8484", **OWN}, "http://127.0.0.1:8484/desk") is None
