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

from contract.errors import TillguardError
from scoring.models.onnx_model import ModelFailedError

LOOK_EVERY_S = 0.005

T = TypeVar("T")


class LateError(TillguardError):
    """The model did not end in time."""

    def __init__(self) -> None:
        super().__init__("the model did not end in time")


class _Running(NamedTuple):
    until_s: float
    options: onnxruntime.RunOptions


class TimeLimit:
    """Limits one run at a time. Used by one thread."""

    def __init__(self) -> None:
        self._running: _Running | None = None
        self._thread: threading.Thread | None = None

    def __call__(self, call: Callable[[onnxruntime.RunOptions], T], timeout_s: float) -> T:
        """The result of `call`, which hands its options on to ONNX Runtime; raises LateError, ModelFailedError."""
        if timeout_s <= 0:
            raise LateError
        if self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="model-watchdog", daemon=True)
            self._thread.start()
        options = onnxruntime.RunOptions()
        options.log_severity_level = 4  # a stopped run is our decision; it needs no line on standard error
        self._running = _Running(time.monotonic() + timeout_s, options)
        try:
            return call(options)
        except ModelFailedError:
            if options.terminate:
                raise LateError from None
            raise
        finally:
            self._running = None

    def _watch(self) -> None:
        while True:
            time.sleep(LOOK_EVERY_S)
            running = self._running
            if running is not None and time.monotonic() > running.until_s:
                running.options.terminate = True
