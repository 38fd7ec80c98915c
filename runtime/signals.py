"""How a process is asked to stop."""

import signal
from threading import Event


def catch_stop_signals() -> Event:
    """Set by SIGTERM and SIGINT; takes over both for the whole process."""
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
