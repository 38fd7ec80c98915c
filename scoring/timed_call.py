"""A call that may take too long, given a time limit: it runs in a thread of its own, and the caller goes on without it.

ONNX Runtime lets go of the interpreter while it computes, so the waiting caller wakes in time. While a call that was given
up still runs, further ones are refused at once instead of queueing behind it.
"""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class LateError(Exception):
    """The call did not end in time, or one before it still runs."""


class TimedCall(Generic[T]):
    """One thread that makes one call at a time. Used by one caller."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[tuple[Callable[[], T], SimpleQueue[T | BaseException]]] = SimpleQueue()
        self._running = threading.Event()
        self._thread: threading.Thread | None = None

    def __call__(self, call: Callable[[], T], timeout_s: float) -> T:
        """The call's result or exception; raises LateError after `timeout_s`."""
        if self._running.is_set():
            raise LateError
        if self._thread is None:
            # A daemon: a call that never ends must not keep the process from ending.
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        answer: SimpleQueue[T | BaseException] = SimpleQueue()
        self._running.set()
        self._calls.put((call, answer))
        try:
            result = answer.get(timeout=max(timeout_s, 0.0))
        except Empty:
            raise LateError from None
        if isinstance(result, BaseException):
            raise result
        return result

    def _run(self) -> None:
        while True:
            call, answer = self._calls.get()
            result: T | BaseException
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
                result = error
            self._running.clear()
            answer.put(result)
