"""What the backoffice refuses, by kind: the door makes a status of each, the command line a sentence."""

from collections.abc import Sequence
from typing import NamedTuple

from contract.errors import ConfigurationError, TillguardError


class FieldFault(NamedTuple):
    """What is wrong with one field; never its value."""

    pointer: str
    """A JSON pointer, such as `/expires_at`."""
    code: str
    text: str


class InvalidInputError(ConfigurationError):
    """What was given cannot be used; `fields` lists every fault by field."""

    def __init__(self, fields: Sequence[FieldFault]) -> None:
        super().__init__([f"{each.pointer.lstrip('/').replace('/', '.')}: {each.text}" for each in fields])
        self.fields = tuple(fields)


class UnknownObjectError(TillguardError):
    """There is no such thing, or none that the one who asks may know of."""


class StateConflictError(TillguardError):
    """It cannot be done as things stand; `code` says why to a machine."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class NotAllowedError(TillguardError):
    """Whoever asks has no right to it."""


class NotSignedInError(TillguardError):
    """Name, password, link or session are not right; the words never say which."""

    def __init__(self) -> None:
        super().__init__("sign-in failed: name or password is wrong, or the link was used or is too old")


class WaitRequiredError(TillguardError):
    """Asked for too often: `wait_s` says when it is looked at again."""

    def __init__(self, wait_s: int) -> None:
        super().__init__(f"too many attempts: wait {wait_s} s")
        self.wait_s = wait_s
