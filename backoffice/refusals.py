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
