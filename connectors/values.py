"""Turns what a database column holds into what a canonical field takes. Pure.

Every fault is an InvalidEventError that names the field and the rule, never the value. `None` means "no value".
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from connectors.time_text import count_digits, parse_by_pattern, parse_iso
from contract.codec import DOCUMENT_BYTES_MAX
from contract.errors import InvalidEventError
from contract.money import AMOUNT_MINOR_MAX, to_minor


class _Absent:
    """The type of ABSENT."""


ABSENT = _Absent()
"""A column or path that the row does not have at all; None is one that it has, empty."""


class Unusable(NamedTuple):
    """Stands in a row for a value that its source could not read; whoever reads the field meets the fault, and nobody else."""

    reason: str
    """A code of contract.dead_letters.REASONS."""
    detail: str


class _Untold:
    """The type of UNTOLD."""


UNTOLD = _Untold()
"""A column that the row has, but of which the source does not tell the value (a log of partial rows)."""


class UntoldError(InvalidEventError):
    """A field's column is not in the log. `optional` does not help: the row has a value, and nobody knows which."""

    def __init__(self, field: str) -> None:
        super().__init__(
            "malformed",
            f"{field}: the log does not tell this column (a session writes with binlog_row_image=MINIMAL or NOBLOB); "
            "`tillguard dead-letters retry` reads the whole row",
        )


class PaddedBytes(bytes):
    """Bytes of a column of fixed length: zero bytes at their end fill it up and mean nothing."""

    __slots__ = ()


INTEGER_BITS_MAX = 256
"""No database column holds more; a document could."""
UUID_BYTES = 16
_HEX = "0x"
_TRUE = frozenset(("1", "true", "t", "yes", "y"))
_FALSE = frozenset(("0", "false", "f", "no", "n"))
_WHOLE = re.compile(r"([+-]?\d+)[.,]0+")
_EPOCH_UNITS = {"epoch_s": 1, "epoch_ms": 1_000, "epoch_us": 1_000_000, "epoch_ns": 1_000_000_000}
DAYS_BEFORE_EVENT = "days_before_event"
TIME_FORMATS = ("iso", *_EPOCH_UNITS, DAYS_BEFORE_EVENT)
"""Named formats of time fields; anything with a % is a strptime format."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def get_at_path(values: Mapping[str, object], name: str) -> object:
    """The value under `name`: a column of exactly that name, else a dotted path into nested documents or JSON text."""
    value = values.get(name, ABSENT)
    if value is not ABSENT or "." not in name:
        return value
    found: object = values
    for part in name.split("."):
        found = _step(found, part)
        if found is ABSENT or found is None:
            return found
    return found


def _step(container: object, part: str) -> object:
    if isinstance(container, Unusable | _Untold):
        return container
    if isinstance(container, str | bytes):
        container = _parsed(container)
    if isinstance(container, Mapping):
        return container.get(part, ABSENT)
    if isinstance(container, list) and part.isdecimal() and len(part) < 6:
        index = int(part)
        return container[index] if index < len(container) else ABSENT
    return ABSENT


def _parsed(text: str | bytes) -> object:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return ABSENT


def as_text(field: str, value: object) -> str | None:
    """`value` as text without blanks at its ends: numbers, UUIDs and object ids as they are written; empty text and NaN are no value."""
    text = as_exact_text(field, value)
    return None if text is None else text.strip() or None


def as_exact_text(field: str, value: object) -> str | None:
    """As `as_text`, with the blanks: what names a row forever must not fall together with what names another."""
    text = _written(field, value)
    return None if text is None or not text.strip() else check_text(field, text)


def as_key(value: object) -> str | None:
    """A row's key as dead letters show it and `decode_key` reads it: exact text, or the hex digits of bytes that are no text."""
    if isinstance(value, PaddedBytes):
        value = bytes(value).rstrip(b"\x00")
    # what looks like hex digits is written in hex digits, so that no two keys look alike
    if isinstance(value, bytes) and (value.startswith(_HEX.encode()) or not _is_text(value)):
        return _HEX + value.hex()
    return as_exact_text("key", value)


def as_id(field: str, value: object, form: str) -> object:
    """Bytes of an id in the notation `form` (connectors.config.fields.IdFormat); what is no bytes passes, except for the letters of a UUID."""
    if not isinstance(value, bytes | bytearray | memoryview):
        if form == "hex" or not isinstance(value, str):
            return value
        try:
            return str(UUID(value))
        except ValueError:
            raise InvalidEventError("field_invalid", f"{field}: not a UUID") from None
    data = bytes(value)
    if form == "hex":
        return data.hex()
    if len(data) != UUID_BYTES:
        raise InvalidEventError("field_invalid", f"{field}: not the {UUID_BYTES} bytes of a UUID; is it `format: hex`?")
    if form == "uuid_swapped":
        data = data[4:8] + data[2:4] + data[:2] + data[8:]
    return str(UUID(bytes=data))


