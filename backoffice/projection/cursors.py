"""Cursors: where a page ends, as text that a client gives back. Pure."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec

from contract.errors import TillguardError

CURSOR_BYTES_MAX = 1_024


class CursorError(TillguardError):
    """A cursor is none of ours, or of another list."""


def write(*place: str | int | None) -> str:
    """The cursor of a place in a list."""
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read(cursor: str, form: Any) -> Any:
    """The place, of the type `form`; raises CursorError for anything else."""
    try:
        return msgspec.json.decode(_decode(cursor[:CURSOR_BYTES_MAX]), type=form)
    except (ValueError, msgspec.MsgspecError, RecursionError):
        raise CursorError("the cursor is not one that this list gave; begin without one") from None


def _decode(cursor: str) -> bytes:
    return urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
