"""Sales by hand, called again and again, need the server of their own retailer only."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from contract.errors import ConfigurationError
from demo import beginnings, selling
from demo.selling import RATE_MAX, choose_first_number, sell


@pytest.mark.parametrize("rate", [0.1, 10.0, 200.0, RATE_MAX])
def test_a_call_begins_beyond_the_numbers_of_the_one_that_ended_just_before(rate: float) -> None:
    begin_s, sales = 1_795_438_760.25, 2_000
    assert choose_first_number(begin_s + sales / rate) >= choose_first_number(begin_s) + sales


class Counter:
    """A shop of the demonstration that only counts what it is given."""

    connector = "c"
    faults = ()

    def __init__(self, retailer: str) -> None:
        self.retailer = retailer
        self.rows = 0
        self.closed = False

    def list_customers_since(self, moment: object) -> set[str]:
        return set()

    def make_row(self, sale: Any) -> dict[str, Any]:
        return {"id": sale.transaction_id}

    def write(self, rows: Any) -> None:
        self.rows += len(rows)

    def write_labels(self, truths: Any) -> None:
        """What became known is of no interest here."""

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    ("retailer", "server", "other"), [("alder", "mariadb", "mongodb"), ("birch", "mongodb", "mariadb")]
)
def test_sales_need_no_other_server_than_the_retailer_s_own(
    retailer: str, server: str, other: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[Counter] = []
    running = [server]

    class Stack:
        def __init__(self, state: Path) -> None:
            self.endpoints = {name: SimpleNamespace(host="h", port=1, user="u", password="p") for name in running}

        def check_status(self) -> list[Any]:
            return [SimpleNamespace(name=name, state="running") for name in running]

    def shop(name: str, *_: object) -> Counter:
        made.append(Counter(name))
        return made[-1]

    monkeypatch.setattr(selling, "Stack", Stack)
    monkeypatch.setattr(beginnings, "MysqlShop", shop)
    monkeypatch.setattr(beginnings, "MongoShop", shop)
    sold, _ = sell(retailer, tmp_path, transactions=5, rate=1000.0, seed=7)
    assert [(each.retailer, each.rows, each.closed) for each in made] == [(retailer, sold, True)]
    running[:] = [other]
    with pytest.raises(ConfigurationError, match=f"not running: {server}, where {retailer}"):
        sell(retailer, tmp_path, transactions=5, rate=1000.0, seed=7)
