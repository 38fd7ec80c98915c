"""A log line that nobody can take is lost, and nothing else with it."""

import errno
import io
import logging
import sys
from collections.abc import Iterator

import pytest
import structlog

from contract.settings import LogSettings
from runtime import logs

log = structlog.get_logger()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_a_closed_standard_error_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    logs.configure(LogSettings(format="json", level="INFO"))
    log.info("taken", where="first")
    assert '"where": "first"' in first.getvalue()
    first.close()
    log.info("lost")
    monkeypatch.setattr(sys, "stderr", second)
    log.warning("taken", where="second")
    assert second.getvalue().count("\n") == 1
    assert "lost" not in second.getvalue()


def test_what_the_kafka_library_says_of_its_own_event_loop_is_no_news(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = io.StringIO()
    monkeypatch.setattr(sys, "stderr", taken)
    logs.configure(LogSettings(format="json", level="INFO"))
    logging.getLogger("kafka.net.selector").warning("a task ran for 0.1 s")
    assert taken.getvalue() == ""
    logging.getLogger("kafka.net.selector").error("refused")
    assert "refused" in taken.getvalue()


class _FullDisk(io.StringIO):
    asked = 0

    def write(self, text: str) -> int:
        self.asked += 1
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    full = _FullDisk()
    monkeypatch.setattr(sys, "stderr", full)
    logs.configure(LogSettings(format="json", level="INFO"))
    log.info("lost")
    assert full.asked == 1


def test_what_the_kafka_library_says_of_a_fence_is_left_to_the_error_that_it_becomes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = io.StringIO()
    monkeypatch.setattr(sys, "stderr", taken)
    logs.configure(LogSettings(format="json", level="INFO"))
    library = logging.getLogger("kafka.producer.sender")
    library.error("%s: Aborting producer batches due to fatal error: %s", "producer", "[Error 90] ProducerFencedError")
    assert taken.getvalue() == ""
    library.error("%s: Error sending produce request to node %d: %s", "producer", 1, "[Error 29] refused")
    assert "refused" in taken.getvalue()
