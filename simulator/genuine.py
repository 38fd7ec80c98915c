"""Genuine sales: habits, with the exceptions that make fraud hard to tell: big gifts, new devices, travel, quick checkouts."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from simulator import identities
from simulator.population import Population
from simulator.profile import CATEGORIES, PAYMENT_METHODS, PAYMENT_SHARES
from simulator.sales import Sale

BIG_SHARE = 0.02
"""Purchases of several times the usual amount: furniture, a birthday."""
NEW_DEVICE_SHARE = 0.03
TRAVEL_SHARE = 0.03
GIFT_SHARE = 0.06
"""Sent to an address that the customer never used."""

Ints = NDArray[np.int64]


def simulate_sales(people: Population, who: Ints, when: Sequence[datetime], rng: np.random.Generator) -> list[Sale]:
    """One genuine sale per pair of customer index `who` and UTC time `when`, without transaction_id.

    `who`: (n,), int64, in step with `when`.
    """
    in_store = rng.random(len(who)) < people.store_share[who]
    amounts = _amounts(people, who, rng)
    methods = rng.choice(len(PAYMENT_METHODS), p=PAYMENT_SHARES, size=len(who)).tolist()
    picks = people.favourites[who, rng.integers(3, size=len(who))]
    items = (1 + rng.poisson(1.6, size=len(who))).tolist()
    cards = _usual(rng, len(who), 0.85)
    rows = zip(
        who.tolist(), when, amounts.tolist(), methods, picks.tolist(), items, cards, in_store.tolist(), strict=True
    )
    online = _Online(people, who, rng)
    result: list[Sale] = []
    for index, (customer, moment, amount, method, pick, count, card, store) in enumerate(rows):
        own = people.cards[customer]
        pays_by_card = method == 0 or store
        base = Sale(
            transaction_id="",
            event_time=moment,
            amount_minor=amount,
            currency=people.profile.currency,
            customer=people.ids[customer],
            card=own[min(card, len(own) - 1)] if pays_by_card else None,
            channel="store",
            payment_method="card" if store else PAYMENT_METHODS[method],
            category=CATEGORIES[pick],
            country_billing=people.countries[customer],
            country_card=people.countries[customer] if pays_by_card else None,
            customer_since=min(people.since[customer], moment - timedelta(minutes=5)),
            basket_items=count,
        )
        if store:
            result.append(base._replace(terminal=people.tills[online.till[index]]))
        else:
            result.append(online.complete(base, index, customer))
    return result


def _amounts(people: Population, who: Ints, rng: np.random.Generator) -> Ints:
    """Log-normal around the customer's own habit, now and then several times as much; minor units."""
    major = np.exp(people.spend_log[who] + people.spread[who] * rng.standard_normal(len(who)))
    big = rng.random(len(who)) < BIG_SHARE
    major[big] *= rng.uniform(3.0, 10.0, size=int(big.sum()))
    return (major.clip(0.5, 9_000.0) * 100).astype(np.int64)


def _usual(rng: np.random.Generator, n: int, first: float) -> list[int]:
    """Index 0 with probability `first`, else 1 or 2; the caller limits it to what the customer has."""
    rest = (1.0 - first) / 2
    indices: list[int] = rng.choice(3, p=[first, rest, rest], size=n).tolist()
    return indices


class _Online:
    """The draws that online sales need, made for all rows at once: a draw per row would be ten times slower."""

    def __init__(self, people: Population, who: Ints, rng: np.random.Generator) -> None:
        n = len(who)
        self._people = people
        self._rng = rng
        self.till: list[int] = ((who + rng.integers(3, size=n)) % len(people.tills)).tolist()
        self._app = (rng.random(n) < people.app_share[who]).tolist()
        self._device = _usual(rng, n, 0.8)
        self._network = _usual(rng, n, 0.8)
        self._new_device = (rng.random(n) < NEW_DEVICE_SHARE).tolist()
        self._roaming = rng.random(n).tolist()
        self._gift = (rng.random(n) < GIFT_SHARE).tolist()
        self._coupon = (rng.random(n) < people.profile.coupon_share).tolist()
        # A few codes are far more popular than the rest.
        self._code = (rng.random(n) ** 2 * len(people.coupons)).astype(int).tolist()
        self._discount = rng.uniform(0.05, 0.25, size=n).tolist()
        # Median four minutes; a saved basket in the app is paid within seconds, as quick as a slow bot.
        self._session = np.exp(rng.normal(5.5, 0.9, size=n)).clip(3.0, 7_200.0).round(1).tolist()
        self._express = (rng.random(n) < 0.08).tolist()
        self._express_s = rng.uniform(2.5, 20.0, size=n).round(1).tolist()

    def complete(self, base: Sale, index: int, customer: int) -> Sale:
        """`base` with what a web or app shop knows besides."""
        people, rng = self._people, self._rng
        network, country_ip = self._where(index, customer)
        devices = people.devices[customer]
        gift = self._gift[index]
        app = self._app[index]
        discounted = self._coupon[index]
        return base._replace(
            channel="app" if app else "web",
            device=identities.draw_device(rng)
            if self._new_device[index]
            else devices[min(self._device[index], len(devices) - 1)],
            ip=network,
            country_ip=country_ip,
            email=people.emails[customer],
            phone=people.phones[customer],
            address=identities.draw_address(rng) if gift else people.addresses[customer],
            country_delivery=self._abroad() if gift and rng.random() < 0.2 else people.countries[customer],
            coupon=self._coupon_of(base, index) if discounted else None,
            discount_minor=int(base.amount_minor * self._discount[index]) if discounted else 0,
            session_s=self._express_s[index] if app and self._express[index] else self._session[index],
        )

    def _coupon_of(self, base: Sale, index: int) -> str:
        """New customers use the code for new customers."""
        opened = base.customer_since
        is_new = opened is not None and base.event_time - opened < timedelta(days=14)
        return self._people.coupons[-1 if is_new else self._code[index]]

    def _where(self, index: int, customer: int) -> tuple[str, str]:
        """Network address and its country: at home, on a shared mobile network, or travelling."""
        people, roll = self._people, self._roaming[index]
        if roll < TRAVEL_SHARE:
            return identities.draw_ip(self._rng), self._abroad()
        if roll < 0.18:
            return people.shared_networks[int(roll * 1e6) % len(people.shared_networks)], people.profile.home
        own = people.networks[customer]
        return own[min(self._network[index], len(own) - 1)], people.countries[customer]

    def _abroad(self) -> str:
        """Mostly next door, sometimes far away."""
        profile = self._people.profile
        places = profile.distant if self._rng.random() < 0.25 else profile.neighbours
        return places[int(self._rng.integers(len(places)))]
