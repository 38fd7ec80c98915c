"""The customers of a retailer and their habits, drawn once; every sale, genuine or not, refers to them."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from simulator import identities
from simulator.profile import CATEGORIES, Profile

Floats = NDArray[np.float64]
T = TypeVar("T")

SHARED_NETWORKS = 600
"""This many that in the busiest minutes each still carries a handful of customers, not a crowd."""
NEWCOMER_SHARE = 0.12
NEWCOMER_DAYS = 28.0
"""Newcomers open their account within this many days of the history: all about them is new, as with many frauds."""


@dataclass(frozen=True, slots=True)
class Population:
    """One entry per customer in every list and array; `n` customers."""

    profile: Profile
    ids: list[str]
    cards: list[list[str]]
    """One to three; the first is the usual one. Devices and networks likewise."""
    devices: list[list[str]]
    networks: list[list[str]]
    emails: list[str]
    phones: list[str]
    addresses: list[str]
    """Some are shared: families and flats."""
    countries: list[str]
    since: list[datetime]
    """When the account was opened."""
    activity: Floats
    """Share of all sales, sums to 1."""
    spend_log: Floats
    """Mean of the logarithm of an amount in major units."""
    spread: Floats
    """Standard deviation of the same."""
    hour: Floats
    """Usual hour of the day, UTC."""
    store_share: Floats
    app_share: Floats
    favourites: NDArray[np.int64]
    """Indices into CATEGORIES, shape (n, 3)."""
    shared_networks: list[str]
    """Mobile carriers and cafés: addresses that many customers share."""
    tills: list[str]
    coupons: list[str]
    """Public codes; the last one is for new customers."""


def populate(profile: Profile, opened: datetime, rng: np.random.Generator) -> Population:
    """Draws the customers; accounts are at most six years old at `opened` (start of the history), newcomers come later."""
    n = profile.customers
    counts = rng.choice([1, 2, 3], p=[0.62, 0.3, 0.08], size=(3, n))
    activity = rng.gamma(1.5, size=n) + 0.05
    ages_d = rng.exponential(500.0, size=n).clip(0, 2_200)
    ages_d = np.where(rng.random(n) < NEWCOMER_SHARE, -rng.uniform(0.0, NEWCOMER_DAYS, size=n), ages_d)
    return Population(
        profile=profile,
        ids=_distinct(n, rng),
        cards=_shared([[identities.draw_card(rng) for _ in range(k)] for k in counts[0]], 0.03, rng),
        devices=_shared([[identities.draw_device(rng) for _ in range(k)] for k in counts[1]], 0.04, rng),
        networks=_shared([[identities.draw_ip(rng) for _ in range(k)] for k in counts[2]], 0.08, rng),
        emails=[identities.draw_email(rng) for _ in range(n)],
        phones=[identities.draw_phone(rng) for _ in range(n)],
        addresses=_shared([identities.draw_address(rng) for _ in range(n)], 0.12, rng),
        countries=_countries(profile, n, rng),
        since=[opened - timedelta(days=float(days)) for days in ages_d],
        activity=activity / activity.sum(),
        spend_log=rng.normal(np.log(profile.spend_median), 0.55, size=n),
        spread=rng.uniform(0.35, 0.85, size=n),
        hour=rng.normal(16.0, 3.5, size=n) % 24,
        store_share=rng.beta(1.0, 1.0 / profile.store_share - 1.0, size=n),
        app_share=rng.beta(0.8, 1.2, size=n),
        favourites=rng.integers(len(CATEGORIES), size=(n, 3)),
        shared_networks=[identities.draw_ip(rng) for _ in range(SHARED_NETWORKS)],
        tills=[f"till-{number:04d}" for number in range(1, profile.tills + 1)],
        coupons=[f"SAVE{rng.integers(10_000):04d}" for _ in range(profile.coupons - 1)] + ["WELCOME15"],
    )


def _distinct(n: int, rng: np.random.Generator) -> list[str]:
    """Customer numbers without repetition."""
    return [str(number) for number in rng.choice(9_000_000, size=n, replace=False) + 1_000_000]


def _countries(profile: Profile, n: int, rng: np.random.Generator) -> list[str]:
    places = (profile.home, *profile.neighbours, *profile.distant)
    weights = np.array([20.0] + [1.0] * len(profile.neighbours) + [0.15] * len(profile.distant))
    return [places[index] for index in rng.choice(len(places), p=weights / weights.sum(), size=n)]


def _shared(own: list[T], share: float, rng: np.random.Generator) -> list[T]:
    """Gives `share` of the customers what another customer has."""
    others = rng.integers(len(own), size=len(own))
    borrow = rng.random(len(own)) < share
    return [own[other] if borrows else mine for mine, other, borrows in zip(own, others, borrow, strict=True)]
