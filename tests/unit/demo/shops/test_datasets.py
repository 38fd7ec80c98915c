import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from contract.errors import ConfigurationError
from demo.shops import datasets

START = datetime(2018, 8, 1)  # noqa: DTZ001 - as the file holds it
PREFIXES = ("A-", "B-")
DATA = Path(os.environ.get("TILLGUARD_DATA", "../shared/data"))


def handbook(rows: int = 400) -> pa.Table:
    return pa.table(
        {
            "TRANSACTION_ID": list(range(rows)),
            "TX_DATETIME": [START + timedelta(hours=2 * n) for n in range(rows)],
            "CUSTOMER_ID": [n % 37 for n in range(rows)],
            "TERMINAL_ID": [n % 11 for n in range(rows)],
            "TX_AMOUNT": [n + 0.25 for n in range(rows)],
            "TX_FRAUD": [int(n % 20 == 0) for n in range(rows)],
            "TX_FRAUD_SCENARIO": [2 if n % 20 == 0 else 0 for n in range(rows)],
        }
    )


def read(file: Path, rows: int | None = None, weeks: float | None = None) -> datasets.DataSet:
    return datasets.read(file, rows=rows, weeks=weeks, prefixes=PREFIXES)


def test_the_handbook_is_split_by_terminal_and_read_for_four_weeks(tmp_path: Path) -> None:
    parquet.write_table(handbook(), tmp_path / "h.parquet")
    data = read(tmp_path / "h.parquet")
    sales = [entry.sale for half in data.halves for entry in half]
    assert len(sales) == 336  # 28 days of 12
    for half, number in zip(data.halves, (0, 1), strict=True):
        assert {int(entry.sale.terminal or "") % 2 for entry in half} == {number}
        times = [entry.sale.event_time for entry in half]
        assert times == sorted(times)


def test_rows_and_weeks_choose_how_much_of_the_newest_part_is_read(tmp_path: Path) -> None:
    parquet.write_table(handbook(), tmp_path / "h.parquet")
    assert sum(map(len, read(tmp_path / "h.parquet", rows=30).halves)) == 30
    assert sum(map(len, read(tmp_path / "h.parquet", weeks=1).halves)) == 84
    newest = max(entry.sale.event_time for half in read(tmp_path / "h.parquet", rows=1).halves for entry in half)
    assert newest == (START + timedelta(hours=2 * 399)).replace(tzinfo=UTC)


def test_what_says_fraud_is_truth_only(tmp_path: Path) -> None:
    parquet.write_table(handbook(), tmp_path / "h.parquet")
    entries = [entry for half in read(tmp_path / "h.parquet").halves for entry in half]
    kinds = {entry.truth.kind for entry in entries}
    assert kinds == {None, "scenario_2"}
    assert all(entry.sale[6:11] == (None,) * 5 for entry in entries)
    fraud = next(entry for entry in entries if entry.truth.fraud)
    assert fraud.sale._replace(transaction_id="", event_time=START) == fraud.sale.__class__(
        "", START, fraud.sale.amount_minor, "EUR", customer=fraud.sale.customer, terminal=fraud.sale.terminal
    )


def test_a_csv_of_the_same_columns_reads_the_same(tmp_path: Path) -> None:
    parquet.write_table(handbook(), tmp_path / "h.parquet")
    csv.write_csv(handbook(), tmp_path / "h.csv")
    assert read(tmp_path / "h.csv").halves == read(tmp_path / "h.parquet").halves


@pytest.mark.parametrize("name", ["x.parquet", "x.csv", "x.txt"])
def test_a_file_that_is_none_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match="does not exist; --data expects a Parquet or CSV file"):
        read(tmp_path / name)
    (tmp_path / name).write_bytes(b"\x00\xff not a table")
    with pytest.raises(ConfigurationError) as refused:
        read(tmp_path / name)
    assert len(refused.value.faults) == 1
    assert "--data expects" in refused.value.faults[0]


def test_unknown_columns_are_answered_with_the_ones_expected(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "a.parquet")
    with pytest.raises(ConfigurationError, match="TX_AMOUNT"):
        read(tmp_path / "a.parquet")


def test_a_row_without_a_value_is_named_by_its_place(tmp_path: Path) -> None:
    table = handbook(12)
    amounts = table.column_names.index("TX_AMOUNT")
    table = table.set_column(amounts, "TX_AMOUNT", pa.array([1.0] * 5 + [None] + [1.0] * 6))
    parquet.write_table(table, tmp_path / "h.parquet")
    with pytest.raises(ConfigurationError, match="row 6 "):
        read(tmp_path / "h.parquet", rows=12)


def test_the_live_part_is_the_newest_and_leaves_a_history() -> None:
    numbers: list[Any] = list(range(90))
    history, live = datasets.cut(numbers, 20)
    assert (history, live) == (numbers[:70], numbers[70:])
    history, live = datasets.cut(numbers, 1_000)
    assert (len(history), len(live)) == (60, 30)


@pytest.mark.parametrize("name", ["handbook.parquet", "ecommerce-2024.parquet"])
def test_the_shared_files_are_known(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there")
    data = read(DATA / name, rows=3_000)
    entries = [entry for half in data.halves for entry in half]
    assert len(entries) == 3_000
    assert min(map(len, data.halves)) > 1_000
    assert {entry.truth.kind for entry in entries if entry.truth.fraud} <= set(data.form.kinds)
    assert len({entry.sale.transaction_id for entry in entries}) == 3_000
