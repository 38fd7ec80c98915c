"""Realistic transactions for the scoring benchmark: customers with cards, devices, addresses and e-mail of their own. Seeded."""

import random
from collections.abc import Iterator
from datetime import datetime
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from contract.clock import from_epoch_ms
from contract.events import Origin, Transaction

SEED = 7
_ORIGIN = Origin(connector="bench", phase="stream", source="shop.orders", position="binlog.000001:4711")
_CATEGORIES = ("toys", "books", "garden", "kitchen", "shoes", "phones")
_COUNTRIES = ("DE", "DE", "DE", "AT", "NL", "FR")


class Record(NamedTuple):
    """One message for the transactions topic."""

    key: bytes
    value: bytes
    partition_hint: int
    """Equal for all of a customer's; modulo the number of partitions."""


class _Customer(NamedTuple):
    name: str
    cards: tuple[str, ...]
    devices: tuple[str, ...]
    addresses: tuple[str, ...]
    email: str
    country: str
    since: datetime
    usual_minor: int


class Shoppers:
    """Transactions of `count` customers, each naming five entities; the same for the same arguments."""

    def __init__(self, retailer: str, count: int, *, series: str) -> None:
        """`series` begins every transaction_id, so that two streams never share one."""
        self._retailer = retailer
        self._series = series
        self._random = random.Random(f"{SEED}-{series}")
        self._made = 0
        self._customers = [self._customer(number) for number in range(count)]

    def draw_stream(self, count: int, first_ms: int, last_ms: int) -> Iterator[Record]:
        """`count` records with event times rising evenly from `first_ms` to `last_ms`."""
        step_ms = (last_ms - first_ms) / max(1, count)
        return (self.draw(first_ms + int(place * step_ms)) for place in range(count))

    def draw(self, event_time_ms: int) -> Record:
        """One record."""
        self._made += 1
        chance = self._random
        number = int(chance.random() * len(self._customers))
        who = self._customers[number]
        moment = from_epoch_ms(event_time_ms)
        abroad = chance.random() < 0.02
        transaction = Transaction(
            transaction_id=f"{self._series}-{self._made:09d}",
            retailer=self._retailer,
            event_time=moment,
            ingest_time=moment,
            amount_minor=1 + int(who.usual_minor * chance.lognormvariate(0.0, 0.6)),
            currency="EUR",
            origin=_ORIGIN,
            customer=who.name,
            card=chance.choice(who.cards),
            device=chance.choice(who.devices),
            ip=chance.choice(who.addresses),
            email=who.email,
            channel=chance.choice(("web", "app", "phone")),
            payment_method="card",
            category=chance.choice(_CATEGORIES),
            country_billing=who.country,
            country_delivery=who.country,
            country_ip="US" if abroad else who.country,
            country_card=who.country,
            customer_since=who.since,
            basket_items=chance.randint(1, 6),
            discount_minor=0,
            session_s=round(chance.lognormvariate(5.0, 0.7), 1),
        )
        return Record(transaction.transaction_id.encode(), msgspec.json.encode(transaction), number)

    def _customer(self, number: int) -> _Customer:
        chance = self._random
        name = f"{self._series}-customer-{number:07d}"
        return _Customer(
            name,
            tuple(_token(name, f"card{i}") for i in range(1 + (chance.random() < 0.2))),
            tuple(f"{name}-device{i}" for i in range(1 + (chance.random() < 0.5))),
            tuple(_token(name, f"ip{i}") for i in range(1 + (chance.random() < 0.5))),
            _token(name, "email"),
            chance.choice(_COUNTRIES),
            from_epoch_ms(1_600_000_000_000 + int(chance.random() * 1e11)),
            int(chance.lognormvariate(8.3, 0.7)),
        )


def _token(owner: str, kind: str) -> str:
    """As long as the connectors' tokens."""
    return f"k1:{blake2b(f'{owner}/{kind}'.encode(), digest_size=16).hexdigest()}"
