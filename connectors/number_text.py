"""Numbers and amounts as people write them: € 12,50, $1,299.00, 1.234,56, (12.00), 12.00-. Pure.

Which sign is the decimal one is a setting and never guessed from a value: 1.234 is a thousand to some and little more than one
to others.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from functools import cache

Parse = Callable[[str], Decimal | None]
"""Gives None for text that is no number of this form."""

_CURRENCY = r"(?:[A-Z]{0,3}[$\u00a2-\u00a5\u0e3f\u20a0-\u20c0\ufdfc]|[A-Z]{3}|kr\.?|zł|Kč|Ft|Fr\.|Rs\.?)"
_DASHES = "[-\u2013\u2014]{0,2}"
"""Behind the decimal sign of whole amounts, as in 12,- and 12.--"""
_BLANKS = re.compile("[\u00a0\u2007\u2009\u202f]")
_APOSTROPHES = re.compile("[\u2019\u02bc`]")


@cache
def build_number_parser(decimal: str, thousands: str | None) -> Parse:
    """Reads numbers with this decimal sign and these marks between thousands (also lakhs: 1,23,456)."""
    whole = r"\d+"
    if thousands is not None:
        mark = re.escape(thousands)
        whole = rf"\d{{1,3}}(?:{mark}\d{{2,3}})*{mark}\d{{3}}|\d+"
    point = re.escape(decimal)
    number = rf"(?:(?P<number>(?:{whole})(?:{point}\d+)?|{point}\d+)|(?P<even>{whole}){point}{_DASHES})"
    form = re.compile(
        rf"(?P<open>\()?\s*(?P<minus>[-+\u2212])?\s*(?:{_CURRENCY})?\s*(?P<inner>[-+\u2212])?\s*{number}\s*(?P<behind>[-\u2212])?\s*(?:{_CURRENCY})?\s*(?P<close>\))?"
    )

    def parse(text: str) -> Decimal | None:
        plain = _APOSTROPHES.sub("'", _BLANKS.sub(" ", text)).strip()
        found = form.fullmatch(plain)
        if found is None or (found["open"] is None) != (found["close"] is None):
            return None
        digits = found["number"] or found["even"]
        digits = digits.replace(thousands, "") if thousands else digits
        value = Decimal(digits.replace(decimal, "."))
        signs = [
            sign for sign in (found["open"], found["minus"], found["inner"], found["behind"]) if sign not in (None, "+")
        ]
        return None if len(signs) > 1 else -value if signs else value

    return parse
