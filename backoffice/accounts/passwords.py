"""Passwords: what one must be like, and how it is kept (argon2id). No password is in a message, a log or a `repr`."""

import threading
import unicodedata
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type
from pydantic import SecretStr

from backoffice.refusals import FieldFault

LETTERS_MIN = 12
LETTERS_MAX = 256
AT_ONCE_MAX = 4
"""Hashes computed at once: each takes its memory, and strangers may ask for as many as they like."""


@dataclass(frozen=True, slots=True)
class HashCost:
    """What one hash costs; the defaults are OWASP's smallest for argon2id (Password Storage Cheat Sheet)."""

    memory_kib: int = 19_456
    passes: int = 2
    lanes: int = 1


DEFAULT_COST = HashCost()


class Passwords:
    """Hashes and verifies; used by any number of threads."""

    def __init__(self, cost: HashCost = DEFAULT_COST) -> None:
        self._hasher = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes, type=Type.ID
        )
        self._slots = threading.BoundedSemaphore(AT_ONCE_MAX)
        self._nobodys = self._hasher.hash("nobody's password, which no one can give")

    def hash(self, password: SecretStr) -> str:
        """What is kept: salt, cost and hash in one text."""
        with self._slots:
            return self._hasher.hash(_as_bytes(password))

    def verify(self, kept: str | None, password: SecretStr) -> bool:
        """Whether `password` is the one that `kept` was made of; without one, a hash is computed all the same, and the answer is no."""
        given = _as_bytes(password)
        with self._slots:
            try:
                self._hasher.verify(self._nobodys if kept is None else kept, given)
            except (VerificationError, InvalidHashError):
                return False
        return kept is not None

    def needs_rehash(self, kept: str) -> bool:
        """Whether it was made at another cost than today's."""
        return self._hasher.check_needs_rehash(kept)


def list_password_faults(password: SecretStr, name: str) -> list[FieldFault]:
    """Why it cannot be this person's password; empty where it can."""
    text = password.get_secret_value()
    if not LETTERS_MIN <= len(text) <= LETTERS_MAX:
        return [FieldFault("/password", "length", f"must have {LETTERS_MIN} to {LETTERS_MAX} letters")]
    if len(set(text)) < LETTERS_MIN // 2 or text.casefold() in (name, name * 2):
        return [FieldFault("/password", "guessable", "is too easy to guess: use a sentence or a password manager")]
    return []


def _as_bytes(password: SecretStr) -> bytes:
    """The same for each way that a keyboard writes an accent; a longer one than anybody has is cut, and so wrong."""
    text = unicodedata.normalize("NFC", password.get_secret_value()[: LETTERS_MAX + 1])
    return text.encode("utf-8", "surrogatepass")
