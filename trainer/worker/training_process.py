"""The process that trains next to the one that takes in labels.

A process of its own: TensorFlow takes seconds to load and hundreds of megabytes, learning keeps a core busy for minutes, and a
crash or a full memory there must not stop the labels here. It lives on between trainings, and is made again after some, so
that what TensorFlow does not give back stays bounded. It ends when its parent does, however that ends.
"""

import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import structlog

from contract.errors import TillguardError
from contract.settings import Settings
from runtime import logs
from trainer.learning.training_attempt import Attempt, learn

TRAININGS_MAX = 25
"""By one process."""
ENDS_WITHIN_S = 10.0
NICENESS = 5
"""Scoring may run on the same machine, and a checkout waits for it."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt that ended with an error: nothing new serves."""

    reason: str


Answer = Attempt | Failed


class Learner:
    """A handle on that process. Used by one thread; nothing here waits but `close`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._done = 0
        self.busy = False

    def warm_up(self) -> None:
        """Starts the process, so that the first training need not wait for TensorFlow."""
        self._living()

    def begin(self) -> None:
        """Begins an attempt; only while not `busy`."""
        if self.busy:
            raise RuntimeError("an attempt is under way")
        self._living().send("learn")
        self.busy = True

    def take_answer(self) -> Answer | None:
        """What became of the attempt, once; None while it continues."""
        if not self.busy or self._pipe is None or self._process is None:
            return None
        try:
            if not self._pipe.poll():
                return None if self._process.is_alive() else self._lost()
            found: Answer = self._pipe.recv()
        except (EOFError, OSError):
            return self._lost()
        self.busy = False
        self._done += 1
        if self._done >= TRAININGS_MAX:
            self.close()
        return found

    def abandon(self, reason: str) -> Failed:
        """Ends an attempt that takes too long."""
        self.close()
        return Failed(reason)

    def close(self) -> None:
        """Ends the process, within seconds; what it had not published is not published."""
        if self._process is not None:
            self._process.terminate()
            self._process.join(ENDS_WITHIN_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process.close()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None
        self._done, self.busy = 0, False

    def _living(self) -> Connection:
        if self._process is not None and not self._process.is_alive():
            self.close()
        if self._process is None or self._pipe is None:
            context = get_context("spawn")  # a fork would take over threads' locks in any state
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(self._settings, theirs), name="learner", daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe

    def _lost(self) -> Failed:
        code = None if self._process is None else self._process.exitcode
        self.close()
        return Failed(f"the training process ended with code {code}; was it killed, or memory full?")


def _serve(settings: Settings, pipe: Connection) -> None:
    """The other process: makes an attempt each time it is asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to both; the parent ends this one
    os.nice(NICENESS)
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    logs.configure(settings.log)
    from trainer.learning import training  # noqa: F401, PLC0415 - loads TensorFlow before it is needed

    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send(_attempt(settings))


def _attempt(settings: Settings) -> Answer:
    try:
        return learn(settings)
    except TillguardError as error:
        return Failed(str(error))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # in the midst of whatever it does: nothing is published by half
