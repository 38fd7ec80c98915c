"""What a simulated retailer writes down: sales with raw personal data, and next to them the truth that nobody knows yet.

Field names are the contract's, so that a sale and the transaction it becomes can be compared field by field.
"""

from datetime import datetime
from typing import NamedTuple

KINDS = {
    "stolen_card": "stolen card",
    "card_testing": "card testing",
    "account_takeover": "account takeover",
    "coupon_abuse": "coupon abuse",
    "bots": "bots",
}
"""The fraud kinds of a history and of what follows it, and how they are shown."""
NEW_KINDS = {"invoice_fraud": "invoice fraud"}
"""Kinds that no history contains: they begin when somebody asks for them."""


class Sale(NamedTuple):
    """One purchase as the retailer's own shop knows it: personal data in the clear, times in UTC."""

    transaction_id: str
    event_time: datetime
    amount_minor: int
    currency: str
    customer: str | None = None
    card: str | None = None
    device: str | None = None
    ip: str | None = None
    email: str | None = None
    phone: str | None = None
    address: str | None = None
    coupon: str | None = None
    terminal: str | None = None
    channel: str | None = None
    payment_method: str | None = None
    category: str | None = None
    country_billing: str | None = None
    country_delivery: str | None = None
    country_ip: str | None = None
    country_card: str | None = None
    customer_since: datetime | None = None
    basket_items: int | None = None
    discount_minor: int | None = None
    session_s: float | None = None


class Truth(NamedTuple):
    """What a sale really was; never written into the table of sales."""

    fraud: bool
    kind: str | None
    """A key of KINDS or a data set's own name; None for genuine sales."""
    known_at: datetime
    """When the chargeback or review makes it known, UTC."""


class Labelled(NamedTuple):
    """A sale and its truth."""

    sale: Sale
    truth: Truth
