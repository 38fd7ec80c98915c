"""Five kinds of fraud and one that comes later, each an episode of a few sales that share a thief, a tool or a trick.

Every kind has a subtle variant that looks like custom, because a simulator whose frauds stand apart teaches nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from simulator import identities
from simulator.population import Population
from simulator.profile import CATEGORIES, RESOLD
from simulator.sales import Sale

DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Scene:
    """Where and when episodes happen: `seconds` from `begin`, among `people`."""

    people: Population
    begin: datetime
    seconds: float
    rng: np.random.Generator

    def draw_times(self, count: int, gap_s: float) -> list[datetime]:
        """`count` ascending times inside the scene, `gap_s` apart on average, closer where the scene is short."""
        gaps = self.rng.exponential(gap_s, size=count)
        gaps[0] = 0.0
        gaps *= min(1.0, 0.6 * self.seconds / max(gaps.sum(), 1e-9))
        start = self._start(self.seconds - float(gaps.sum()))
        return [self.begin + timedelta(seconds=start + float(offset)) for offset in np.cumsum(gaps)]

    def _start(self, room_s: float) -> float:
        """Uniform; in long scenes every second episode hides in the afternoon."""
        start = float(self.rng.uniform(0.0, room_s))
        if room_s < 2 * DAY_S or self.draw_chance(0.5):
            return start
        midnight = self.begin.hour * 3_600.0 + self.begin.minute * 60.0
        shifted = start - (start + midnight) % DAY_S + float(self.rng.normal(16.0, 4.0)) * 3_600.0
        return float(np.clip(shifted, 0.0, room_s))

    def draw_chance(self, share: float) -> bool:
        """True with probability `share`."""
        return bool(self.rng.random() < share)

    def draw_choice(self, choices: tuple[str, ...] | list[str]) -> str:
        """One of `choices`, all alike."""
        return choices[int(self.rng.integers(len(choices)))]

    def draw_victim(self) -> int:
        """Index of a customer; active ones are robbed more often."""
        return int(self.rng.choice(len(self.people.ids), p=self.people.activity))

    def draw_amount(self, median: float, spread: float = 0.5) -> int:
        """Log-normal, minor units."""
        return int(100 * min(max(median * np.exp(spread * self.rng.standard_normal()), 0.5), 9_000.0))

    def draw_network(self, home: str) -> tuple[str, str]:
        """Address and country: a shared mobile network, a rented machine at home, or far away."""
        profile = self.people.profile
        roll = self.rng.random()
        if roll < 0.2:
            return self.draw_choice(self.people.shared_networks), profile.home
        if roll < 0.6:
            return identities.draw_ip(self.rng), home
        return identities.draw_ip(self.rng), self.draw_choice(profile.distant if roll < 0.85 else profile.neighbours)


def simulate_stolen_card(scene: Scene) -> list[Sale]:
    """A thief opens an account and buys what sells again with somebody else's card; half order modestly, in the victim's manner."""
    rng, people, victim = scene.rng, scene.people, scene.draw_victim()
    modest = scene.draw_chance(0.5)
    home = people.countries[victim]
    network, country_ip = scene.draw_network(home)
    times = scene.draw_times(int(rng.integers(1, 3 if modest else 6)), 3_600.0)
    account, age_s = identities.draw_customer(rng), float(rng.exponential((12 if modest else 2) * DAY_S)) + 120.0
    drop, device, email = identities.draw_address(rng), identities.draw_device(rng), identities.draw_email(rng)
    median = people.profile.spend_median * (1.2 if modest else 4.5)
    return [
        Sale(
            transaction_id="",
            event_time=moment,
            amount_minor=scene.draw_amount(median),
            currency=people.profile.currency,
            customer=account,
            card=scene.draw_choice(people.cards[victim]),
            device=device,
            ip=network,
            email=email,
            phone=identities.draw_phone(rng),
            address=drop,
            channel="web",
            payment_method="card",
            category=scene.draw_choice(CATEGORIES) if modest else scene.draw_choice(RESOLD),
            country_billing=home,
            country_delivery=home if modest or scene.draw_chance(0.5) else scene.draw_choice(people.profile.neighbours),
            country_ip=home if modest else country_ip,
            country_card=home,
            customer_since=times[0] - timedelta(seconds=age_s),
            basket_items=int(rng.integers(1, 4)),
            discount_minor=0,
            session_s=round(float(np.exp(rng.normal(5.0, 0.8))), 1),
        )
        for moment in times
    ]


def simulate_card_testing(scene: Scene) -> list[Sale]:
    """One machine tries many cards with tiny amounts; the patient ones change machine and network, leave minutes between and try believable amounts."""
    rng, people = scene.rng, scene.people
    patient = scene.draw_chance(0.4)
    times = scene.draw_times(int(rng.integers(6, 22)), 240.0 if patient else 9.0)
    network, country_ip = scene.draw_network(people.profile.home)
    device, account, email = identities.draw_device(rng), identities.draw_customer(rng), identities.draw_email(rng)
    opened = times[0] - timedelta(seconds=float(rng.exponential(DAY_S)) + 60.0)
    sales = []
    for moment in times:
        country_card = people.profile.home if scene.draw_chance(0.6) else scene.draw_choice(people.profile.distant)
        sales.append(
            Sale(
                transaction_id="",
                event_time=moment,
                amount_minor=scene.draw_amount(14.0 if patient else 2.5, 0.7),
                currency=people.profile.currency,
                customer=identities.draw_customer(rng) if patient and scene.draw_chance(0.6) else account,
                card=identities.draw_card(rng),
                device=identities.draw_device(rng) if patient and scene.draw_chance(0.7) else device,
                ip=identities.draw_ip(rng) if patient and scene.draw_chance(0.6) else network,
                email=identities.draw_email(rng) if patient and scene.draw_chance(0.6) else email,
                phone=None,
                address=None,
                channel="web",
                payment_method="card",
                category=scene.draw_choice(CATEGORIES),
                country_billing=people.profile.home,
                country_delivery=None,
                country_ip=country_ip,
                country_card=country_card,
                customer_since=opened,
                basket_items=1,
                discount_minor=0,
                session_s=round(float(rng.uniform(4.0, 60.0)), 1),
            )
        )
    return sales


def simulate_account_takeover(scene: Scene) -> list[Sale]:
    """An old account, its saved card, but another machine and a new delivery address; the sly ones spend as the owner does, and some collect at the owner's address."""
    rng, people, victim = scene.rng, scene.people, scene.draw_victim()
    sly = scene.draw_chance(0.5)
    times = scene.draw_times(int(rng.integers(1, 3 if sly else 5)), 420.0)
    home = people.countries[victim]
    network, country_ip = scene.draw_network(home)
    device = identities.draw_device(rng)
    drop = people.addresses[victim] if sly and scene.draw_chance(0.5) else identities.draw_address(rng)
    usual = float(np.exp(people.spend_log[victim]))
    return [
        Sale(
            transaction_id="",
            event_time=moment,
            amount_minor=scene.draw_amount(usual * (1.0 if sly else 3.2), 0.4),
            currency=people.profile.currency,
            customer=people.ids[victim],
            card=people.cards[victim][0],
            device=device,
            ip=network,
            email=people.emails[victim],
            phone=people.phones[victim],
            address=drop,
            channel="app" if scene.draw_chance(0.3) else "web",
            payment_method="card",
            category=scene.draw_choice(CATEGORIES) if sly else scene.draw_choice(RESOLD),
            country_billing=home,
            country_delivery=home if scene.draw_chance(0.6) else scene.draw_choice(people.profile.neighbours),
            country_ip=home if sly else country_ip,
            country_card=home,
            customer_since=min(people.since[victim], moment - timedelta(minutes=5)),
            basket_items=int(rng.integers(1, 5)),
            discount_minor=0,
            session_s=round(float(np.exp(rng.normal(4.3, 0.7))), 1),
        )
        for moment in times
    ]


