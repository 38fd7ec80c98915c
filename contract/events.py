"""The messages that enter a retailer's pipeline: transactions, labels and resolutions.

Personal data (card, e-mail, phone, ip, address) is present only as keyed tokens made by the connector.
A schema only grows: fields may be added with a default, never removed, renamed or retyped within a topic version.
"""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from contract.money import AMOUNT_MINOR_MAX

# `$` alone also matches before a newline at the end; `$(?!\n)` does not, in Python as in JSON Schema's dialect.
Identifier = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
RetailerName = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,47}$(?!\n)")]
Moment = Annotated[datetime, Meta(tz=True)]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")]
Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)")]
ShortText = Annotated[str, Meta(min_length=1, max_length=64)]

Phase = Literal["snapshot", "stream", "replay", "direct"]


class Origin(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a message came from, exact enough to find the source row again."""

    connector: ShortText
    """The connector's name."""
    phase: Phase
    """`snapshot` rows are history: they fill windows and get verdicts marked late."""
    source: Annotated[str, Meta(max_length=256)]
    """Table, collection or file, as `database.table`."""
    position: Annotated[str, Meta(max_length=512)]
    """Binlog file and position, resume token or row number."""


class Transaction(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One payment, order or booking to be judged. Topic `<retailer>.transactions.v1`."""

    transaction_id: Identifier
    retailer: RetailerName
    event_time: Moment
    """When the customer acted, UTC."""
    ingest_time: Moment
    """When the connector read it, UTC; never used for windows."""
    amount_minor: Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX)]
    """Minor units of `currency` (cents)."""
    currency: Currency
    origin: Origin

    customer: Identifier | None = None
    card: Identifier | None = None
    device: Identifier | None = None
    ip: Identifier | None = None
    email: Identifier | None = None
    address: Identifier | None = None
    """Delivery address."""
    coupon: Identifier | None = None
    terminal: Identifier | None = None
    """Till, store or point of sale."""
    phone: Identifier | None = None

    channel: ShortText | None = None
    payment_method: ShortText | None = None
    category: ShortText | None = None
    country_billing: Country | None = None
    country_delivery: Country | None = None
    country_ip: Country | None = None
    country_card: Country | None = None
    """Country of the card's issuer."""
    customer_since: Moment | None = None
    """When the account was opened."""
    basket_items: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    discount_minor: Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX)] | None = None
    """Minor units of `currency` taken off by coupons or promotions."""
    session_s: Annotated[float, Meta(ge=0, le=31_536_000)] | None = None
    """Seconds from the start of the shopping session to the payment; bots are quick."""

    aliases: dict[str, Identifier] | None = None
    """Previous tokens by entity while a tokenisation key rotates, so that windows stay warm."""


LabelSource = Literal["chargeback", "analyst", "customer", "step_up", "review"]


class Label(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a transaction turned out to be. Topic `<retailer>.labels.v1`. A later label_time overrules an earlier one, once it has come."""

    transaction_id: Identifier
    retailer: RetailerName
    fraud: bool
    source: LabelSource
    label_time: Moment
    """When it became known, UTC. Before that moment it does not exist, for learning, comparison and the risk of entities. Of those that
    exist the latest holds, of equals the one that came last: so a label dated in the future is taken back by one of the same label_time."""
    ingest_time: Moment
    origin: Origin
    kind: ShortText | None = None
    """The kind of fraud, where known."""


ResolutionKind = Literal["step_up_passed", "step_up_failed", "approved", "rejected"]


class Resolution(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The end of a hold or review: a step-up result or an analyst's decision. Topic `<retailer>.resolutions.v1`."""

    resolution_id: Identifier
    """Makes redelivery harmless: one resolution_id gives one revision."""
    transaction_id: Identifier
    retailer: RetailerName
    outcome: ResolutionKind
    actor: Identifier
    """Who decided: a user or system name, no personal data of a customer."""
    resolved_at: Moment
