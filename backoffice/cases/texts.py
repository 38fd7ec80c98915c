"""What people write: bounded, printable, and without a card's number. Pure."""

import re

from backoffice.refusals import FieldFault

NOTE_MAX = 2_000
COMMENT_MAX = 500
_DIGITS = re.compile(r"(?<!\d)(?:\d[ -]?){12,18}\d(?!\d)")


def find_fault(pointer: str, text: str, length_max: int) -> FieldFault | None:
    """Why `text` cannot be kept, or None."""
    if not text.strip() or len(text) > length_max:
        return FieldFault(pointer, "length", f"1 to {length_max} characters are needed")
    if not all(each.isprintable() or each in "\n\t" for each in text):
        return FieldFault(pointer, "characters", "holds characters that cannot be shown")
    if has_card_number(text):
        return FieldFault(pointer, "card_number", "seems to hold a card's number; name the card by its token")
    return None


def has_card_number(text: str) -> bool:
    """Whether 13 to 19 digits in it are a card's number, by their check digit (ISO/IEC 7812-1)."""
    return any(_is_card(re.sub(r"[ -]", "", each)) for each in _DIGITS.findall(text))


def _is_card(digits: str) -> bool:
    doubled = [int(each) * (2 if place % 2 else 1) for place, each in enumerate(reversed(digits))]
    return len(set(digits)) > 1 and sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0
