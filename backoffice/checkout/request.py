"""From the body of a request to a Transaction: personal data becomes tokens before anything else sees it. Pure.

A token is what a connector makes of the same value, so that both ways into the pipeline fill the same windows.
"""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from contract.codec import Admission, Decoder
from contract.errors import InvalidEventError
from contract.events import Country, Currency, Identifier, Moment, Origin, ShortText, Transaction
from contract.money import AMOUNT_MINOR_MAX, to_minor
from contract.tokens import Tokeniser, normalise

ALWAYS_TOKENISED = ("card", "email", "phone", "ip", "address")
RawText = Annotated[str, Meta(min_length=1, max_length=512)]
SOURCE = "POST /v1/transactions"
CONNECTOR = "http"


class TransactionRequest(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A payment, order or booking to be judged. Give either `amount` or `amount_minor`."""

    transaction_id: Identifier
    """The same id with the same content always gets the same verdict, so a request can be sent again."""
    event_time: Moment
    """When the customer acted, with a time zone. The same in every repetition of the request."""
    currency: Currency
    amount: Annotated[Decimal, Meta(description="Major units of `currency`, as 12.50")] | None = None
    amount_minor: Annotated[int, Meta(ge=0, le=AMOUNT_MINOR_MAX)] | None = None
    """Minor units of `currency` (cents)."""

    customer: Identifier | None = None
    card: RawText | None = None
    """The card's number; becomes a token at once and is never kept."""
    device: Identifier | None = None
    ip: RawText | None = None
    """IPv4 or IPv6; becomes a token at once and is never kept."""
    email: RawText | None = None
    """Becomes a token at once and is never kept."""
    address: RawText | None = None
    """The delivery address; becomes a token at once and is never kept."""
    phone: RawText | None = None
    """Becomes a token at once and is never kept."""
    coupon: Identifier | None = None
    terminal: Identifier | None = None
    """Till, store or point of sale."""

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
    """Seconds from the start of the shopping session to the payment."""


_PLAIN = tuple(
    name
    for name in TransactionRequest.__struct_fields__
    if name in Transaction.__struct_fields__ and name not in {*ALWAYS_TOKENISED, "amount_minor"}
)


class RequestReader:
    """Reads requests of one retailer."""

    def __init__(self, admission: Admission, tokens: Tokeniser, tokenised: Collection[str] = ()) -> None:
        """`tokenised`: fields that the retailer's connectors tokenise besides ALWAYS_TOKENISED."""
        self._admission = admission
        self._tokens = tokens
        self._tokenised = (*ALWAYS_TOKENISED, *(name for name in tokenised if name not in ALWAYS_TOKENISED))
        self._decoder = Decoder(TransactionRequest)

    def read(self, body: bytes, now: datetime) -> tuple[Transaction, int]:
        """The transaction in a request's JSON, and its amount in minor units of the base currency.

        Raises InvalidEventError, which names the field and never its value.
        """
        return self.build(self._decoder.decode(body), now)

    def build(self, request: TransactionRequest, now: datetime) -> tuple[Transaction, int]:
        """As `read`, from a request that is decoded."""
        values = {name: getattr(request, name) for name in _PLAIN}
        aliases: dict[str, str] = {}
        for name in self._tokenised:
            values[name] = self._tokenise(name, getattr(request, name), aliases)
        transaction = Transaction(
            retailer=self._admission.retailer,
            ingest_time=now,
            amount_minor=_find_amount(request),
            origin=Origin(connector=CONNECTOR, phase="direct", source=SOURCE, position=request.transaction_id),
            aliases=aliases or None,
            **values,
        )
        return transaction, self._admission.admit(transaction, now)

    def _tokenise(self, field: str, value: str | None, aliases: dict[str, str]) -> str | None:
        spelling = None if value is None else normalise(field, value)
        if not spelling:
            return None
        alias = self._tokens.make_alias(field, spelling)
        if alias is not None:
            aliases[field] = alias
        return self._tokens.make_token(field, spelling)


def encode_content(transaction: Transaction) -> bytes:
    """What a transaction says, without where and when it was read: equal for a repeated request."""
    content = msgspec.structs.replace(
        transaction,
        ingest_time=transaction.event_time,
        origin=Origin(connector=CONNECTOR, phase="direct", source="", position=""),
        aliases=None,
    )
    return msgspec.json.encode(content)


def _find_amount(request: TransactionRequest) -> int:
    if (request.amount is None) == (request.amount_minor is None):
        fault = "field_missing" if request.amount is None else "field_invalid"
        raise InvalidEventError(fault, "amount: give either amount or amount_minor", "amount")
    if request.amount_minor is not None:
        return request.amount_minor
    try:
        found = to_minor(request.amount or 0, request.currency)
    except InvalidEventError as error:
        raise InvalidEventError(error.reason, error.detail, "amount") from None
    if found < 0:
        raise InvalidEventError("amount_invalid", "amount: negative", "amount")
    return found
