"""How the values of a column are written: which formats of time and which signs of numbers fit all of them. Pure.

For `connector new`, which proposes, and `connector check`, which says what would fit where the connector file does not.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from connectors.number_text import build_number_parser
from connectors.time_text import parse_by_pattern
from connectors.values import as_time
from contract.errors import InvalidEventError

_DATES = (
    "%Y-%m-%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
    "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%d-%m-%y", "%m-%d-%y", "%d-%b-%Y", "%d-%b-%y", "%d %b %Y", "%b %d %Y",
    "%b %d, %Y", "%d %B %Y", "%B %d, %Y", "%a, %d %b %Y", "%d/%b/%Y", "%y-%m-%d", "%y/%m/%d", "%y.%m.%d", "%d%b%Y",
    "%A, %B %d, %Y", "%A, %d %B %Y",
)  # fmt: skip
_TIMES = (
    "%H:%M:%S", "%H:%M", "%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%H:%M:%S.%f", "%H.%M", "%H.%M.%S", "%H.%M.%S.%f",
    "%I.%M.%S.%f %p", "%I.%M.%S %p", "%Hh%M", "%H:%M Uhr",
)  # fmt: skip
_DIGITS = ("%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d", "%d%m%Y", "%m%d%Y", "%y%m%d", "%d%m%y", "%m%d%y")
"""Dates of digits alone, as numbers or as text."""
_LOGGED = ("%a %b %d %H:%M:%S %Y", "%a %b %d %H:%M:%S %Z %Y", "%a %b %d %H:%M:%S %z %Y", "%a %b %d %Y %H:%M:%S GMT%z")
"""Of programs: asctime, date, Ruby and JavaScript, the last with the zone's name in brackets behind it."""
_EPOCHS = ("epoch_s", "epoch_ms", "epoch_us", "epoch_ns")
_PARTS = re.compile(
    r"(?P<date>.+?)(?:(?P<join>, | at |[ T:-])(?P<time>\d{1,2}[:.h]\d{2}.*?)"
    r"(?P<zone> ?(?:Z|(?![AP]M)[A-Z]{3,4}|[A-Z][a-z]+/[A-Za-z_/]+|[+-]\d{2}:?\d{2}))?)?"
)
_BEHIND = re.compile(r" \([^)]*\)$")
_TIME_OF_DAY = re.compile(r"\d{1,2}[:.]\d{2}([:.]\d{2}(\.\d+)?)?( ?[AaPp][Mm])?")
_BELIEVED = (datetime(2000, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
CENTS_MIN = 20
"""Fewer whole numbers may be so by chance."""
FORMATS_MAX = 3
"""A column in more formats than these is not one that a mapping could save."""


class TimeForm(NamedTuple):
    """How all values of a column can be read as times."""

    formats: tuple[str, ...]
    """The fewest that together fit every value; usually one."""
    swappable: bool
    """Whether day and month could be the other way round: no day in the column is above 12."""


class NumberForm(NamedTuple):
    """How all values of a column can be read as numbers."""

    decimal: str | None
    thousands: str | None
    """Both None: plainly."""
    ambiguous: bool
    """Whether the only sign in the values could be the decimal one as well as the one between thousands."""
    whole: bool = False
    """Whether all values are whole numbers, many enough and large enough to be cents."""


def find_time_form(values: Sequence[object]) -> TimeForm | None:
    """What fits every value that is there; None where nothing does, or where there is no value."""
    left = [value for value in values if value is not None and value != ""]
    formats: list[str] = []
    swappable = False
    while left and len(formats) < FORMATS_MAX:
        fitting = {form: [value for value in left if not can_read_time(value, form)] for form in _candidates(left[0])}
        if not fitting:
            return None
        form = min(
            fitting,
            key=lambda each: (
                len(fitting[each]),
                bool(formats) and _order(each) != _order_of(formats),
                _spread(left, each),
            ),
        )
        swapped = _swapped(form)
        swappable |= swapped != form and swapped in fitting and len(fitting[swapped]) == len(fitting[form])
        formats.append(form)
        left = fitting[form]
    return TimeForm(tuple(formats), swappable) if formats and not left else None


def _spread(values: Sequence[object], form: str) -> tuple[bool, float]:
    """How unlikely a format is among others that fit: whether its times are not in order, and their span in seconds."""
    times = [moment for value in values if (moment := _moment(value, form)) is not None]
    disordered = any(later < earlier for earlier, later in pairwise(times))
    return disordered, (max(times) - min(times)).total_seconds() if times else 0.0


def can_read_time(value: object, form: str) -> bool:
    """Whether `form` reads `value` as a time that is believed."""
    moment = _moment(value, form)
    return moment is not None and _BELIEVED[0] <= moment < _BELIEVED[1]


def _moment(value: object, form: str) -> datetime | None:
    try:
        return as_time("", value, UTC, form)
    except InvalidEventError:
        return None


def is_day(value: object) -> bool:
    """Whether `value` is a day without a time of day."""
    found = _PARTS.fullmatch(str(value).strip())
    return found is not None and found["time"] is None and any(_parses(found["date"], form) for form in _DATES)


def is_time_of_day(value: object) -> bool:
    """Whether `value` is a time of day without a day."""
    return bool(_TIME_OF_DAY.fullmatch(str(value).strip()))


def _candidates(value: object) -> Iterator[str]:
    if isinstance(value, datetime) or can_read_time(value, "iso"):
        yield "iso"
    yield from (form for form in (*_EPOCHS, *_DIGITS) if can_read_time(value, form))
    if not isinstance(value, str):
        return
    text = " ".join(value.split())
    behind = _BEHIND.search(text)
    yield from (form for base in _LOGGED if can_read_time(text, form := base + (behind[0] if behind else "")))
    found = _PARTS.fullmatch(text)
    if found is None:
        return
    zone = "" if found["zone"] is None else found["zone"][: -len(found["zone"].strip())] + _zone(found["zone"].strip())
    times = [form for form in _TIMES if found["time"] and _parses(found["time"], form)]
    for date in (form for form in _DATES if _parses(found["date"], form)):
        yield from ([f"{date}{found['join']}{time}{zone}" for time in times] if found["time"] else [f"{date}{zone}"])


def _zone(text: str) -> str:
    return "%z" if text == "Z" or text[0] in "+-" else "%Z"


def _parses(text: str, form: str) -> bool:
    try:
        parse_by_pattern(text, form)
    except ValueError:
        return False
    return True


def _swapped(form: str) -> str:
    return form.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")


def _order(form: str) -> bool | None:
    """Whether the day comes first; None where the format does not say."""
    return (
        form.index("%d") < form.index("%m") if "%d" in form and "%m" in form and form[:2] not in ("%Y", "%y") else None
    )


def _order_of(formats: Sequence[str]) -> bool | None:
    return next((order for form in formats if (order := _order(form)) is not None), None)


_THREES = re.compile(r"\D*\d{1,3}(?:([.,])\d{3})(?:\1\d{3})*\D*")
_NUMBER_FORMS = (
    (".", None), (",", None), (".", ","), (",", "."), (".", " "), (",", " "), (".", "'"), (",", "'"),
)  # fmt: skip


def find_number_form(values: Sequence[object]) -> NumberForm | None:
    """The first form that reads every value that is there as a number; None where none does, or where there is no value."""
    texts = [value.strip() for value in values if isinstance(value, str) and value.strip()]
    given = [value for value in values if value is not None and value != ""]
    if not given or len(texts) + sum(isinstance(value, int | float) for value in given) < len(given):
        return NumberForm(None, None, ambiguous=False, whole=_may_be_cents(given)) if given and not texts else None
    in_groups = [text for text in texts if "." in text or "," in text]
    ambiguous = bool(in_groups) and all(_THREES.fullmatch(text) for text in in_groups)
    if all(_is_plain(text) for text in texts):
        return NumberForm(None, None, ambiguous, _may_be_cents(given))
    fitting = [form for form in _NUMBER_FORMS if all(build_number_parser(*form)(text) is not None for text in texts)]
    if ambiguous:
        # a price has rarely three digits behind its decimal sign
        fitting.sort(key=lambda form: form[1] is None)
    return NumberForm(fitting[0][0], fitting[0][1], ambiguous) if fitting else None


def _may_be_cents(values: Sequence[object]) -> bool:
    texts = [str(value).strip() for value in values]
    if len(texts) < CENTS_MIN or not all(text.isdecimal() for text in texts):
        return False
    # prices without cents are mostly round
    return median(map(int, texts)) >= 100 and sum(text.endswith("0") for text in texts) < len(texts) / 2


def _is_plain(text: str) -> bool:
    try:
        return float(text) == float(text) or text.lower() == "nan"
    except ValueError:
        return False
