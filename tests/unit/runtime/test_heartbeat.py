"""A heartbeat tells how a process is, and never disturbs it."""

import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from contract.clock import ManualClock
from contract.codec import Decoder
from contract.errors import ConfigurationError, TransientError
from contract.status.message import REASONS_MAX, TEXT_MAX, Condition, ProcessStatus
from runtime.heartbeat import Heartbeat, Speaker
from support.live_worker import until

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
WELL = Condition(activity="collecting", healthy=True)


class MemoryOutlet:
    """Keeps what it is offered; `away` refuses it, `stuck` never confirms it."""

    def __init__(self, *, away: bool = False, stuck: bool = False) -> None:
        self.away = away
        self.stuck = stuck
        self.told: list[tuple[bytes, ProcessStatus]] = []
        self.refused = 0
        self.closed = False
        self.spoke = threading.Event()

    def offer(self, key: bytes, value: bytes) -> None:
        self.spoke.set()
        if self.away:
            self.refused += 1
            raise TransientError("no Kafka broker answers")
        self.told.append((key, Decoder(ProcessStatus).decode(value)))

    def settle(self, timeout_s: float) -> bool:
        return not self.stuck

    def close(self) -> None:
        self.closed = True


def heartbeat(
    outlet: MemoryOutlet, look: Callable[[], Condition] = lambda: WELL, *, every_s: float = 3600.0
) -> Heartbeat:
    return Heartbeat(Speaker("acme", "connector:orders", "1.2.3", every_s), look, outlet, ManualClock(NOON))


def test_a_process_tells_who_and_how_it_is_at_once_and_that_it_stopped_at_its_end() -> None:
    outlet = MemoryOutlet()
    with heartbeat(outlet):
        assert outlet.spoke.wait(10)
    (key, first), (_, last) = outlet.told
    assert key == f"connector:orders/{first.process}".encode()
    assert first.process.endswith(f"-{os.getpid()}")
    assert (first.retailer, first.version, first.started_at, first.sent_at) == ("acme", "1.2.3", NOON, NOON)
    assert (first.condition, first.stopped) == (WELL, False)
    assert (last.condition, last.stopped) == (WELL, True)
    assert outlet.closed


def test_it_speaks_again_and_again() -> None:
    outlet = MemoryOutlet()
    with heartbeat(outlet, every_s=0.001):
        until(lambda: len(outlet.told) > 3, "some heartbeats")
    assert [status.stopped for _, status in outlet.told].count(True) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConfigurationError(["binlog.000031 is purged"]), "binlog.000031 is purged"),
        (KeyError("4111 1111 1111 1111"), "something unforeseen: KeyError; its log says more"),
    ],
)
def test_the_last_word_names_the_error_that_ended_the_process_and_no_data(error: Exception, reason: str) -> None:
    outlet = MemoryOutlet()
    with pytest.raises(type(error)), heartbeat(outlet):
        raise error
    last = outlet.told[-1][1]
    assert (last.stopped, last.condition.healthy, last.condition.reasons) == (True, False, [reason])


def test_an_interrupt_is_an_orderly_end() -> None:
    outlet = MemoryOutlet()
    with pytest.raises(KeyboardInterrupt), heartbeat(outlet):
        raise KeyboardInterrupt
    assert outlet.told[-1][1].condition == WELL


def test_a_broker_that_is_away_harms_nothing_and_is_not_waited_for_at_the_end() -> None:
    outlet = MemoryOutlet(away=True)
    with heartbeat(outlet):
        assert outlet.spoke.wait(10)
    assert outlet.refused == 1
    assert outlet.closed


def test_a_record_that_nobody_confirms_is_not_followed_by_a_last_word() -> None:
    outlet = MemoryOutlet(stuck=True)
    with heartbeat(outlet):
        assert outlet.spoke.wait(10)
    assert [status.stopped for _, status in outlet.told] == [False]


def test_a_look_that_fails_is_told_instead_of_ending_anything() -> None:
    def fail() -> Condition:
        raise KeyError("ann@example.com")

    outlet = MemoryOutlet()
    with heartbeat(outlet, fail):
        assert outlet.spoke.wait(10)
    assert {status.condition.reasons[0] for _, status in outlet.told} == {"cannot be told: KeyError"}


def test_whatever_a_process_says_fits_the_message() -> None:
    wordy = Condition(
        activity="streaming", healthy=False, reasons=["x" * 9999] * 99, warnings=["x" * 9999] * 99, position="x" * 9999
    )
    outlet = MemoryOutlet()
    with heartbeat(outlet, lambda: wordy):
        assert outlet.spoke.wait(10)
    told = outlet.told[0][1].condition
    assert (len(told.reasons), len(told.warnings), len(told.position)) == (REASONS_MAX, REASONS_MAX, TEXT_MAX)
