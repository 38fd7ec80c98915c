"""From a row to a Transaction: which changes of a row are transactions, and how its fields are read. Pure."""

import hashlib
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import msgspec
from msgspec.structs import asdict

from connectors.config.connector_file import ConnectorConfig
from connectors.config.fields import TextField, TransactionFields
from connectors.config.file_settings import Files
from connectors.mapping import readers
from connectors.mapping.readers import Aliases, Read, Values
from connectors.number_text import Parse, build_number_parser
from connectors.ports import Row
from connectors.values import as_integer, as_seconds, get_at_path
from contract.errors import InvalidEventError
from contract.events import Origin, Transaction
from contract.tokens import Tokeniser

T = TypeVar("T")
TOKEN_FIELDS = ("customer", "card", "device", "ip", "email", "phone", "address", "coupon", "terminal")
_PLAIN = ("channel", "payment_method", "category")
_CODES = ("country_billing", "country_delivery", "country_ip", "country_card")


class TransactionRule:
    """The `transactions` section, compiled."""

    def __init__(self, config: ConnectorConfig, retailer: str, tokens: Tokeniser | None, *, flat: bool) -> None:
        section = config.transactions
        fields = section.fields
        self._retailer = retailer
        self._updates = section.updates
        self.key = config.get_key_column(section)
        self._identity = {self.key, *fields.transaction_id.list_names()}
        if section.snapshot_order == "event_time":
            # a row whose place in the snapshot's order changes could slip past a resumed snapshot
            self._identity |= set(fields.event_time.list_names())
        self.id = readers.build_name_reader("transaction_id", fields.transaction_id, flat=flat)
        self.event_time = readers.build_time_reader("event_time", fields.event_time, flat=flat)
        numbers = _numbers(config)
        self._amount = readers.build_money_reader("amount", fields.amount, flat=flat, numbers=numbers)
        self._currency = readers.build_code_reader("currency", fields.currency, flat=flat)
        self._simple = _simple(fields, numbers, flat=flat)
        self._tokenised = {
            name: readers.build_token_reader(name, spec, tokens, flat=flat)
            for name, spec in _text_fields(fields)
            if spec.tokenise
        }
        self._since = (
            readers.build_time_reader("customer_since", fields.customer_since, flat=flat)
            if fields.customer_since
            else None
        )
        self._discount = (
            readers.build_money_reader("discount", fields.discount, flat=flat, numbers=numbers)
            if fields.discount
            else None
        )
        self.names = {name for spec in _specs(fields) for name in spec.list_names()}
        self.personal = {
            name: field for field, spec in _text_fields(fields) if spec.tokenise for name in spec.list_names()
        }

    def read(self, row: Row, origin: Origin, now: datetime) -> Transaction | None:
        """The transaction that `row` is; None when this change is none. Raises InvalidEventError."""
        if row.change != "update" or self.has_renamed(row):
            return self._build(row.values, origin, now)
        if self._updates == "ignore" or not self._may_differ(row):
            return None
        transaction = self._build(row.values, origin, now)
        digest = _digest(transaction)
        if row.before is not None and digest == self._digest_before(row, origin, now):
            return None
        return self._build(row.values, origin, now, suffix=f"~{digest}")

    def has_renamed(self, row: Row) -> bool:
        """Whether an update gave the row another identity: then it counts as new."""
        before = row.before
        if before is None:
            return False
        return any(get_at_path(before, name) != get_at_path(row.values, name) for name in self._identity)

    def read_transaction_id(self, values: Values) -> str:
        """The id in `values`; raises InvalidEventError where it is missing."""
        return _needed("transaction_id", self.id(values))

    def _may_differ(self, row: Row) -> bool:
        return row.touched is None or bool({name.partition(".")[0] for name in self.names} & row.touched)

    def _digest_before(self, row: Row, origin: Origin, now: datetime) -> str | None:
        try:
            return _digest(self._build(row.before or {}, origin, now))
        except InvalidEventError:
            return None

    def _build(self, values: Values, origin: Origin, now: datetime, suffix: str = "") -> Transaction:
        transaction_id = self.read_transaction_id(values)
        event_time = _needed("event_time", self.event_time(values, None))
        currency = _needed("currency", self._currency(values))
        amount_minor = self._amount(values, currency)
        if amount_minor is None:
            raise InvalidEventError("field_missing", "amount: null or empty")
        found: dict[str, Any] = {name: read(values) for name, read in self._simple}
        aliases: Aliases = {}
        for name, tokenise in self._tokenised.items():
            found[name] = tokenise(values, aliases)
        if self._since is not None:
            found["customer_since"] = self._since(values, event_time)
        if self._discount is not None:
            found["discount_minor"] = self._discount(values, currency)
        return Transaction(
            transaction_id=transaction_id + suffix,
            retailer=self._retailer,
            event_time=event_time,
            ingest_time=now,
            amount_minor=amount_minor,
            currency=currency,
            origin=origin,
            aliases=aliases or None,
            **found,
        )


def _needed(field: str, value: T | None) -> T:
    if value is None:
        raise InvalidEventError("field_missing", f"{field}: null or empty")
    return value


def _numbers(config: ConnectorConfig) -> Parse | None:
    """How numbers are written in the text of a file; None: plainly, with a point."""
    source = config.source
    if not isinstance(source, Files) or (source.decimal is None and source.thousands is None):
        return None
    return build_number_parser(source.decimal or ".", source.thousands)


def _simple(fields: TransactionFields, numbers: Parse | None, *, flat: bool) -> list[tuple[str, Read[Any]]]:
    """Readers of every optional field that needs nothing but its own value."""
    found: list[tuple[str, Read[Any]]] = []
    for name in (*TOKEN_FIELDS, *_PLAIN, *_CODES):
        spec: TextField | None = getattr(fields, name)
        if spec is not None and not spec.tokenise:
            read: Callable[..., Read[Any]] = readers.build_code_reader if name in _CODES else readers.build_text_reader
            found.append((name, read(name, spec, flat=flat)))
    if fields.basket_items is not None:
        items = readers.build_converting_reader(
            "basket_items", fields.basket_items, as_integer, flat=flat, numbers=numbers
        )
        found.append(("basket_items", items))
    if fields.session_s is not None:
        seconds = readers.build_converting_reader("session_s", fields.session_s, as_seconds, flat=flat, numbers=numbers)
        found.append(("session_s", seconds))
    return found


def _specs(fields: TransactionFields) -> list[Any]:
    return [spec for name in type(fields).model_fields if (spec := getattr(fields, name)) is not None]


def _text_fields(fields: TransactionFields) -> list[tuple[str, TextField]]:
    return [(name, spec) for name in TOKEN_FIELDS if (spec := getattr(fields, name)) is not None]


def _digest(transaction: Transaction) -> str:
    """12 hex digits over what the transaction says, without where and when it was read."""
    content = asdict(transaction)
    for name in ("origin", "ingest_time", "aliases"):
        del content[name]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:12]
