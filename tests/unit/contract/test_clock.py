from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.clock import EPOCH, ManualClock, SystemClock, from_epoch_ms, to_epoch_ms

START = datetime(2026, 11, 1, tzinfo=UTC)


def test_a_manual_clock_moves_both_readings_only_when_told() -> None:
    clock = ManualClock(START)
    assert (clock.now(), clock.monotonic_s()) == (START, 0.0)
    clock.advance(1.5)
    assert (clock.now(), clock.monotonic_s()) == (START + timedelta(seconds=1.5), 1.5)
    clock.advance(0)
    clock.advance(0.5)
    assert (clock.now(), clock.monotonic_s()) == (START + timedelta(seconds=2), 2.0)


def test_a_clock_does_not_run_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        ManualClock(START).advance(-1)


def test_the_machine_s_clock_says_its_zone_and_never_runs_backwards() -> None:
    clock = SystemClock()
    assert clock.now().tzinfo is UTC
    first = clock.monotonic_s()
    assert clock.monotonic_s() >= first


@given(st.integers(to_epoch_ms(datetime(1, 1, 2, tzinfo=UTC)), to_epoch_ms(datetime(9999, 12, 30, tzinfo=UTC))))
def test_milliseconds_survive_the_way_there_and_back(ms: int) -> None:
    assert to_epoch_ms(from_epoch_ms(ms)) == ms


@pytest.mark.parametrize(
    ("moment", "ms"),
    [
        (EPOCH, 0),
        (EPOCH + timedelta(microseconds=1999), 1),
        (EPOCH - timedelta(microseconds=1), -1),
        (datetime(1970, 1, 1, 14, tzinfo=timezone(timedelta(hours=14))), 0),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=23, minutes=59))), -62_135_683_140_000),
        (datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-23, minutes=-59))), 253_402_387_139_000),
    ],
)
def test_milliseconds_are_rounded_down_in_any_zone_and_at_the_ends_of_the_calendar(moment: datetime, ms: int) -> None:
    assert to_epoch_ms(moment) == ms


def test_a_moment_without_a_zone_is_a_programmer_s_error() -> None:
    with pytest.raises(TypeError):
        to_epoch_ms(datetime(2026, 1, 1))  # noqa: DTZ001 - the point of the test
