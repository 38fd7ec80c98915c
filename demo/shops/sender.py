"""Writes live sales into one shop's database, each when its time has come."""

import random
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from demo.shops.shop import Fault, Row, Shop
from demo.tally import Entry, Phase, Tally
from simulator.sales import Labelled, Truth

COMMIT_ROWS_MAX = 50
"""Rows of one commit where several are due at once; few, as in a shop."""
SPOILT_EACH = 2
"""How often each of a shop's faults occurs, when there are sales enough."""


class Reports:
    """Frauds that become known while sales continue, by the sales' own time: each once, in the order in which they become known."""

    def __init__(self, sales: Sequence[Labelled], after: datetime) -> None:
        """`sales`: of which the frauds that become known later than `after` are reported."""
        self._waiting = sorted(
            (one for one in sales if one.truth.fraud and one.truth.known_at > after), key=lambda one: one.truth.known_at
        )
        self._place = 0

    def take_due(self, now: datetime) -> dict[str, Truth]:
        """Takes out what has become known by then, by transaction id."""
        begin = self._place
        while self._place < len(self._waiting) and self._waiting[self._place].truth.known_at <= now:
            self._place += 1
        return {one.sale.transaction_id: one.truth for one in self._waiting[begin : self._place]}


class Planned(NamedTuple):
    """A row that waits for its moment."""

    offset_s: float
    """Seconds after the start of the live phase."""
    entry: Labelled
    row: Row
    bad: str | None
    """What was broken on purpose."""


def plan(shop: Shop, sales: Sequence[Labelled], offsets_s: Sequence[float], *, seed: int | None) -> list[Planned]:
    """Rows in the shop's shape; with a `seed` some genuine ones are spoilt, each of the shop's faults alike. Pure."""
    spoilt = {} if seed is None else _spoilt(shop.faults, sales, random.Random(seed))  # noqa: S311 - repeatable
    planned = []
    for place, (entry, offset_s) in enumerate(zip(sales, offsets_s, strict=True)):
        row, fault = shop.make_row(entry.sale), spoilt.get(place)
        planned.append(Planned(offset_s, entry, fault.spoil(row) if fault else row, fault.text if fault else None))
    return planned


def _spoilt(faults: Sequence[Fault], sales: Sequence[Labelled], chance: random.Random) -> dict[int, Fault]:
    """Which of the sales get which fault."""
    genuine = [place for place, entry in enumerate(sales) if not entry.truth.fraud]
    times = SPOILT_EACH if len(genuine) > 20 * len(faults) else 1
    places = chance.sample(genuine, min(len(genuine), times * len(faults)))
    return {place: faults[turn % len(faults)] for turn, place in enumerate(places)}


def announce(tally: Tally, planned: Sequence[Planned], phase: Phase = "live") -> None:
    """Tells the tally what will be written."""
    for one in planned:
        sale = one.entry.sale
        tally.expect(sale.transaction_id, Entry(phase, one.entry.truth, sale.amount_minor, bad=one.bad))


def send(
    shop: Shop,
    planned: Sequence[Planned],
    begin_s: float,
    *,
    tally: Tally,
    lock: threading.Lock,
    stop: threading.Event,
    reports: Reports | None = None,
) -> None:
    """Writes every row at `begin_s` (wall clock, s) plus its offset, late ones at once; ends early when `stop` is set.

    `reports`: what is written as a label once the sales have come to its time.
    """
    place = 0
    while place < len(planned) and not stop.is_set():
        elapsed_s = time.time() - begin_s
        due = place
        while due < len(planned) and due - place < COMMIT_ROWS_MAX and planned[due].offset_s <= elapsed_s:
            due += 1
        if due == place:
            stop.wait(min(0.05, planned[place].offset_s - elapsed_s))
            continue
        shop.write([one.row for one in planned[place:due]])
        committed_s = time.time()
        with lock:
            for one in planned[place:due]:
                tally.note_committed(one.entry.sale.transaction_id, committed_s)
        known = reports.take_due(planned[due - 1].entry.sale.event_time) if reports is not None else {}
        if known:
            shop.write_labels(known)
            with lock:
                tally.reported += len(known)
        place = due
