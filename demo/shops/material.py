"""What the two retailers sell: simulated, or from a data file. Pure but for reading that file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from demo.shops import datasets
from simulator.profile import Profile
from simulator.retail import HistoryPlan, Retail
from simulator.sales import KINDS, NEW_KINDS, Labelled

HISTORY_WEEKS = 4
LATER_FRAUD_SHARE = 0.03
"""Of the known kinds, next to the new one of the second act."""
LIVE_FRAUD_SHARE = 0.06
"""Three times the usual share, so that two minutes show enough frauds of every kind to measure recall."""
KNOWN_MIN = 0.25
"""Of a file's history: where less would be known because it is hardly longer than the label delay, the truth of every sale is given."""
PROFILES = (
    Profile(home="DE", neighbours=("AT", "NL", "FR", "PL"), spend_median=38.0, store_share=0.25),
    Profile(home="NL", neighbours=("BE", "DE", "FR", "GB"), spend_median=29.0, store_share=0.12, tills=40),
)


class Material(Protocol):
    """Sales for two retailers."""

    source: str
    """In words, for people."""
    kinds: Mapping[str, str]
    """Fraud kinds, and how they are shown."""
    replay: bool
    """Event times are a file's own, long past."""

    def make_histories(self) -> tuple[Sequence[Labelled], Sequence[Labelled]]:
        """What the retailers sold before the demonstration."""
        ...

    def get_known_by(self, history: Sequence[Labelled]) -> datetime | None:
        """When a history ends that holds only what had become known by then; None: one that holds the truth of every sale."""
        ...

    def make_live(self, begin: datetime) -> tuple[Sequence[Labelled], Sequence[Labelled]]:
        """What they sell from `begin` on, in order."""
        ...

    def compute_offsets_s(self, sales: Sequence[Labelled], begin: datetime) -> list[float]:
        """When each of `sales` is written, seconds after `begin`."""
        ...


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much of everything."""

    rate: float
    """Live transactions per second, over both retailers."""
    transactions: int
    """Live transactions, over both."""
    history_rows: int
    """Per retailer."""

    @property
    def halves(self) -> tuple[int, int]:
        """Live transactions by retailer."""
        return self.transactions - self.transactions // 2, self.transactions // 2

    @property
    def seconds(self) -> float:
        """Length of the live phase."""
        return self.transactions / self.rate


class Simulated:
    """The retail simulator, twice, with two kinds of retailer."""

    kinds: Mapping[str, str] = {**KINDS, **NEW_KINDS}
    replay = False

    def __init__(self, seed: int, amounts: Amounts, now: datetime, prefixes: tuple[str, str]) -> None:
        """The histories end at `now`."""
        self.source = f"the retail simulator (seed {seed})"
        self._amounts = amounts
        self._now = now
        opened = now - timedelta(weeks=HISTORY_WEEKS)
        self._retails = tuple(
            Retail(profile, 2 * seed + place, opened, prefix)
            for place, (profile, prefix) in enumerate(zip(PROFILES, prefixes, strict=True))
        )

    def make_histories(self) -> tuple[Sequence[Labelled], Sequence[Labelled]]:
        plan = HistoryPlan(rows=self._amounts.history_rows, rush_rate=self._amounts.rate / 2)
        first, second = (retail.simulate_history(self._now, plan) for retail in self._retails)
        return first, second

    def get_known_by(self, history: Sequence[Labelled]) -> datetime | None:  # noqa: ARG002 - it always holds the truth
        return None

    def make_live(self, begin: datetime) -> tuple[Sequence[Labelled], Sequence[Labelled]]:
        first, second = (
            retail.simulate_live(begin, self._amounts.seconds, rows, LIVE_FRAUD_SHARE, self._amounts.history_rows + 1)
            for retail, rows in zip(self._retails, self._amounts.halves, strict=True)
        )
        return first, second

    def compute_offsets_s(self, sales: Sequence[Labelled], begin: datetime) -> list[float]:
        return [(entry.sale.event_time - begin).total_seconds() for entry in sales]

    def sell_later(
        self, begin: datetime, seconds: float, rows: int, *, besides: Mapping[str, float], sold: int, resting: set[str]
    ) -> Sequence[Labelled]:
        """As second_act.Selling asks."""
        return self._retails[0].simulate_more(
            begin,
            seconds,
            rows,
            LATER_FRAUD_SHARE,
            first_number=self._amounts.history_rows + self._amounts.halves[0] + sold + 1,
            resting=resting,
            besides=besides,
        )


class FromFile:
    """A data file; its newest part is live, at an even pace, with its own event times."""

    replay = True

    def __init__(
        self, file: Path, amounts: Amounts, rows: int | None, weeks: float | None, prefixes: tuple[str, str]
    ) -> None:
        """Reads `file`; raises ConfigurationError in one sentence for what it cannot read."""
        data = datasets.read(file, rows=rows, weeks=weeks, prefixes=prefixes)
        self.source = f"{file.name} ({data.form.name})"
        self.kinds: Mapping[str, str] = data.form.kinds
        self._rate = amounts.rate / 2
        self._parts = tuple(datasets.cut(half, live) for half, live in zip(data.halves, amounts.halves, strict=True))

    def make_histories(self) -> tuple[Sequence[Labelled], Sequence[Labelled]]:
        return self._parts[0][0], self._parts[1][0]

    def get_known_by(self, history: Sequence[Labelled]) -> datetime | None:
        end = history[-1].sale.event_time
        known = sum(one.truth.known_at <= end for one in history)
        return end if known >= KNOWN_MIN * len(history) else None

    def make_live(self, begin: datetime) -> tuple[Sequence[Labelled], Sequence[Labelled]]:  # noqa: ARG002 - they keep their own times
        return self._parts[0][1], self._parts[1][1]

    def compute_offsets_s(self, sales: Sequence[Labelled], begin: datetime) -> list[float]:  # noqa: ARG002 - an even pace
        return [place / self._rate for place in range(len(sales))]
