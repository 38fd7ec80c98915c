"""Dates and times of both servers: what the log packs and what SELECT writes are the same value, and a zero date is none."""

from datetime import date, timedelta
from typing import Any

import pytest

from connectors.mysql.columns import moments
from support.connector_parts import naive

HALF = naive(2026, 9, 30, 23, 59, 58)


def packed_moment(*parts: int) -> bytes:
    year, month, day, hour, minute, second = parts
    return (0x8000000000 | (year * 13 + month) << 22 | day << 17 | hour << 12 | minute << 6 | second).to_bytes(5, "big")


def test_a_day_has_15_bits_of_year_4_of_month_and_5_of_day() -> None:
    data = b"\xff" + (2026 << 9 | 12 << 5 | 31).to_bytes(3, "little")
    assert moments.read_day(data, 1) == (date(2026, 12, 31), 4)
    for year, month, day in ((0, 12, 31), (2026, 0, 31), (2026, 12, 0)):
        assert moments.read_day((year << 9 | month << 5 | day).to_bytes(3, "little"), 0) == (None, 3)


@pytest.mark.parametrize(
    ("digits", "fraction", "micro"),
    [
        (0, b"", 0), (1, b"\x32", 500_000), (2, b"\x32", 500_000), (3, b"\x04\xd2", 123_400), (4, b"\x04\xd2", 123_400),
        (5, b"\x01\xe2\x40", 123_456), (6, b"\x01\xe2\x40", 123_456),
    ],
)  # fmt: skip
def test_the_fraction_has_as_many_bytes_as_its_digits_need(digits: int, fraction: bytes, micro: int) -> None:
    data = b"\xff" + packed_moment(2026, 9, 30, 23, 59, 58) + fraction + b"\xff"
    assert moments.build_moment_reader(digits)(data, 1) == (HALF.replace(microsecond=micro), len(data) - 1)
    assert moments.compute_moment_size(digits, 5) == 5 + len(fraction)
    stamp = b"\xff" + (86_401).to_bytes(4, "big") + fraction
    expected = naive(1970, 1, 2, 0, 0, 1).replace(microsecond=micro)
    assert moments.build_timestamp_reader(digits)(stamp, 1) == (expected, len(stamp))


def test_zero_dates_are_no_value_and_dates_that_no_calendar_has_are_refused() -> None:
    read = moments.build_moment_reader(0)
    for year, month, day in ((0, 1, 1), (2026, 0, 1), (2026, 1, 0)):
        assert read(packed_moment(year, month, day, 1, 1, 1), 0) == (None, 5)
    with pytest.raises(ValueError, match="day"):
        read(packed_moment(2026, 2, 30, 0, 0, 0), 0)
    assert moments.build_timestamp_reader(0)(bytes(4), 0) == (None, 4)
    assert moments.build_timestamp_reader(6)(bytes(4) + b"\x00\x00\x01", 0) == (
        naive(1970, 1, 1, 0, 0, 0).replace(microsecond=1),
        7,
    )


@pytest.mark.parametrize(
    ("digits", "data", "found"),
    [
        (0, 0x800000, timedelta(0)),
        (0, 0x800000 + (838 << 12 | 59 << 6 | 58), timedelta(hours=838, minutes=59, seconds=58)),
        (0, 0x800000 - (1 << 12 | 2 << 6 | 3), -timedelta(hours=1, minutes=2, seconds=3)),
        (1, 0x80000000 + ((1 << 12) << 8 | 50), timedelta(hours=1, seconds=0.5)),
        (2, 0x80000000 - (3 << 8 | 50), -timedelta(seconds=3.5)),
        (4, 0x8000000000 + (3 << 16 | 1_234), timedelta(seconds=3, microseconds=123_400)),
        (6, 0x800000000000 - (59 << 24 | 999_999), -timedelta(seconds=59, microseconds=999_999)),
    ],
)
def test_a_duration_is_one_number_around_a_middle(digits: int, data: int, found: timedelta) -> None:
    width = 3 + (digits + 1) // 2
    assert moments.build_duration_reader(digits)(b"\xff" + data.to_bytes(width, "big"), 1) == (found, 1 + width)


def test_the_old_formats_of_mariadb_are_numbers_that_digits_write() -> None:
    assert moments.read_old_moment(b"\xff" + (20260930235958).to_bytes(8, "little"), 1) == (HALF, 9)
    assert moments.read_old_moment(bytes(8), 0) == (None, 8)
    assert moments.read_old_timestamp(b"\xff" + (86_401).to_bytes(4, "little"), 1) == (naive(1970, 1, 2, 0, 0, 1), 5)
    assert moments.read_old_timestamp(bytes(4), 0) == (None, 4)
    whole = timedelta(hours=838, minutes=59, seconds=58)
    assert moments.read_old_duration(b"\xff" + (8_385_958).to_bytes(3, "little", signed=True), 1) == (whole, 4)
    assert moments.read_old_duration((-10_203).to_bytes(3, "little", signed=True), 0) == (
        -timedelta(hours=1, minutes=2, seconds=3),
        3,
    )


@pytest.mark.parametrize("minutes", [6_000, 60])
def test_a_duration_with_more_than_59_minutes_or_seconds_is_refused(minutes: int) -> None:
    with pytest.raises(ValueError, match="not a time"):
        moments.read_old_duration(minutes.to_bytes(3, "little"), 0)
    moments.read_old_duration((minutes - 1 if minutes == 60 else 5_900).to_bytes(3, "little"), 0)


@pytest.mark.parametrize(
    ("convert", "text", "found"),
    [
        (moments.convert_day, b"2026-09-30", date(2026, 9, 30)),
        (moments.convert_day, b"0000-00-00", None),
        (moments.convert_moment, b"2026-09-30 23:59:58", HALF),
        (moments.convert_moment, b"2026-09-30 23:59:58.5", HALF.replace(microsecond=500_000)),
        (moments.convert_moment, b"2026-09-30 23:59:58.000001", HALF.replace(microsecond=1)),
        (moments.convert_moment, b"2026-09-00 10:00:00", None),
        (moments.convert_duration, b"-838:59:59.25", -timedelta(hours=838, minutes=59, seconds=59.25)),
        (moments.convert_duration, b"1:02:03", timedelta(hours=1, minutes=2, seconds=3)),
    ],
)
def test_what_select_writes(convert: Any, text: bytes, found: object) -> None:
    assert convert(text) == found


@pytest.mark.parametrize(
    ("convert", "text"),
    [
        (moments.convert_day, b"2026-9-30"), (moments.convert_day, b"2026-13-01"), (moments.convert_day, b"\xff"),
        (moments.convert_moment, b"2026-09-30T23:59:58"), (moments.convert_moment, b"2026-09-30 24:00:00"),
        (moments.convert_duration, b"10:60:00"), (moments.convert_duration, b"10:00:60"), (moments.convert_duration, b"noon"),
    ],
)  # fmt: skip
def test_what_select_never_writes_is_refused(convert: Any, text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - a date that no calendar has is told in Python's words
        convert(text)
