"""A projector as a process that is killed with -9 at an exact place, or ends once it has caught up: SETTINGS URL before|after|never."""

import os
import signal
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import yaml

from backoffice.projection import projector
from backoffice.projection.projector import Projector
from backoffice.projection.rows import RowWriter
from backoffice.projection.store import ReadModelStore
from contract.clock import SystemClock
from contract.settings import parse

BATCHES_BEFORE_DEATH = 3


def die_in(owner: type, method: str) -> None:
    """The method does what it does; its third call is the process's last."""
    original, calls = getattr(owner, method), iter(range(1, 1_000_000))

    def wrapped(*given: Any, **named: Any) -> Any:
        result = original(*given, **named)
        if next(calls) == BATCHES_BEFORE_DEATH:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, method, wrapped)


def main(file: str, url: str, moment: str) -> None:
    """`before`: the rows are written, and not committed. `after`: committed, and nobody knows."""
    projector.BATCH_MAX = 8
    if moment == "before":
        die_in(RowWriter, "apply")
    elif moment == "after":
        die_in(ReadModelStore, "write")
    settings = parse(yaml.safe_load(Path(file).read_text(encoding="utf-8")), where=file)
    stop, caught_up = Event(), Event()
    made = Projector(settings, lambda: ReadModelStore(url), SystemClock(), keep_days=3650)
    thread = Thread(target=made.run, args=(stop,))
    thread.start()
    while made.state.lag_records != 0:
        caught_up.wait(0.05)
    stop.set()
    thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
