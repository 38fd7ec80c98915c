"""Librdkafka's own log lines, through the process's logging and not more often than a person can read.

A broker that is away makes every client complain several times a second; one line in ten seconds says as much.
"""

import logging
import time
from collections.abc import Callable

AGAIN_AFTER_S = 10.0


class Seldom(logging.Filter):
    """Lets a kind of line through once in `again_after_s`; librdkafka's first argument is the kind (`FAIL`, `REQTMOUT` …)."""

    def __init__(self, again_after_s: float = AGAIN_AFTER_S, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._again_after_s = again_after_s
        self._monotonic_s = monotonic_s
        self._due_s: dict[object, float] = {}
        """By kind; librdkafka has a few dozen kinds."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is shown."""
        kind = record.args[0] if isinstance(record.args, tuple) and record.args else record.msg
        now_s = self._monotonic_s()
        if now_s < self._due_s.get(kind, now_s):
            return False
        self._due_s[kind] = now_s + self._again_after_s
        return True


def client_logger(client_id: str) -> logging.Logger:
    """The logger of one librdkafka client; lines are written when the client is polled."""
    logger = logging.getLogger(f"librdkafka.{client_id}")
    if not logger.filters:
        logger.addFilter(Seldom())
    return logger
