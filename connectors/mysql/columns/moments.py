"""Dates and times as rows of the binary log and answers to SELECT hold them. Pure.

A zero date, or one with a zero month or day, is "no value" (None) both ways. One that no calendar has raises ValueError.
"""

import re
from datetime import UTC, date, datetime, timedelta

from connectors.mysql.columns.packed import Read

_DATE = re.compile(r"(\d{1,4})-(\d\d)-(\d\d)")
_DATETIME = re.compile(r"(\d{1,4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_TIME = re.compile(r"(-?)(\d{1,3}):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
_MIDDLE = (0x800000, 0x80000000, 0x8000000000, 0x800000000000)
"""What a TIME of zero is stored as, by the bytes of its fraction."""


def _fraction_size(digits: int) -> int:
    return (digits + 1) // 2


def compute_moment_size(digits: int, whole: int) -> int:
    """Bytes of a moment whose seconds have this many `digits`, and whose `whole` part has this many bytes."""
    return whole + _fraction_size(digits)


def _microseconds(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(data[at : at + size], "big") * (1_000_000, 10_000, 100, 1)[size] if size else 0


def read_day(data: bytes, at: int) -> tuple[object, int]:
    """Reads a DATE: 15 bits of year, 4 of month, 5 of day."""
    packed = int.from_bytes(data[at : at + 3], "little")
    return _date(packed >> 9, packed >> 5 & 15, packed & 31), at + 3


def build_moment_reader(digits: int) -> Read:
    """Reads a DATETIME(digits): year and month in base 13, day, hour, minute, second, then the fraction."""
    size = _fraction_size(digits)
    end = 5 + size

    def read(data: bytes, at: int) -> tuple[object, int]:
        packed = int.from_bytes(data[at : at + 5], "big") - 0x8000000000
        months, days = packed >> 22, packed >> 17 & 31
        found = _datetime(
            months // 13, months % 13, days, packed >> 12 & 31, packed >> 6 & 63, packed & 63,
            _microseconds(data, at + 5, size),
        )  # fmt: skip
        return found, at + end

    return read


def build_timestamp_reader(digits: int) -> Read:
    """Reads a TIMESTAMP(digits): seconds since 1970 in UTC, then the fraction; zero is the zero date."""
    size = _fraction_size(digits)
    end = 4 + size

    def read(data: bytes, at: int) -> tuple[object, int]:
        seconds = int.from_bytes(data[at : at + 4], "big")
        fraction = _microseconds(data, at + 4, size)
        found = _EPOCH + timedelta(seconds=seconds, microseconds=fraction) if seconds or fraction else None
        return found, at + end

    return read


def build_duration_reader(digits: int) -> Read:
    """Reads a TIME(digits): hour, minute, second and fraction, as one number around a middle."""
    size = _fraction_size(digits)
    width, middle = 3 + size, _MIDDLE[size]
    shift, unit = 8 * size, (1, 10_000, 100, 1)[size]

    def read(data: bytes, at: int) -> tuple[object, int]:
        packed = int.from_bytes(data[at : at + width], "big") - middle
        sign, packed = (-1, -packed) if packed < 0 else (1, packed)
        clock, fraction = packed >> shift, packed & ((1 << shift) - 1)
        found = _timedelta(sign, clock >> 12 & 1023, clock >> 6 & 63, clock & 63, fraction * unit)
        return found, at + width

    return read


def read_old_moment(data: bytes, at: int) -> tuple[object, int]:
    """Reads a DATETIME of MariaDB's old format: the number that its digits write."""
    days, clock = divmod(int.from_bytes(data[at : at + 8], "little"), 1_000_000)
    months, day_ = divmod(days, 100)
    hours, seconds = divmod(clock, 10_000)
    found = _datetime(months // 100, months % 100, day_, hours, seconds // 100, seconds % 100, 0)
    return found, at + 8


def read_old_timestamp(data: bytes, at: int) -> tuple[object, int]:
    """Reads a TIMESTAMP of MariaDB's old format."""
    seconds = int.from_bytes(data[at : at + 4], "little")
    return _EPOCH + timedelta(seconds=seconds) if seconds else None, at + 4


def read_old_duration(data: bytes, at: int) -> tuple[object, int]:
    """Reads a TIME of MariaDB's old format: the number that its digits write."""
    number = int.from_bytes(data[at : at + 3], "little", signed=True)
    hours, rest = divmod(abs(number), 10_000)
    return _timedelta(-1 if number < 0 else 1, hours, rest // 100, rest % 100, 0), at + 3


def convert_day(text: bytes) -> object:
    """A DATE, as SELECT writes it."""
    found = _DATE.fullmatch(text.decode("ascii"))
    if found is None:
        raise ValueError("not a date")
    year, month, day_ = map(int, found.groups())
    return _date(year, month, day_)


def convert_moment(text: bytes) -> object:
    """A DATETIME or TIMESTAMP, as SELECT writes it."""
    found = _DATETIME.fullmatch(text.decode("ascii"))
    if found is None:
        raise ValueError("not a moment")
    *whole, fraction = found.groups("")
    return _datetime(*map(int, whole), int(fraction.ljust(6, "0")))


def convert_duration(text: bytes) -> object:
    """A TIME, as SELECT writes it."""
    found = _TIME.fullmatch(text.decode("ascii"))
    if found is None:
        raise ValueError("not a time")
    minus, hours, minutes, seconds, fraction = found.groups("")
    return _timedelta(-1 if minus else 1, int(hours), int(minutes), int(seconds), int(fraction.ljust(6, "0")))


def _date(year: int, month: int, day_: int) -> date | None:
    return date(year, month, day_) if year and month and day_ else None


def _datetime(*parts: int) -> datetime | None:
    """Year, month, day, hour, minute, second, microsecond."""
    return datetime(*parts) if all(parts[:3]) else None  # type: ignore[arg-type] # noqa: DTZ001 - as the column holds it


def _timedelta(sign: int, hours: int, minutes: int, seconds: int, micro: int) -> timedelta:
    if minutes > 59 or seconds > 59:
        raise ValueError("not a time")
    return sign * timedelta(hours=hours, minutes=minutes, seconds=seconds, microseconds=micro)
