import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from demo.shops import mysql_shop, sender
from demo.shops.shop import Fault, Row
from demo.tally import Tally
from simulator.profile import Profile
from simulator.retail import Retail
from simulator.sales import Labelled, Sale, Truth

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


class MemoryShop:
    """A shop whose database is a list of commits."""

    retailer = "alder"
    connector = "alder-orders"
    faults: Sequence[Fault] = mysql_shop.FAULTS

    def __init__(self) -> None:
        self.commits: list[list[Row]] = []
        self.labels: list[tuple[int, set[str]]] = []
        """Rows that were there before, and whose labels came."""
        self.on_write: Callable[[], None] = lambda: None

    def create(self) -> None:
        self.commits.clear()

    def make_row(self, sale: Sale) -> Row:
        return mysql_shop.build_order(sale)

    def load(self, history: Sequence[Labelled]) -> None:
        self.write([self.make_row(entry.sale) for entry in history])

    def write(self, rows: Sequence[Row]) -> None:
        self.commits.append(list(rows))
        self.on_write()

    def write_labels(self, truths: Mapping[str, Truth]) -> None:
        self.labels.append((sum(map(len, self.commits)), set(truths)))

    def list_customers_since(self, moment: datetime) -> set[str]:
        raise NotImplementedError  # nothing here looks for them

    def make_connector_file(self) -> str:
        return ""

    def close(self) -> None:
        self.commits.clear()


@pytest.fixture(scope="module")
def sales() -> list[Labelled]:
    return Retail(Profile(customers=200), 3, NOW - timedelta(days=28), "A-").simulate_live(NOW, 1.0, 300, 0.1, 1)


def planned(sales: list[Labelled], seed: int | None = 5) -> list[sender.Planned]:
    return sender.plan(MemoryShop(), sales, [place / 300 for place in range(len(sales))], seed=seed)


def test_every_fault_of_the_shop_occurs_and_only_in_genuine_sales(sales: list[Labelled]) -> None:
    spoilt = [one for one in planned(sales) if one.bad is not None]
    assert {one.bad for one in spoilt} == {fault.text for fault in mysql_shop.FAULTS}
    assert len(spoilt) == sender.SPOILT_EACH * len(mysql_shop.FAULTS)
    assert not any(one.entry.truth.fraud for one in spoilt)


def test_without_a_seed_no_row_is_spoilt(sales: list[Labelled]) -> None:
    assert all(one.bad is None for one in planned(sales, seed=None))


def test_the_same_seed_spoils_the_same_rows(sales: list[Labelled]) -> None:
    first, second = ([one.bad for one in planned(sales, seed)] for seed in (5, 5))
    assert first == second
    assert first != [one.bad for one in planned(sales, 6)]


def test_few_sales_are_spoilt_at_most_once_each(sales: list[Labelled]) -> None:
    few = [entry for entry in sales if not entry.truth.fraud][:4]
    assert sum(one.bad is not None for one in planned(few)) == 4


def test_every_row_is_written_once_in_order_and_its_commit_is_noted(sales: list[Labelled]) -> None:
    shop, tally, rows = MemoryShop(), Tally("alder"), planned(sales)
    sender.announce(tally, rows)
    begin_s = time.time() - 10.0
    sender.send(shop, rows, begin_s, tally=tally, lock=threading.Lock(), stop=threading.Event())
    written = [row["order_no"] for commit in shop.commits for row in commit]
    assert written == [entry.sale.transaction_id for entry in sales]
    assert max(map(len, shop.commits)) == sender.COMMIT_ROWS_MAX
    assert tally.sent == tally.expected["live"] == 300
    assert all(entry.committed_s is not None for entry in tally.entries.values())


def test_no_row_is_written_before_its_time(sales: list[Labelled]) -> None:
    shop, tally, rows = MemoryShop(), Tally("alder"), planned(sales[:30])
    sender.announce(tally, rows)
    begin_s = time.time()
    sender.send(shop, rows, begin_s, tally=tally, lock=threading.Lock(), stop=threading.Event())
    for one in rows:
        committed_s = tally.entries[one.entry.sale.transaction_id].committed_s
        assert committed_s is not None
        assert committed_s >= begin_s + one.offset_s


def test_a_stop_ends_the_writing_at_once(sales: list[Labelled]) -> None:
    shop, tally, rows = MemoryShop(), Tally("alder"), planned(sales)
    sender.announce(tally, rows)
    stop = threading.Event()
    shop.on_write = stop.set
    sender.send(shop, rows, time.time() - 10.0, tally=tally, lock=threading.Lock(), stop=stop)
    assert tally.sent == sender.COMMIT_ROWS_MAX


def test_a_label_is_written_once_the_sales_have_come_to_its_time() -> None:
    def sold(number: int, *, fraud: bool = False, known_after_s: float = 0) -> Labelled:
        moment = NOW + timedelta(seconds=number)
        sale = Sale(f"A-{number}", moment, 100, "EUR")
        return Labelled(sale, Truth(fraud, "x" if fraud else None, moment + timedelta(seconds=known_after_s)))

    old = [sold(-30, fraud=True, known_after_s=20), sold(-20, fraud=True, known_after_s=90), sold(-10)]
    new = [sold(number, fraud=number == 3, known_after_s=50) for number in range(100)]
    reports = sender.Reports([*old, *new], old[-1].sale.event_time)
    shop, tally, lock = MemoryShop(), Tally("alder"), threading.Lock()
    planned = sender.plan(shop, new, [0.0] * len(new), seed=None)
    sender.announce(tally, planned)
    sender.send(shop, planned, time.time(), tally=tally, lock=lock, stop=threading.Event(), reports=reports)
    assert shop.labels == [(100, {"A--20", "A-3"})], "A--30 was known before"
    assert tally.reported == 2
    assert reports.take_due(NOW + timedelta(days=1)) == {}
