"""The currency that an amount or a column of currencies shows by a sign or a number instead of a code. Pure."""

import re
from collections.abc import Mapping

_CODES: Mapping[str, tuple[str, ...]] = {
    "€": ("EUR",), "£": ("GBP",), "₹": ("INR",), "₩": ("KRW",), "₽": ("RUB",), "₺": ("TRY",), "₴": ("UAH",),
    "₪": ("ILS",), "₫": ("VND",), "₱": ("PHP",), "฿": ("THB",), "₦": ("NGN",), "zł": ("PLN",), "Kč": ("CZK",),
    "Ft": ("HUF",), "Fr.": ("CHF",), "kr": ("SEK", "NOK", "DKK", "ISK"), "Rs": ("INR", "PKR", "LKR", "NPR", "MUR"),
    "¥": ("JPY", "CNY"), "US$": ("USD",), "CA$": ("CAD",), "C$": ("CAD",), "AU$": ("AUD",), "A$": ("AUD",),
    "NZ$": ("NZD",), "HK$": ("HKD",), "S$": ("SGD",), "R$": ("BRL",), "MX$": ("MXN",),
    "$": ("USD", "CAD", "AUD", "NZD", "SGD", "HKD", "TWD", "MXN", "ARS", "CLP", "COP", "UYU", "BRL"),
}  # fmt: skip
"""What each sign may mean, the likeliest first."""
_NUMBERS: Mapping[str, str] = {
    "978": "EUR", "840": "USD", "826": "GBP", "756": "CHF", "392": "JPY", "156": "CNY", "356": "INR", "752": "SEK",
    "578": "NOK", "208": "DKK", "985": "PLN", "203": "CZK", "348": "HUF", "124": "CAD", "036": "AUD", "36": "AUD",
    "986": "BRL", "484": "MXN", "949": "TRY", "702": "SGD", "344": "HKD", "554": "NZD", "710": "ZAR",
}  # fmt: skip
"""Numeric codes of ISO 4217, as card processors write them."""
_CODE = re.compile(r"(?<![A-Za-z])[A-Z]{3}(?![A-Za-z$])")


def find_currencies(text: str) -> tuple[str, ...]:
    """The codes that the sign or code in `text` may mean, the likeliest first; empty where there is none."""
    sign = next((sign for sign in sorted(_CODES, key=len, reverse=True) if sign in text), None)
    if sign is not None:
        return _CODES[sign]
    found = _CODE.search(text)
    return (found[0],) if found else ()


def find_code(text: str) -> str | None:
    """The likeliest code for what a column of currencies holds instead of a code: a sign or a number; None for others."""
    codes = _CODES.get(text.strip().removesuffix(".") if text.strip() in ("kr.", "Rs.") else text.strip())
    return codes[0] if codes else _NUMBERS.get(text.strip())