def decode_key(text: str) -> bytes:
    """The bytes that `as_key` wrote as `text`; raises ValueError where it writes none so."""
    return bytes.fromhex(text.removeprefix(_HEX)) if text.startswith(_HEX) else text.encode()


def _is_text(data: bytes) -> bool:
    try:
        return data.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


def require_usable(field: str, value: object) -> object:
    """`value`, unless its source could not read it or did not tell it."""
    if isinstance(value, Unusable):
        raise InvalidEventError(value.reason, f"{field}: {value.detail}")
    if value is UNTOLD:
        raise UntoldError(field)
    return value


def _written(field: str, value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Mapping | list | tuple | set | frozenset):
        raise InvalidEventError("field_invalid", f"{field}: expected one value, found a nested document or list")
    write = next((write for kinds, write in _WRITERS if isinstance(value, kinds)), None)
    return str(value) if write is None else write(field, value)


def _bounded(field: str, value: object) -> object:
    # Python refuses to write out integers of more than 4,300 digits
    if isinstance(value, int) and value.bit_length() > INTEGER_BITS_MAX:
        raise InvalidEventError("field_invalid", f"{field}: a number of more than {INTEGER_BITS_MAX} bits")
    return value


def check_text(field: str, text: str) -> str:
    """`text`, unless it is larger than a whole message may be or was not valid text at the source."""
    if len(text) > DOCUMENT_BYTES_MAX:
        raise InvalidEventError("oversized", f"{field}: longer than {DOCUMENT_BYTES_MAX} characters")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        # sources decode with surrogateescape, so a lone surrogate is a byte that was no text
        raise InvalidEventError("encoding", f"{field}: text that is not valid UTF-8") from None
    return text


