"""Draws the things that name people: cards, devices, addresses. All invented; cards start with a test prefix.

Fraudsters' identities come from the same functions as customers', so that no format gives a fraud away.
"""

import numpy as np

_STREETS = ("Linden", "Harbour", "Mill", "Station", "Orchard", "Church", "River", "Garden", "Market", "Forest")
_TOWNS = ("Westholm", "Birkfeld", "Sandau", "Oldenmoor", "Kirchtal", "Neuburg", "Seewald", "Rosental")
_MAILERS = ("mail.example", "post.example", "inbox.example", "letters.example")

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
"""Twice a digit, its own two digits added."""


def draw_customer(rng: np.random.Generator) -> str:
    """An account number of seven digits."""
    return f"{rng.integers(1_000_000, 10_000_000)}"


def draw_card(rng: np.random.Generator) -> str:
    """A card number of 16 digits with a right check digit (Luhn), within the test range 400000."""
    body = f"400000{rng.integers(0, 1_000_000_000):09d}"
    return body + str(_check_digit(body))


def _check_digit(body: str) -> int:
    doubled = sum(_DOUBLED[int(digit)] for digit in body[::-2])
    return -(doubled + sum(map(int, body[-2::-2]))) % 10


def draw_device(rng: np.random.Generator) -> str:
    """A device fingerprint, 16 hex digits."""
    return f"{rng.integers(0, 2**63):016x}"


def draw_ip(rng: np.random.Generator) -> str:
    """An IPv4 address."""
    # Four calls are faster than one with arrays of bounds, and draw the same.
    return f"{rng.integers(11, 200)}.{rng.integers(255)}.{rng.integers(255)}.{rng.integers(1, 255)}"


def draw_email(rng: np.random.Generator) -> str:
    """An e-mail address in a domain that cannot exist."""
    return f"{rng.integers(0, 16**8):08x}@{_MAILERS[rng.integers(len(_MAILERS))]}"


def draw_phone(rng: np.random.Generator) -> str:
    """A telephone number."""
    return f"+49 30 {rng.integers(10_000_000, 100_000_000)}"


def draw_address(rng: np.random.Generator) -> str:
    """A delivery address in one line."""
    street, town = _STREETS[rng.integers(len(_STREETS))], _TOWNS[rng.integers(len(_TOWNS))]
    return f"{rng.integers(1, 200)} {street} Street, {rng.integers(10_000, 99_999)} {town}"