def simulate_coupon_abuse(scene: Scene) -> list[Sale]:
    """One household, a row of new accounts, the new-customer code again and again; careful ones change machine each time."""
    rng, people = scene.rng, scene.people
    careful = scene.draw_chance(0.4)
    times = scene.draw_times(int(rng.integers(3, 10)), 9_000.0 if careful else 1_500.0)
    network, drop, home = identities.draw_ip(rng), identities.draw_address(rng), people.profile.home
    devices = [identities.draw_device(rng) for _ in range(int(rng.integers(1, 4)))]
    cards = [identities.draw_card(rng) for _ in range(int(rng.integers(1, 3)))]
    sales = []
    for moment in times:
        before = scene.draw_amount(people.profile.spend_median * 1.2, 0.4)
        discount = int(before * rng.uniform(0.15, 0.35))
        sales.append(
            Sale(
                transaction_id="",
                event_time=moment,
                amount_minor=before - discount,
                currency=people.profile.currency,
                customer=identities.draw_customer(rng),
                card=scene.draw_choice(cards),
                device=identities.draw_device(rng) if careful else scene.draw_choice(devices),
                ip=identities.draw_ip(rng) if careful and scene.draw_chance(0.6) else network,
                email=identities.draw_email(rng),
                phone=identities.draw_phone(rng),
                address=identities.draw_address(rng) if careful and scene.draw_chance(0.4) else drop,
                coupon=people.coupons[-1],
                channel="app" if scene.draw_chance(0.4) else "web",
                payment_method="card",
                category=scene.draw_choice(CATEGORIES),
                country_billing=home,
                country_delivery=home,
                country_ip=home,
                country_card=home,
                customer_since=moment - timedelta(seconds=float(rng.exponential(1_800.0)) + 90.0),
                basket_items=1 + int(rng.poisson(1.2)),
                discount_minor=discount,
                session_s=round(float(np.exp(rng.normal(4.8, 0.7))), 1),
            )
        )
    return sales


