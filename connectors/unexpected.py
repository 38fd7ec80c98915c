"""What no rule foresaw becomes one sentence: no traceback reaches a user, and no word of an error that could quote a row.

The frames, without values and without the error's own text, go to the log at level debug.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from contract.errors import TillguardError, UnexpectedError

_LOG = structlog.get_logger()
_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (MemoryError, "the process has too little memory: give it more, or lower limits.in_flight_bytes"),
    (RecursionError, "a value is nested too deeply"),
)


@contextmanager
def guard(
    what: str, where: Callable[[], str] = lambda: "", *, besides: tuple[type[BaseException], ...] = ()
) -> Iterator[None]:
    """Raises UnexpectedError for anything that is no error of ours.

    Args:
        what: Who was at work, as `connector orders`.
        where: Says how far it had come, in a sentence; called only when something went wrong.
        besides: Errors that pass through, such as the command line's own.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, (TillguardError, ModuleNotFoundError, *besides)):
            raise
        frames = [f"{Path(f.filename).name}:{f.lineno}:{f.name}" for f in traceback.extract_tb(error.__traceback__)]
        _LOG.debug("unexpected", what=what, error=type(error).__name__, frames=frames)
        raise UnexpectedError(_sentence(what, error, frames[-1] if frames else "?", where())) from None


def _sentence(what: str, error: Exception, frame: str, where: str) -> str:
    hint = next((text for kind, text in _HINTS if isinstance(error, kind)), None)
    if hint is None and isinstance(error, OSError):
        hint = error.strerror
    reason = f"{type(error).__name__} at {frame}" + (f": {hint}" if hint else "")
    advice = "Set log.level to debug to see more, and report it; the data it met is not part of this message"
    return " ".join(part for part in (f"{what} met something unforeseen ({reason}).", where, advice) if part)
