"""Whether a request that a cookie vouches for was meant by the person, or made by another site in the person's browser. Pure.

Requests with an access token need no check: no browser adds one by itself.
"""

import re
from collections.abc import Mapping

HEADER = "x-tillguard"
"""Any value: other sites cannot set it without being asked for permission first, which nobody gives them."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PORTS = {"http": 80, "https": 443}
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?(?:/.*)?", re.ASCII
)


def find_csrf_fault(method: str, headers: Mapping[str, str], public_url: str) -> str | None:
    """Why the request is refused, in a sentence; None where it is the person's own.

    Args:
        method: in capitals.
        headers: names in lower case.
        public_url: where browsers find the backoffice.
    """
    if method in SAFE:
        return None
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return "the request comes from another site"
    if site is None and (origin is None or _find_origin(origin) is None):
        return "the request does not say where it comes from: send the header Origin"
    if site is None and _find_origin(origin or "") != _find_origin(public_url):
        return "the request comes from another site; backoffice.public_url says which address is this one's"
    if not headers.get(HEADER):
        return f"the header {HEADER} is missing"
    return None


def _find_origin(url: str) -> tuple[str, str, int] | None:
    found = _URL.fullmatch(url.lower())
    return found and (found["scheme"], found["host"], int(found["port"] or _PORTS[found["scheme"]]))
