"""How an access token is written: `tg_<retailer>_<64 digits>`, in the sandbox `tg_<retailer>_sandbox_<64 digits>`. Pure.

A token is 256 random bits, so a plain SHA-256 of it can be kept: there is nothing to guess, unlike a password, which needs a slow
hash. A slow one here would cost every request of a checkout more than the verdict itself.
"""

import re
from hashlib import sha256
from typing import NamedTuple

from contract.sections.section import NAME

SECRET_BYTES = 32
_PARTS = re.compile(rf"tg_(?P<retailer>{NAME.strip('^$')})_(?P<sandbox>sandbox_)?(?P<secret>[0-9a-f]{{64}})")


class TokenClaim(NamedTuple):
    """What a token says of itself, to be believed only once its hash was found."""

    retailer: str
    sandbox: bool


def format_token(retailer: str, secret: bytes, *, sandbox: bool) -> str:
    """The token as it is shown once; `secret` are SECRET_BYTES of chance."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a token takes {SECRET_BYTES} bytes")
    return f"tg_{retailer}_{'sandbox_' if sandbox else ''}{secret.hex()}"


def parse_token(text: str) -> TokenClaim | None:
    """What `text` claims to be; None where no token looks so."""
    found = _PARTS.fullmatch(text)
    return TokenClaim(found["retailer"], found["sandbox"] is not None) if found else None


def hash_token(text: str) -> str:
    """What is kept of a token: its SHA-256 in 64 hexadecimal digits."""
    return sha256(text.encode()).hexdigest()
