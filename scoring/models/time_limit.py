"""A time limit for the model, without a change of threads: a watchdog tells ONNX Runtime to stop a run that is too long.

The caller computes in its own thread (handing over to another and back costs more than a small model), and ONNX Runtime
looks at the stop flag between the graph's steps. The watchdog looks every few milliseconds, so a limit may be passed by
that much.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

import onnxruntime

from scoring.ports import LateError, ModelFailedError

LOOK_EVERY_S = 0.005
LATE = "the model did not end in time"

T = TypeVar("T")


class _Running(NamedTuple):
    until_s: float
    options: onnxruntime.RunOptions


class TimeLimit:
    """Limits one run at a time of each thread that uses it; the watchdog starts with the first."""

    def __init__(self) -> None:
        self._running: dict[int, _Running] = {}
        """By thread; a copy of the values needs no lock, since nothing else runs while it is made."""
        self._watchdog: threading.Thread | None = None

    def __call__(self, call: Callable[[onnxruntime.RunOptions], T], timeout_s: float) -> T:
        """The result of `call`, which hands its options on to ONNX Runtime; raises LateError, ModelFailedError."""
        if timeout_s <= 0:
            raise LateError(LATE)
        if self._watchdog is None:  # should two threads find none, two watchdogs do no harm
            self._watchdog = threading.Thread(target=self._watch, name="model-watchdog", daemon=True)
            self._watchdog.start()
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4  # a stopped run is our decision; it needs no line on standard error
        thread = threading.get_ident()
        self._running[thread] = _Running(time.monotonic() + timeout_s, options)
        try:
            return call(options)
        except ModelFailedError:
            if options.terminate:
                raise LateError(LATE) from None
            raise
        finally:
            del self._running[thread]

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            now_s = time.monotonic()
            for running in list(self._running.values()):
                if now_s > running.until_s:
                    running.options.terminate = True
