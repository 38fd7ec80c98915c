"""The retailer on MongoDB: nested checkout documents, decimals for money, and a review inside the document as the label."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pymongo
from bson import Decimal128
from pymongo.collection import Collection
from pymongo.errors import AutoReconnect, BulkWriteError

from demo.shops.shop import Fault, Row, format_major, quote, remove_empty
from simulator.sales import Labelled, Sale, Truth

BATCH_DOCUMENTS = 1_000
ATTEMPTS = 5
DUPLICATE_KEY = 11_000

CONNECTOR = """\
# Reads the checkouts of this retailer's MongoDB and turns each document into a transaction.
# `tillguard connector check FILE --retailer {retailer}` shows ten documents as Tillguard will see them.
name: {name}
source:
  kind: mongodb
  host: {host}
  port: {port}
  direct: true          # one server; for a replica set write `replica_set: NAME` instead
  database: {database}
transactions:
  collection: checkouts
  fields:
    transaction_id: _id
    event_time: placedAt
    amount: {{path: amount.value, unit: major}}
    currency: amount.currency
    customer: customer.id
    email: {{path: customer.email, tokenise: true}}
    phone: {{path: customer.phone, tokenise: true}}
    customer_since: customer.since
    card: {{path: payment.card.number, tokenise: true}}
    country_card: payment.card.country
    payment_method: payment.method
    device: client.fingerprint
    ip: {{path: client.ip, tokenise: true}}
    country_ip: client.country
    session_s: client.sessionSeconds
    address: {{path: delivery.address, tokenise: true}}
    country_delivery: delivery.country
    country_billing: billing.country
    basket_items: cart.items
    category: cart.category
    coupon: promotion.code
    discount: {{path: promotion.discount, unit: major}}
    terminal: store.till
    channel: channel
labels:
  # The label stands in the checkout itself, once somebody has reviewed it.
  - fields:
      fraud: {{path: review.outcome, values: {{fraud: true, genuine: false}}}}
      kind: review.kind
      source: {{constant: review}}
      label_time: review.at
"""


def cut_to_millisecond(moment: datetime | None) -> datetime | None:
    """MongoDB keeps milliseconds."""
    return None if moment is None else moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)


def build_checkout(sale: Sale) -> Row:
    """A sale as a document of `checkouts`; what the shop does not know is absent."""
    return remove_empty(
        {
            "_id": sale.transaction_id,
            "placedAt": cut_to_millisecond(sale.event_time),
            "amount": {"value": Decimal128(format_major(sale.amount_minor)), "currency": sale.currency},
            "customer": {
                "id": sale.customer,
                "email": sale.email,
                "phone": sale.phone,
                "since": cut_to_millisecond(sale.customer_since),
            },
            "payment": {"method": sale.payment_method, "card": {"number": sale.card, "country": sale.country_card}},
            "client": {
                "fingerprint": sale.device,
                "ip": sale.ip,
                "country": sale.country_ip,
                "sessionSeconds": sale.session_s,
            },
            "delivery": {"address": sale.address, "country": sale.country_delivery},
            "billing": {"country": sale.country_billing},
            "cart": {"items": sale.basket_items, "category": sale.category},
            "promotion": {"code": sale.coupon, "discount": _decimal(sale.discount_minor)},
            "store": {"till": sale.terminal},
            "channel": sale.channel,
        }
    )


def _decimal(amount_minor: int | None) -> Decimal128 | None:
    return None if amount_minor is None else Decimal128(format_major(amount_minor))


def build_review(truth: Truth) -> Row:
    """What has become known of a sale, as the document's `build_review`."""
    outcome = "fraud" if truth.fraud else "genuine"
    return remove_empty({"outcome": outcome, "kind": truth.kind, "at": cut_to_millisecond(truth.known_at)})


def _later(row: Row, days: int) -> Row:
    return {**row, "placedAt": datetime.now(UTC) + timedelta(days=days)}


FAULTS = (
    Fault(
        "amount_invalid", "an amount that is a word", lambda row: {**row, "amount": {**row["amount"], "value": "n/a"}}
    ),
    Fault("amount_invalid", "not a number", lambda row: {**row, "amount": {**row["amount"], "value": float("nan")}}),
    Fault("field_missing", "no time", lambda row: {name: value for name, value in row.items() if name != "placedAt"}),
    Fault("field_invalid", "a time that is a word", lambda row: {**row, "placedAt": "yesterday"}),
    Fault("field_invalid", "a document where an id belongs", lambda row: {**row, "customer": {"id": {"old": 1}}}),
    Fault("oversized", "a whole page where an id belongs", lambda row: {**row, "customer": {"id": "x" * 70_000}}),
    Fault("time_future", "a clock that is two days ahead", lambda row: _later(row, 2)),
)


class MongoShop:
    """The checkouts of one retailer in one MongoDB."""

    faults: Sequence[Fault] = FAULTS

    def __init__(self, retailer: str, host: str, port: int) -> None:
        self.retailer = retailer
        self.connector = f"{retailer}-checkouts"
        self._host, self._port = host, port
        self._database = f"{retailer.replace('-', '_')}_shop"
        self._client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            host, port, directConnection=True, serverSelectionTimeoutMS=30_000
        )
        self._checkouts: Collection[dict[str, Any]] = self._client[self._database]["checkouts"]

    def create(self) -> None:
        self._client.drop_database(self._database)
        self._client[self._database].create_collection("checkouts")

    def make_row(self, sale: Sale) -> Row:
        return build_checkout(sale)

    def load(self, history: Sequence[Labelled]) -> None:
        documents = [
            build_checkout(entry.sale) | ({"review": build_review(entry.truth)} if entry.truth.fraud else {})
            for entry in history
        ]
        for start in range(0, len(documents), BATCH_DOCUMENTS):
            self.write(documents[start : start + BATCH_DOCUMENTS])

    def write(self, rows: Sequence[Row]) -> None:
        """On a busy machine the driver drops connections in the middle: what it wrote before then is there already."""
        for attempt in range(ATTEMPTS):
            try:
                self._checkouts.insert_many(rows, ordered=False)
            except AutoReconnect:
                if attempt == ATTEMPTS - 1:
                    raise
            except BulkWriteError as error:
                if not attempt or any(fault["code"] != DUPLICATE_KEY for fault in error.details["writeErrors"]):
                    raise
                return
            else:
                return

    def write_labels(self, truths: Mapping[str, Truth]) -> None:
        for transaction_id, truth in truths.items():
            self._review(transaction_id, build_review(truth))

    def _review(self, transaction_id: str, found: Row) -> None:
        """As `write`: the same review again changes nothing."""
        for attempt in range(ATTEMPTS):
            try:
                self._checkouts.update_one({"_id": transaction_id}, {"$set": {"review": found}})
            except AutoReconnect:
                if attempt == ATTEMPTS - 1:
                    raise
            else:
                return

    def list_customers_since(self, moment: datetime) -> set[str]:
        return set(self._checkouts.distinct("customer.id", {"placedAt": {"$gte": moment}}))

    def make_connector_file(self) -> str:
        return CONNECTOR.format(
            retailer=self.retailer,
            name=self.connector,
            host=quote(self._host),
            port=self._port,
            database=self._database,
        )

    def close(self) -> None:
        self._client.close()