def simulate_bots(scene: Scene) -> list[Sale]:
    """Programs buy out one category within seconds of a session, from a few rented addresses, with account after account; slow ones pass for people."""
    rng, people = scene.rng, scene.people
    times = scene.draw_times(int(rng.integers(8, 26)), 14.0)
    networks = [scene.draw_network(people.profile.home) for _ in range(int(rng.integers(1, 4)))]
    cards = [identities.draw_card(rng) for _ in range(int(rng.integers(2, 6)))]
    category, home, drop = scene.draw_choice(RESOLD), people.profile.home, identities.draw_address(rng)
    slow = scene.draw_chance(0.4)
    sales = []
    for moment in times:
        network, country_ip = (
            scene.draw_network(home) if slow and scene.draw_chance(0.7) else networks[int(rng.integers(len(networks)))]
        )
        sales.append(
            Sale(
                transaction_id="",
                event_time=moment,
                amount_minor=scene.draw_amount(
                    people.profile.spend_median * (1.5 if slow else 2.2), 0.5 if slow else 0.25
                ),
                currency=people.profile.currency,
                customer=identities.draw_customer(rng),
                card=identities.draw_card(rng) if slow and scene.draw_chance(0.7) else scene.draw_choice(cards),
                device=identities.draw_device(rng),
                ip=network,
                email=identities.draw_email(rng),
                phone=identities.draw_phone(rng),
                address=drop if scene.draw_chance(0.5) else identities.draw_address(rng),
                channel="web",
                payment_method="card",
                category=category,
                country_billing=home,
                country_delivery=home,
                country_ip=country_ip,
                country_card=home,
                customer_since=moment - timedelta(seconds=float(rng.exponential(20 * DAY_S)) + 60.0),
                basket_items=int(rng.integers(2, 9)),
                discount_minor=0,
                session_s=round(float(rng.uniform(6.0, 40.0) if slow else rng.uniform(0.4, 6.0)), 1),
            )
        )
    return sales


def simulate_invoice_fraud(scene: Scene) -> list[Sale]:
    """Accounts made long ago and left to age order modestly on invoice, for nobody who exists; no card, no haste, no odd country."""
    rng, people = scene.rng, scene.people
    times = scene.draw_times(int(rng.integers(2, 6)), 1_800.0)
    home, drop = people.profile.home, identities.draw_address(rng)
    return [
        Sale(
            transaction_id="",
            event_time=moment,
            amount_minor=scene.draw_amount(people.profile.spend_median * 1.5, 0.4),
            currency=people.profile.currency,
            customer=identities.draw_customer(rng),
            device=identities.draw_device(rng),
            ip=scene.draw_choice(people.shared_networks) if scene.draw_chance(0.3) else identities.draw_ip(rng),
            email=identities.draw_email(rng),
            phone=identities.draw_phone(rng),
            address=drop if scene.draw_chance(0.3) else identities.draw_address(rng),
            channel="app" if scene.draw_chance(0.4) else "web",
            payment_method="invoice",
            category=scene.draw_choice(RESOLD),
            country_billing=home,
            country_delivery=home,
            country_ip=home,
            customer_since=moment - timedelta(days=float(rng.uniform(60.0, 700.0))),
            basket_items=1 + int(rng.poisson(1.6)),
            discount_minor=0,
            session_s=round(float(np.exp(rng.normal(5.4, 0.8))), 1),
        )
        for moment in times
    ]


EPISODES: dict[str, Callable[[Scene], list[Sale]]] = {
    "stolen_card": simulate_stolen_card,
    "card_testing": simulate_card_testing,
    "account_takeover": simulate_account_takeover,
    "coupon_abuse": simulate_coupon_abuse,
    "bots": simulate_bots,
    "invoice_fraud": simulate_invoice_fraud,
}


def simulate_frauds(scene: Scene, kind: str, count: int) -> list[Sale]:
    """Exactly `count` sales of one kind, episode after episode; the last one is cut short."""
    result: list[Sale] = []
    while len(result) < count:
        result.extend(EPISODES[kind](scene))
    return result[:count]
