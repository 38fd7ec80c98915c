"""One simulated retailer: a labelled history of weeks, and a live stream that continues where the history ends.

The same seed gives the same sales. History and live draw from streams of their own, so neither depends on whether the
other was asked for.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from simulator import frauds, genuine
from simulator.population import Population, populate
from simulator.profile import Profile
from simulator.sales import KINDS, Labelled, Sale, Truth

LABEL_DELAY_MEDIAN_D = 5.0
_PEOPLE, _HISTORY, _LIVE, _MORE = 0, 1, 2, 3


@dataclass(frozen=True, slots=True)
class HistoryPlan:
    """How a history is made up."""

    rows: int = 25_000
    fraud_share: float = 0.018
    """Of the quiet weeks."""
    rushes: int = 4
    """Campaign minutes in which sales come as thick as in the live phase, so that a busy till is nothing new to the model."""
    rush_share: float = 0.2
    """Share of the rows that lie in rushes."""
    rush_rate: float = 100.0
    """Sales per second within a rush."""
    rush_fraud_share: float = 0.06
    """Fraud follows the crowd."""


class Retail:
    """A retailer with its customers."""

    def __init__(self, profile: Profile, seed: int, opened: datetime, prefix: str) -> None:
        """`opened` (UTC) is when the history starts; transaction ids are `prefix` and a running number."""
        if seed < 0:
            raise ValueError("seed must not be negative")
        self.people: Population = populate(profile, opened, np.random.default_rng([seed, _PEOPLE]))
        self._seed = seed
        self._opened = opened
        self._prefix = prefix

    def simulate_history(self, until: datetime, plan: HistoryPlan) -> list[Labelled]:
        """`plan.rows` sales from the opening until `until`, in time order; every label is known by `until`."""
        if until - self._opened < timedelta(days=1):
            raise ValueError("a history takes at least a day")
        rng = np.random.default_rng([self._seed, _HISTORY])
        rush_rows = int(plan.rows * plan.rush_share) // plan.rushes if plan.rushes else 0
        drafts = self._quiet(until, plan.rows - rush_rows * plan.rushes, plan.fraud_share, rng)
        rush_s = rush_rows / plan.rush_rate
        for begin in _rush_begins(self._opened, until, plan.rushes, rush_s):
            drafts += self._rush(begin, rush_s, rush_rows, plan.rush_fraud_share, rng)
        return self._number(drafts, 1, until, rng)

    def simulate_live(
        self, begin: datetime, seconds: float, rows: int, fraud_share: float, first_number: int
    ) -> list[Labelled]:
        """`rows` sales evenly over `seconds` from `begin`; ids continue at `first_number`."""
        rng = np.random.default_rng([self._seed, _LIVE])
        drafts = self._rush(begin, seconds, rows, fraud_share, rng)
        return self._number(drafts, first_number, begin + timedelta(days=60), rng)

    def simulate_more(
        self,
        begin: datetime,
        seconds: float,
        rows: int,
        fraud_share: float,
        *,
        first_number: int,
        resting: Collection[str],
        besides: Mapping[str, float] | None = None,
    ) -> list[Labelled]:
        """Like `simulate_live`, drawn again for every `first_number`, and from customers in `resting` only when no others are left.

        `besides`: shares of `rows` that are frauds of these kinds, in addition to `fraud_share`.

        Who has just bought does not buy again: a model would rightly call that a bot.
        """
        rng = np.random.default_rng([self._seed, _MORE, first_number])
        drafts = self._rush(begin, seconds, rows, fraud_share, rng, resting=resting, besides=besides)
        return self._number(drafts, first_number, begin + timedelta(days=60), rng)

    def _quiet(
        self, until: datetime, rows: int, fraud_share: float, rng: np.random.Generator
    ) -> list[tuple[Sale, str | None]]:
        seconds = (until - self._opened).total_seconds()
        scene = frauds.Scene(self.people, self._opened, seconds, rng)
        bad = list(_frauds(scene, round(rows * fraud_share)))
        who = rng.choice(len(self.people.ids), p=self.people.activity, size=rows - len(bad))
        when = self._habitual_times(who, seconds, rng)
        return [(sale, None) for sale in genuine.simulate_sales(self.people, who, when, rng)] + bad

    def _rush(
        self,
        begin: datetime,
        seconds: float,
        rows: int,
        fraud_share: float,
        rng: np.random.Generator,
        *,
        resting: Collection[str] = (),
        besides: Mapping[str, float] | None = None,
    ) -> list[tuple[Sale, str | None]]:
        scene = frauds.Scene(self.people, begin, seconds, rng)
        bad: list[tuple[Sale, str | None]] = list(_frauds(scene, round(rows * fraud_share)))
        for kind, share in (besides or {}).items():
            bad += [(sale, kind) for sale in frauds.simulate_frauds(scene, kind, round(rows * share))]
        who = _each_once(np.array([each in resting for each in self.people.ids]), rows - len(bad), rng)
        offsets = np.sort(rng.uniform(0.0, seconds, size=len(who)))
        when = [begin + timedelta(seconds=offset) for offset in offsets.tolist()]
        return [(sale, None) for sale in genuine.simulate_sales(self.people, who, when, rng)] + bad

    def _habitual_times(self, who: NDArray[np.int64], seconds: float, rng: np.random.Generator) -> list[datetime]:
        """Any day, at about the customer's usual hour."""
        day = rng.integers(0, max(int(seconds // frauds.DAY_S), 1), size=len(who)) * frauds.DAY_S
        wanted = (self.people.hour[who] + rng.normal(0.0, 2.5, size=len(who))) % 24 * 3_600.0
        midnight = self._opened.hour * 3_600.0 + self._opened.minute * 60.0 + self._opened.second
        offsets = ((wanted - midnight) % frauds.DAY_S + day).clip(0.0, seconds)
        return [self._opened + timedelta(seconds=offset) for offset in offsets.tolist()]

    def _number(
        self, drafts: list[tuple[Sale, str | None]], first: int, known_by: datetime, rng: np.random.Generator
    ) -> list[Labelled]:
        """In time order, numbered, each with its truth."""
        drafts.sort(key=lambda draft: draft[0].event_time)
        delays_d = np.exp(rng.normal(np.log(LABEL_DELAY_MEDIAN_D), 0.6, size=len(drafts))).tolist()
        return [
            Labelled(
                sale._replace(transaction_id=f"{self._prefix}{first + index:08d}"),
                Truth(kind is not None, kind, min(sale.event_time + timedelta(days=delay), known_by)),
            )
            for index, ((sale, kind), delay) in enumerate(zip(drafts, delays_d, strict=True))
        ]


def _frauds(scene: frauds.Scene, count: int) -> Iterator[tuple[Sale, str | None]]:
    """`count` frauds, the kinds as evenly as the number allows."""
    for place, kind in enumerate(KINDS):
        share = count // len(KINDS) + (place < count % len(KINDS))
        yield from ((sale, kind) for sale in frauds.simulate_frauds(scene, kind, share))


def _rush_begins(opened: datetime, until: datetime, rushes: int, rush_s: float) -> list[datetime]:
    """Evenly spread back from `until`, each at `until`'s time of day, so that no hour of the clock stands for rush."""
    days = (until - opened).days
    return [
        until - timedelta(days=max(1, days * (place + 1) // (rushes + 1)), seconds=rush_s) for place in range(rushes)
    ]


def _each_once(resting: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """`count` places of `resting`; none comes again before all have come, and a lap's last are those that rest."""
    laps = [np.empty(0, dtype=np.int64)]
    for _ in range(-(-count // len(resting))):
        lap = rng.permutation(len(resting))
        laps.append(lap[np.argsort(resting[lap], kind="stable")])
    return np.concatenate(laps)[:count]
