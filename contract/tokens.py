"""Keyed tokens instead of personal data: HMAC-SHA256, separated by field, with the key's id in front.

Equal data gives equal tokens, so windows work; without the key nobody can try card numbers one by one. While a key rotates,
the token of the previous key goes along as an alias, so that windows stay warm.
"""

import hmac
import ipaddress
import re
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping

from contract.errors import ConfigurationError, InvalidEventError
from contract.settings import ConnectorSettings

TOKEN_BYTES = 18
"""144 bits of the HMAC: 24 base64 characters without padding; two of 10^12 values meet with probability 2e-20."""
_KEY_ID = re.compile(r"^[A-Za-z0-9_-]{1,16}$")
_CARD_NOISE = re.compile(r"[\s-]")
_PHONE_NOISE = re.compile(r"[\s()./-]")
_SPACE = re.compile(r"\s+")


def _email(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip().lower()


def _card(text: str) -> str:
    digits = _CARD_NOISE.sub("", text)
    return digits if digits.isdecimal() else text.strip()


def _phone(text: str) -> str:
    digits = _PHONE_NOISE.sub("", text)
    return "+" + digits[2:] if digits.startswith("00") else digits


def _ip(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise InvalidEventError("field_invalid", "ip: not an IPv4 or IPv6 address", "ip") from None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _address(text: str) -> str:
    kept = "".join(c if c.isalnum() else " " for c in unicodedata.normalize("NFKC", text).casefold())
    return _SPACE.sub(" ", kept).strip()


_NORMALISE: Mapping[str, Callable[[str], str]] = {
    "email": _email,
    "card": _card,
    "phone": _phone,
    "ip": _ip,
    "address": _address,
}


def normalise(field: str, text: str) -> str:
    """`text` in the one spelling that is tokenised; an empty result means that there is no value.

    Raises InvalidEventError for an ip that is none.
    """
    return _NORMALISE.get(field, str.strip)(text)


class _Key:
    """One key. Keeps the started HMAC of each field: a copy is cheaper than a new one, and keeps the interpreter's lock."""

    def __init__(self, key_id: str, key: bytes) -> None:
        self._id = key_id
        self._key = key
        self._started: dict[str, hmac.HMAC] = {}

    def make_token(self, field: str, normalised: str) -> str:
        """HMAC(key, field, zero byte, value), cut to TOKEN_BYTES."""
        started = self._started.get(field)
        if started is None:
            started = self._started[field] = hmac.new(self._key, field.encode() + b"\x00", "sha256")
        made = started.copy()
        made.update(normalised.encode("utf-8"))
        return f"{self._id}.{urlsafe_b64encode(made.digest()[:TOKEN_BYTES]).decode()}"


class Tokeniser:
    """Makes tokens `<key id>.<base64url>`. Pure; holds the keys, and is never printed or logged."""

    def __init__(self, keys: Mapping[str, bytes], key_id: str, previous_id: str | None = None) -> None:
        self._current = _Key(key_id, keys[key_id])
        self._previous = _Key(previous_id, keys[previous_id]) if previous_id is not None else None

    @property
    def rotates(self) -> bool:
        """Whether aliases by the previous key go along."""
        return self._previous is not None

    def make_token(self, field: str, normalised: str) -> str:
        """The token of a value that `normalise` gave; `field` keeps equal texts of different fields apart."""
        return self._current.make_token(field, normalised)

    def make_alias(self, field: str, normalised: str) -> str | None:
        """The token that the previous key gives; None while no key rotates."""
        return self._previous.make_token(field, normalised) if self._previous else None


def build_tokeniser(settings: ConnectorSettings) -> Tokeniser:
    """The tokeniser that a retailer's settings describe; raises ConfigurationError with every fault."""
    faults = []
    keys: dict[str, bytes] = {}
    for key_id, secret in settings.token_keys.items():
        if not _KEY_ID.match(key_id):
            faults.append(f"connectors.token_keys: the id {key_id!r} must be 1 to 16 letters, digits, _ or -")
        try:
            keys[key_id] = bytes.fromhex(secret.get_secret_value())
        except ValueError:
            faults.append(f"connectors.token_keys.{key_id}: not hex digits; make one with `openssl rand -hex 32`")
    if settings.token_key_id is None:
        faults.append(
            "connectors.token_key_id: names no key; personal data needs one (put the output of `openssl rand -hex 32` "
            "under connectors.token_keys.k1 and set token_key_id: k1)"
        )
    if settings.token_key_id is not None and settings.token_key_id == settings.token_previous_key_id:
        faults.append("connectors.token_previous_key_id: is the current key; leave it out while no key rotates")
    if faults or settings.token_key_id is None:
        raise ConfigurationError(faults)
    return Tokeniser(keys, settings.token_key_id, settings.token_previous_key_id)