def _decoded(field: str, data: bytes) -> str:
    if len(data) > DOCUMENT_BYTES_MAX:
        raise InvalidEventError("oversized", f"{field}: longer than {DOCUMENT_BYTES_MAX} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        fault = f"{field}: bytes that are not valid UTF-8; where they are an id, say `format: uuid` or `format: hex`"
        raise InvalidEventError("encoding", fault) from None


def _duration_text(value: timedelta) -> str:
    """A time of day or a duration as databases write it: -26:03:04.5 has more hours than a day."""
    micro = abs(value) // timedelta(microseconds=1)
    seconds, micro = divmod(micro, 1_000_000)
    fraction = f".{micro:06}".rstrip("0") if micro else ""
    return (
        f"{'-' if value < timedelta(0) else ''}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{fraction}"
    )


def _float_text(value: float) -> str | None:
    if math.isnan(value):
        return None
    # pandas and spreadsheets store whole ids as floats
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


_WRITERS: tuple[tuple[Any, Callable[[str, Any], str | None]], ...] = (
    (PaddedBytes, lambda field, value: _decoded(field, bytes(value).rstrip(b"\x00"))),
    ((bytes, bytearray, memoryview), lambda field, value: _decoded(field, bytes(value))),
    (bool, lambda _, value: "true" if value else "false"),
    (float, lambda _, value: _float_text(value)),
    (date, lambda _, value: value.isoformat()),
    (timedelta, lambda _, value: _duration_text(value)),
    (int, lambda field, value: str(_bounded(field, value))),
)


def as_decimal(field: str, value: object, *, reason: str = "field_invalid") -> Decimal | None:
    """`value` as a finite number; None stays None. Text is read as a number with a decimal point."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str | bytes):
        to_decimal: Callable[[], Decimal] | None = getattr(value, "to_decimal", None)
        if to_decimal is None:
            raise InvalidEventError(reason, f"{field}: not a number")
        value = to_decimal()
    if isinstance(value, bytes):
        value = _decoded(field, value)
    try:
        number = Decimal(str(_bounded(field, value)).strip()) if not isinstance(value, Decimal) else value
    except InvalidOperation:
        raise InvalidEventError(reason, f"{field}: not a number") from None
    if not number.is_finite():
        raise InvalidEventError(reason, f"{field}: not a finite number")
    return number


def as_money(field: str, value: object, currency: str, unit: str) -> int | None:
    """`value` (in `unit`: major or minor) in minor units of `currency`; raises amount_invalid for what no price can be."""
    number = as_decimal(field, value, reason="amount_invalid")
    if number is None:
        return None
    if number < 0:
        raise InvalidEventError("amount_invalid", f"{field}: negative; a refund is no purchase, leave it out")
    if number > AMOUNT_MINOR_MAX:
        # before any arithmetic: 1e999999 would take forever to write out
        raise InvalidEventError("amount_invalid", f"{field}: beyond belief")
    if unit == "major":
        minor = to_minor(number, currency)
    elif number != number.to_integral_value():
        raise InvalidEventError("amount_invalid", f"{field}: not a whole number of minor units; is it `unit: major`?")
    else:
        minor = int(number)
    if minor > AMOUNT_MINOR_MAX:
        raise InvalidEventError("amount_invalid", f"{field}: beyond belief")
    return minor


def as_integer(field: str, value: object) -> int | None:
    """`value` as a whole number; NaN is no value."""
    if isinstance(value, float) and math.isnan(value):
        return None
    number = as_decimal(field, value)
    if number is None:
        return None
    if abs(number) > AMOUNT_MINOR_MAX or number != number.to_integral_value():
        raise InvalidEventError("field_invalid", f"{field}: not a whole number in range")
    return int(number)


def as_seconds(field: str, value: object) -> float | None:
    """`value` as seconds to the millisecond, so that a float column reads the same by SELECT and from the binlog."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, timedelta):
        return round(value.total_seconds(), 3)
    number = as_decimal(field, value)
    if number is not None and abs(number) > AMOUNT_MINOR_MAX:
        raise InvalidEventError("field_invalid", f"{field}: out of range")
    return None if number is None else round(float(number), 3)


def as_boolean(field: str, value: object) -> bool | None:
    """`value` as true or false: 1/0 (also 1.0/0.0 and 1,0/0,0), true/false, t/f, yes/no, y/n; None stays None."""
    if value is None or isinstance(value, bool):
        return value
    text = as_text(field, value)
    if text is None:
        return None
    word = strip_zeros(text.lower())
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise InvalidEventError("field_invalid", f"{field}: neither true nor false; list what it holds under `values`")


def strip_zeros(text: str) -> str:
    """`text` without the zeros behind its point: writers of tables turn a column of whole numbers with gaps into 1.0, 0.0."""
    found = _WHOLE.fullmatch(text)
    return found[1] if found else text


def as_time(field: str, value: object, zone: tzinfo, form: str, event_time: datetime | None = None) -> datetime | None:
    """`value` as a UTC time; naive times are in `zone`, numbers and text are read by `form` (TIME_FORMATS or strptime)."""
    try:
        moment = _time(field, value, form, event_time)
        if moment is None:
            return None
        return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)
    except (OverflowError, ValueError):
        raise InvalidEventError("field_invalid", f"{field}: not a time of format `{form}`") from None


def _time(field: str, value: object, form: str, event_time: datetime | None) -> datetime | None:
    if value is None or isinstance(value, datetime):
        # pandas' missing time is a datetime that equals nothing, not even itself
        return value if value == value else None  # noqa: PLR0124
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001 - the zone follows
    if form in _EPOCH_UNITS or form == DAYS_BEFORE_EVENT:
        return _counted(field, value, form, event_time)
    text = _time_text(field, value, count_digits(form))
    if text is None:
        return None
    return parse_by_pattern(text, form) if "%" in form else parse_iso(text)


def _time_text(field: str, value: object, digits: int | None) -> str | None:
    """`value` as text; a whole number is one where a time of this many digits is expected, such as 20260901."""
    if isinstance(value, bool) or not isinstance(value, str | bytes | int | float | Decimal):
        raise InvalidEventError("field_invalid", f"{field}: not a time")
    if not isinstance(value, str | bytes):
        if digits is None:
            told = "a number needs `format: epoch_s`, `epoch_ms` or one of digits alone, such as %Y%m%d"
            raise InvalidEventError("field_invalid", f"{field}: not a time; {told}")
        text = as_text(field, value)
        return None if text is None else strip_zeros(text).zfill(digits)
    text = as_text(field, value)
    return text if text is None or digits is None else strip_zeros(text)


def _counted(field: str, value: object, form: str, event_time: datetime | None) -> datetime | None:
    if isinstance(value, float) and math.isnan(value):
        return None
    number = as_decimal(field, value)
    if number is None:
        return None
    if abs(number) > 10**19:
        raise InvalidEventError("field_invalid", f"{field}: out of range")
    if form != DAYS_BEFORE_EVENT:
        return _EPOCH + timedelta(microseconds=int(number * 1_000_000 / _EPOCH_UNITS[form]))
    if event_time is None:
        raise InvalidEventError("field_invalid", f"{field}: days_before_event needs the event's own time")
    return event_time - timedelta(days=float(number))
