"""Times as people write them: by a strptime pattern, with names of zones and a. m./p. m.; or ISO 8601. Pure.

Everything that does not fit raises ValueError.
"""

import re
from datetime import datetime, timedelta, timezone, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_OFFSETS_H = {
    "UTC": 0, "GMT": 0, "WET": 0, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3,
    "EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7,
}  # fmt: skip
"""Zones by the short names that mean one zone only. CST, IST and BST mean several, so they are refused."""
_ZONE = re.compile(r"(?<![A-Za-z])(?:[A-Z][A-Za-z_]+(?:/[A-Za-z][A-Za-z0-9_+-]*)+|[A-Z]{3,4})(?![A-Za-z])")
_HALF_DAY = re.compile(r"(?i)\b([ap])\.\s?m\.")
_DIGITS_ONLY = re.compile(r"(?:%[YymdHMS])+")


def parse_by_pattern(text: str, form: str) -> datetime:
    """`text` read by the strptime pattern `form`; with a time zone where the text names one."""
    width = count_digits(form)
    if width is not None and len(text) != width:
        # strptime would read 1092026 by %d%m%Y as the tenth of September
        raise ValueError
    if "%p" in form:
        text = _HALF_DAY.sub(r"\1m", text)
    if "%Z" not in form:
        return datetime.strptime(text, form)  # noqa: DTZ007 - the caller knows the zone
    names = [found for found in _ZONE.finditer(text) if _is_zone(found[0])]
    if not names:
        raise ValueError
    name = names[-1]
    moment = datetime.strptime(f"{text[: name.start()]}UTC{text[name.end() :]}", form)  # noqa: DTZ007 - follows
    return moment.replace(tzinfo=_zone(name[0]))


def parse_iso(text: str) -> datetime:
    """`text` of ISO 8601, which may end in the name of a zone in brackets, as Java writes it."""
    stem, bracket, name = text.partition("[")
    moment = datetime.fromisoformat(stem)
    return moment if moment.tzinfo is not None or not bracket else moment.replace(tzinfo=_zone(name.rstrip("]")))


@cache
def count_digits(form: str) -> int | None:
    """How many digits a text of this pattern has, where it is made of digits alone."""
    if not _DIGITS_ONLY.fullmatch(form):
        return None
    return 2 * form.count("%") + 2 * form.count("%Y")


def _is_zone(name: str) -> bool:
    return "/" in name or name in _OFFSETS_H


def _zone(name: str) -> tzinfo:
    if name in _OFFSETS_H:
        return timezone(timedelta(hours=_OFFSETS_H[name]))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):
        raise ValueError from None
