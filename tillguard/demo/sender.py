"""Writes live sales into one shop's database, each when its time has come."""

import random
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from connectors.simulator.sales import Labelled
from tillguard.demo.shop import Fault, Row, Shop
from tillguard.demo.tally import Entry, Phase, Tally

COMMIT_ROWS_MAX = 50
"""Rows of one commit where several are due at once; few, as in a shop."""
SPOILT_EACH = 2
"""How often each of a shop's faults occurs, when there are sales enough."""


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
        row, fault = shop.row(entry.sale), spoilt.get(place)
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
) -> None:
    """Writes every row at `begin_s` (wall clock, s) plus its offset, late ones at once; ends early when `stop` is set."""
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
                tally.committed(one.entry.sale.transaction_id, committed_s)
        place = due
