"""The third act's retailers: what each sold, which frauds it has seen, and the examples it can learn from.

Each sold for four weeks. In the first part of them it met its own kinds of fraud only. Then the other kinds begin there as well: so
few by now that they are enough to judge a model by, and none of them is learned from (trainer.examples.examples.split_rows takes the older
70 % of the frauds for that). What it sold last is kept back: no model learns from it or is chosen by it.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.events import Label, Origin, Transaction
from contract.features import FeatureRecord, get_schema_hash
from contract.settings import Settings
from demo.children import DemoError
from simulator.profile import Profile
from simulator.retail import HistoryPlan, Retail
from simulator.sales import KINDS, Labelled
from tillguard.history.replay import replay
from trainer.examples.spool import Spool
from trainer.examples.store import ExampleStore

WEEKS = 4
FRAUD_SHARE = 0.08
"""Four times the usual: so that few sales hold enough frauds of every kind to learn from and to measure recall."""
NEW_PER_OLD = 0.4
"""Frauds since the other kinds began, per older one: they stay in the newest 30 % of all."""
_ORIGIN = Origin(connector="history", phase="stream", source="history", position="0")
_SEED = 1_000
"""Added to the demonstration's, so that these are other people than the first act's."""


@dataclass(frozen=True, slots=True)
class Member:
    """One of the three."""

    name: str
    seen: tuple[str, ...]
    """Kinds of fraud in the part of its history that it learned from."""
    rows: int
    """Sales in all."""
    old_share: float
    """Of them, before the other kinds began."""
    profile: Profile = field(default_factory=Profile)
    newcomer: bool = False

    @property
    def never_seen(self) -> tuple[str, ...]:
        """The other kinds."""
        return tuple(kind for kind in KINDS if kind not in self.seen)


MEMBERS = (
    Member("cedar", ("stolen_card", "account_takeover"), 7_000, 0.60),
    Member(
        "dogwood",
        ("card_testing", "coupon_abuse", "bots"),
        7_000,
        0.55,
        Profile(home="NL", neighbours=("BE", "DE", "FR", "GB"), spend_median=29.0, store_share=0.12, tills=40),
    ),
    Member(
        "elm",
        ("card_testing", "bots"),
        4_500,
        0.42,
        Profile(home="AT", neighbours=("DE", "IT", "CH", "HU"), spend_median=44.0, tills=20, customers=2_000),
        newcomer=True,
    ),
)


class Past(NamedTuple):
    """A member's sales, in time order."""

    old: list[Labelled]
    """With frauds of the kinds that it has seen."""
    new: list[Labelled]
    """Since the other kinds began: only judged by."""
    later: list[Labelled]
    """Kept back."""


def simulate_past(member: Member, place: int, seed: int, now: datetime) -> Past:
    """What `member`, the `place`-th, sold until `now`. Pure."""
    retail = Retail(
        member.profile, 2 * (seed + _SEED) + place, now - timedelta(weeks=WEEKS), f"{member.name[0].upper()}-"
    )
    sales = retail.simulate_history(now, HistoryPlan(rows=member.rows, fraud_share=FRAUD_SHARE, rushes=0))
    begin = round(member.rows * member.old_share)
    old = [entry for entry in sales[:begin] if not entry.truth.fraud or entry.truth.kind in member.seen]
    room = int(NEW_PER_OLD * sum(entry.truth.fraud for entry in old))
    frauds = np.cumsum([entry.truth.fraud for entry in sales[begin:]])
    end = begin + int(np.searchsorted(frauds, room, side="right"))
    return Past(old, sales[begin:end], sales[end:])


class Examples(NamedTuple):
    """Sales with their features, in time order."""

    sales: Sequence[Labelled]
    features: NDArray[np.float32]
    """Shape (n, F)."""
    amount_minor: NDArray[np.int64]

    def select(self, first: int, count: int) -> "Examples":
        """`count` of them."""
        rows = slice(first, first + count)
        return Examples(self.sales[rows], self.features[rows], self.amount_minor[rows])

    @property
    def kinds(self) -> list[str | None]:
        """The truth about each; None: genuine."""
        return [entry.truth.kind for entry in self.sales]


class Prepared(NamedTuple):
    """All that a member has, with features."""

    old: Examples
    new: Examples
    later: Examples


def prepare(settings: Settings, sold: Past, now: datetime) -> Prepared:
    """Features by the script that serving uses, each sale in the windows of those before it."""
    sales = [*sold.old, *sold.new, *sold.later]
    history = (
        Transaction(retailer=settings.retailer, ingest_time=each.sale.event_time, origin=_ORIGIN, **each.sale._asdict())
        for each in sales
    )
    with tempfile.TemporaryDirectory(prefix="tillguard-demo-") as folder, Spool(Path(folder)) as spool:
        replay(settings, history, spool, now=now)
        found = spool.read_columns()
        if len(found.transaction_ids) != len(sales):
            raise DemoError(f"{settings.retailer}: {len(spool):,} of {len(sales):,} simulated sales got features")
        every = Examples(sales, np.array(spool.read_features(found.transaction_ids)), found.amount_base_minor)
    old, new = len(sold.old), len(sold.new)
    return Prepared(every.select(0, old), every.select(old, new), every.select(old + new, len(sold.later)))


def store(settings: Settings, examples: Examples) -> None:
    """Into the retailer's examples store, each with its label, as its trainer takes them from the topics."""
    opened = ExampleStore(settings.trainer.examples_url.get_secret_value(), settings.retailer)
    try:
        records = [_record(settings, *row) for row in zip(*examples, strict=True)]
        opened.put(records, [_label(settings, entry) for entry in examples.sales])
    finally:
        opened.close()


def _record(settings: Settings, entry: Labelled, features: NDArray[np.float32], amount_minor: int) -> FeatureRecord:
    return FeatureRecord(
        transaction_id=entry.sale.transaction_id,
        retailer=settings.retailer,
        event_time=entry.sale.event_time,
        applied_seq=int(entry.sale.transaction_id.rpartition("-")[2]),
        feature_schema=get_schema_hash(),
        values=features.astype("<f4").tobytes(),
        score=0.0,
        model_version="none",
        rules_version="none",
        decision="allow",
        amount_base_minor=int(amount_minor),
    )


def _label(settings: Settings, entry: Labelled) -> Label:
    return Label(
        transaction_id=entry.sale.transaction_id,
        retailer=settings.retailer,
        fraud=entry.truth.fraud,
        source="chargeback",
        label_time=entry.truth.known_at,
        ingest_time=entry.truth.known_at,
        origin=_ORIGIN,
        kind=entry.truth.kind,
    )


def choose_stopped(scores: NDArray[np.floating], share: float) -> NDArray[np.bool_]:
    """The `share` of transactions with the highest scores; of equal scores the earlier count first. Pure.

    `scores` and the result have the shape (n,); `share` is within [0, 1].
    """
    chosen = np.zeros(len(scores), dtype=np.bool_)
    chosen[np.argsort(-scores, kind="stable")[: round(share * len(scores))]] = True
    return chosen


def compute_recall(stop: NDArray[np.bool_], kinds: Sequence[str | None], wanted: Sequence[str]) -> float | None:
    """The share of frauds of the `wanted` kinds that are stopped; None where there are none. Pure.

    `stop`: (n,), in step with `kinds`.
    """
    rows = np.array([kind in wanted for kind in kinds], dtype=np.bool_)
    return float(stop[rows].mean()) if rows.any() else None
