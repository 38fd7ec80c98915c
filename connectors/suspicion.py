"""Finds personal data that a mapping would let through, by looking at a few mapped transactions. Pure.

A help for `connector check`, not a guard: it knows e-mail addresses, card numbers and network addresses by their looks.
"""

import ipaddress
import re
from collections.abc import Callable, Sequence

from contract.events import Transaction

_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_FIELDS = (
    "transaction_id", "customer", "device", "coupon", "terminal", "channel", "payment_method", "category",
)  # fmt: skip
_CARD_DIGITS = range(13, 20)


def find_suspicions(transactions: Sequence[Transaction]) -> list[str]:
    """A sentence for each plain field whose values look like personal data in every row that has one (two at least)."""
    found = []
    for field in _FIELDS:
        values = [value for transaction in transactions if (value := getattr(transaction, field)) is not None]
        looks = next((name for name, test in _LOOKS.items() if len(values) > 1 and all(map(test, values))), None)
        if looks is not None:
            found.append(f"field {field} looks like {looks}; add `tokenise: true`, or map another column")
    return found


def _is_card(text: str) -> bool:
    digits = re.sub(r"[\s-]", "", text)
    return digits.isdecimal() and len(digits) in _CARD_DIGITS and has_luhn_digit(digits)


def has_luhn_digit(digits: str) -> bool:
    """Whether the check digit of a card number is right (ISO/IEC 7812)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


_LOOKS: dict[str, Callable[[str], bool]] = {
    "e-mail addresses": lambda text: bool(_EMAIL.match(text)),
    "card numbers": _is_card,
    "network addresses": _is_ip,
}
