"""Money: amounts travel as integers in the minor unit of their currency (ISO 4217), so that sums are exact."""

from collections.abc import Mapping
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

from contract.errors import InvalidEventError

# ISO 4217 lists the currencies whose minor unit is not a hundredth; every other active currency has two digits.
_EXPONENTS = {
    "BHD": 3, "BIF": 0, "CLF": 4, "CLP": 0, "DJF": 0, "GNF": 0, "IQD": 3, "ISK": 0, "JOD": 3, "JPY": 0, "KMF": 0,
    "KRW": 0, "KWD": 3, "LYD": 3, "OMR": 3, "PYG": 0, "RWF": 0, "TND": 3, "UGX": 0, "UYI": 0, "UYW": 4, "VND": 0,
    "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
}  # fmt: skip
AMOUNT_MINOR_MAX = 10**12
"""The largest amount that is believed (ten thousand million in a currency of hundredths); above it: dead letter."""


def get_exponent(currency: str) -> int:
    """Digits after the decimal point of `currency` (ISO 4217 code in capitals)."""
    return _EXPONENTS.get(currency, 2)


def to_minor(amount: Decimal | float | str, currency: str) -> int:
    """`amount` in major units as minor units, half to even.

    Raises InvalidEventError for NaN, non-numbers and what is above AMOUNT_MINOR_MAX in size (an exponent of a million
    would otherwise cost a million digits); the sign is kept for the caller to judge.
    """
    try:
        number = Decimal(str(amount))
        if not number.is_finite():
            raise InvalidEventError("amount_invalid", "the amount is not a finite number")
        if number.copy_abs() > AMOUNT_MINOR_MAX:
            raise InvalidEventError("amount_invalid", "the amount is beyond belief")
        return int(number.scaleb(get_exponent(currency)).to_integral_value(rounding=ROUND_HALF_EVEN))
    except InvalidOperation:
        raise InvalidEventError("amount_invalid", "the amount is not a number") from None


def convert_to_base_minor(amount_minor: int, currency: str, base_currency: str, rates: Mapping[str, float]) -> int:
    """`amount_minor` of `currency` in minor units of `base_currency`, rounded half to even.

    `rates[c]` is how many units (major) of the base currency one unit (major) of `c` is worth.
    Raises InvalidEventError("currency_unknown") where the rate is missing, and "amount_invalid" where the result is
    above AMOUNT_MINOR_MAX, so that no window sum can leave the exact integers.
    """
    if currency == base_currency:
        return amount_minor
    rate = rates.get(currency)
    if rate is None:
        raise InvalidEventError(
            "currency_unknown",
            f"no rate for currency {currency}; add it under `rates`, or make it the `base_currency`",
            "currency",
        )
    converted = amount_minor * rate * 10.0 ** (get_exponent(base_currency) - get_exponent(currency))
    if not converted <= AMOUNT_MINOR_MAX:
        raise InvalidEventError("amount_invalid", "amount_minor is beyond belief in the base currency", "amount_minor")
    return round(converted)
