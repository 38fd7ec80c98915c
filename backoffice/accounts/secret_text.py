"""Secrets that a browser holds: 256 random bits, shown once and kept as their SHA-256, like access tokens."""

import re
import secrets
from hashlib import sha256

from pydantic import SecretStr

_FORM = re.compile(r"[0-9a-f]{64}")


def make_secret() -> SecretStr:
    """A new one."""
    return SecretStr(secrets.token_hex(32))


def hash_secret(secret: SecretStr) -> str | None:
    """What is kept of it; None where it has not the form of one, and so is none."""
    text = secret.get_secret_value()
    return sha256(text.encode()).hexdigest() if _FORM.fullmatch(text) else None
