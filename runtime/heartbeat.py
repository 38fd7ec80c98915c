"""Tells on the status topic, every few seconds, that a process runs and how it is. Never blocks the process, never fails it.

What cannot be told is dropped: the next heartbeat says more. Whoever reads takes a process that is silent for gone.
"""

import os
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import structlog
from msgspec.structs import replace

from contract.clock import Clock
from contract.codec import encode
from contract.errors import TillguardError
from contract.status.message import TEXT_MAX, Condition, ProcessStatus, build_key, clip_sentences

LAST_WORD_S = 2.0
"""How long an ending process waits for its last heartbeat; one that Kafka does not take is not missed."""
UNDER_WAY_S = 0.5
END_WITHIN_S = 8.0
"""A look that hangs is left behind after so long."""

_LOG = structlog.get_logger()


class StatusOutlet(Protocol):
    """The status topic, as a heartbeat writes to it. Used by one thread."""

    def offer(self, key: bytes, value: bytes) -> None:
        """Hands over one record; drops it while an earlier one is under way. Blocks for some seconds at most.

        Raises TransientError where Kafka does not take it, or did not take the one before.
        """
        ...

    def settle(self, timeout_s: float) -> bool:
        """Waits until nothing is under way; False when `timeout_s` passed before."""
        ...

    def close(self) -> None:
        """Lets go of what it opened; never raises."""
        ...


class Speaker(NamedTuple):
    """Whose heartbeat it is."""

    retailer: str
    part: str
    version: str
    every_s: float


def name_process() -> str:
    """This process among all of a retailer's: the same for as long as it lives."""
    return f"{socket.gethostname()[:100]}-{os.getpid()}"


class Heartbeat:
    """A context manager: inside it the process tells how it is, and at its end that it stopped, and why if an error ends it."""

    def __init__(self, who: Speaker, look: Callable[[], Condition], outlet: StatusOutlet, clock: Clock) -> None:
        """`look` says how the process is now; it is called from the heartbeat's own thread and may block for some seconds."""
        self._who = who
        self._look = look
        self._outlet = outlet
        self._clock = clock
        self._process = name_process()
        self._started_at = clock.now()
        self._stop = threading.Event()
        self._failure: str | None = None
        self._complained = False
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, TillguardError):
            self.note_failure(str(error))
        elif isinstance(error, Exception):
            self.note_failure(f"something unforeseen: {type(error).__name__}; its log says more")
        self._stop.set()
        self._thread.join(END_WITHIN_S)

    def note_failure(self, reason: str) -> None:
        """Why the process ends: a sentence for its last heartbeat."""
        self._failure = reason

    def _run(self) -> None:
        try:
            self._tell(self._observe())
            while not self._stop.wait(self._who.every_s):
                self._tell(self._observe())
            self._say_last_word()
        finally:
            self._outlet.close()

    def _observe(self) -> Condition:
        try:
            found = self._look()
        except Exception as error:  # noqa: BLE001 - a fault of what is looked at must not end the process
            self._complain(error)
            return Condition(activity="starting", healthy=False, reasons=[f"cannot be told: {type(error).__name__}"])
        return replace(
            found,
            reasons=clip_sentences(found.reasons),
            warnings=clip_sentences(found.warnings),
            position=found.position[:TEXT_MAX],
        )

    def _tell(self, condition: Condition, *, stopped: bool = False) -> None:
        status = ProcessStatus(
            retailer=self._who.retailer,
            part=self._who.part,
            process=self._process,
            version=self._who.version,
            started_at=self._started_at,
            sent_at=self._clock.now(),
            every_s=self._who.every_s,
            condition=condition,
            stopped=stopped,
        )
        try:
            self._outlet.offer(build_key(status), encode(status))
        except Exception as error:  # noqa: BLE001 - whatever Kafka's client throws, the process continues
            self._complain(error)
        else:
            self._complained = False

    def _say_last_word(self) -> None:
        if self._complained or not self._outlet.settle(UNDER_WAY_S):
            return  # Kafka takes nothing, and an end must not wait for it: readers will miss this process all the same
        condition = self._observe()
        if self._failure is not None:
            condition = replace(condition, healthy=False, reasons=clip_sentences([self._failure]))
        self._tell(condition, stopped=True)
        self._outlet.settle(LAST_WORD_S)

    def _complain(self, error: Exception) -> None:
        """Once, until it works again."""
        if not self._complained:
            told = str(error) if isinstance(error, TillguardError) else type(error).__name__
            _LOG.warning("status_not_told", part=self._who.part, reason=told)
        self._complained = True
