"""Where others' bytes are read and checked, an error of this program costs one record and never the process.

A record on a log is somebody else's. Reading it (decoding, signatures, sealed bodies) and checking what it holds against the
state change nothing that is kept; so where that fails in a way nobody foresaw, the record is dropped with the reason `defect`, counted,
logged and alarmed, and the state is as it was. A restarted process reads the same record, fails in the same way and drops it again.

What follows the checks is not covered: changing the state, deciding, appending, storing. An error there is this program's own, or
its disk's, and continuing would spread the damage. Broken promises (InvariantError), a lack of memory and errors of the operating
system pass through here also, since they say nothing about the record.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from contract.errors import TillguardError
from federation.refusals import EnvelopeRefusedError


@contextmanager
def translate_foreign_errors() -> Iterator[None]:
    """Turns an unforeseen error into EnvelopeRefusedError(defect), which names the error's class and nothing that the record holds."""
    try:
        yield
    except (TillguardError, MemoryError, OSError):
        raise
    except Exception as error:
        raise EnvelopeRefusedError("defect", f"{type(error).__name__} in {_place_of(error)}") from error


def _place_of(error: Exception) -> str:
    """The function in which it was raised, for whoever has to fix it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "?" if trace is None else f"{trace.tb_frame.f_globals.get('__name__', '?')}.{trace.tb_frame.f_code.co_name}"
