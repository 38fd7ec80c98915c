"""Logs of a process: one line per event on standard error, JSON for machines or text for people. No secret is ever a field."""

import logging
import sys

import structlog

from contract.settings import LogSettings


class _StandardError:
    """Writes to what `sys.stderr` is at that moment.

    A line that nobody can take (a closed pipe, a full disk) is lost, and nothing else with it: no thread may end for a log.
    """

    def msg(self, message: str) -> None:
        try:
            sys.stderr.write(f"{message}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            return

    debug = info = warning = error = critical = exception = log = msg


def _is_news(record: logging.LogRecord) -> bool:
    """Not that this process was fenced: that ends it with an error of its own, which says so better."""
    return not any(name in record.getMessage() for name in ("ProducerFencedError", "InvalidProducerEpochError"))


def configure(settings: LogSettings) -> None:
    """Sets up structlog and the standard library's logging alike, so that libraries' warnings come in the same form."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    level = logging.getLevelName(settings.level)
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _StandardError(),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    # Its warnings are of its own retries and event loop; what they come to reaches us as an error.
    logging.getLogger("kafka").setLevel(max(level, logging.ERROR))
    for name in ("sender", "transaction_manager"):
        logging.getLogger(f"kafka.producer.{name}").addFilter(_is_news)
    logging.basicConfig(level=max(level, logging.WARNING), handlers=[handler], force=True)
