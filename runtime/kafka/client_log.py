"""Kafka clients' own log lines, through the process's logging and not more often than a person can read.

A broker that is away makes every client complain several times a second; one line in ten seconds says as much.
"""

import logging
import time
from collections.abc import Callable

AGAIN_AFTER_S = 10.0
LIBRDKAFKA_FORMAT = "%s [%s] %s"


class Seldom(logging.Filter):
    """Lets a kind of line through once in `again_after_s`.

    A kind is a text before its arguments are filled in; of librdkafka's lines the first argument (`FAIL`, `REQTMOUT` …).
    """

    def __init__(self, again_after_s: float = AGAIN_AFTER_S, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._again_after_s = again_after_s
        self._monotonic_s = monotonic_s
        self._due_s: dict[object, float] = {}
        """By kind; a library has a few dozen."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is shown."""
        kind: object = record.msg
        if kind == LIBRDKAFKA_FORMAT and isinstance(record.args, tuple) and record.args:
            kind = record.args[0]
        now_s = self._monotonic_s()
        if now_s < self._due_s.get(kind, now_s):
            return False
        self._due_s[kind] = now_s + self._again_after_s
        return True


def get_client_logger(client_id: str) -> logging.Logger:
    """The logger of one librdkafka client; lines are written when the client is polled."""
    logger = logging.getLogger(f"librdkafka.{client_id}")
    if not logger.filters:
        logger.addFilter(Seldom())
    return logger


def quieten_loggers(prefix: str) -> None:
    """The same for the loggers of a library that is imported already."""
    for name in list(logging.root.manager.loggerDict):
        if name == prefix or name.startswith(f"{prefix}."):
            logger = logging.getLogger(name)
            if not any(isinstance(known, Seldom) for known in logger.filters):
                logger.addFilter(Seldom())
