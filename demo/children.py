"""The connectors, workers and trainers of the demonstration: processes that it starts, watches and ends, by their ids.

Each runs in a session of its own, so that Ctrl-C reaches the demonstration alone, which then stops them in order. Where the
system has `setpriv`, the kernel ends them should the demonstration itself be killed.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from contract.errors import TillguardError

STOP_TIMEOUT_S = 15.0
LOG_LINES_SHOWN = 12


class DemoError(TillguardError):
    """The demonstration cannot continue; the message says what to look at."""


@dataclass(slots=True)
class Child:
    """One process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def read_tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-LOG_LINES_SHOWN:])


class Children:
    """All processes started here. A context manager: leaving it ends them all."""

    def __init__(self, logs: Path) -> None:
        """`logs` is made when missing; each child appends to `<name>.log`, emptied first."""
        self._logs = logs
        self._children: list[Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(
        self,
        name: str,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        module: str = "tillguard",
    ) -> Child:
        """Starts `tillguard ARGUMENTS`, or another `module`, with `environment` besides this process' own.

        Call from the main thread: the kernel's guard follows the thread that started it.
        """
        log = self._logs / f"{name}.log"
        guard = shutil.which("setpriv")
        command = [sys.executable, "-m", module, *arguments]
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                [guard, "--pdeathsig", "TERM", "--", *command] if guard else command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(environment or {})},
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raises DemoError when a process has ended that should be running, or failed."""
        for child in self._children:
            code = child.process.poll()
            if code is not None and code != 0:
                raise DemoError(
                    f"{child.name} ended with exit code {code}; the end of {child.log}:\n{child.read_tail()}"
                )

    def has_ended(self, child: Child) -> bool:
        """Whether `child` has ended well; raises DemoError when it or another has failed."""
        self.check()
        return child.process.poll() == 0

    def stop(self) -> None:
        """Asks all to end, and ends by force those that have not after a while. Safe to call twice."""
        for child in self._children:
            if child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        for child in self._children:
            try:
                child.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.process.kill()
                child.process.wait()
        self._children.clear()
