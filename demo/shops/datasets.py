"""Real data files instead of the simulator: each known form becomes labelled sales, split between the two retailers.

What says fraud is truth only; it never becomes a field of a sale.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv, parquet

from contract.errors import ConfigurationError
from simulator.sales import Labelled, Sale, Truth

LABEL_DELAY = timedelta(days=7)
"""Of the Handbook's protocol; both files know the truth of every row."""
CURRENCY = "EUR"
"""Neither file names one."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Form:
    """One kind of file: which columns give it away, and how its rows are read."""

    name: str
    columns: tuple[str, ...]
    time_column: str
    half: Callable[[dict[str, Any]], int]
    """Which of the two retailers a row belongs to, 0 or 1."""
    sale: Callable[[dict[str, Any], str], Labelled]
    """From a row and a transaction id."""
    kinds: dict[str, str]
    """Fraud kinds, and how they are shown."""
    weeks: float | None
    """How much of the newest part is read unless the user says otherwise; None: everything."""


def _utc(value: datetime | str) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _minor(amount: float) -> int:
    return max(0, round(amount * 100))


def _coin(text: str) -> int:
    """0 or 1 by a hash of its own: Kafka's partitions go by CRC-32, and a half must not fill only half of them."""
    return hashlib.blake2b(text.encode(), digest_size=1).digest()[0] % 2


def _handbook_sale(row: dict[str, Any], transaction_id: str) -> Labelled:
    moment = _utc(row["TX_DATETIME"])
    fraud = bool(row["TX_FRAUD"])
    kind = f"scenario_{row['TX_FRAUD_SCENARIO']}" if fraud else None
    sale = Sale(
        transaction_id=transaction_id,
        event_time=moment,
        amount_minor=_minor(row["TX_AMOUNT"]),
        currency=CURRENCY,
        customer=str(row["CUSTOMER_ID"]),
        terminal=str(row["TERMINAL_ID"]),
    )
    return Labelled(sale, Truth(fraud, kind, moment + LABEL_DELAY))


def _ecommerce_sale(row: dict[str, Any], transaction_id: str) -> Labelled:
    moment = _utc(row["Transaction Date"])
    fraud = bool(row["Is Fraudulent"])
    sale = Sale(
        transaction_id=transaction_id,
        event_time=moment,
        amount_minor=_minor(row["Transaction Amount"]),
        currency=CURRENCY,
        customer=row["Customer ID"],
        ip=row["IP Address"],
        address=" ".join(row["Shipping Address"].split()),
        # A class of three (desktop, mobile, tablet) is no device's identity.
        channel=row["Device Used"],
        payment_method=row["Payment Method"],
        category=row["Product Category"],
        customer_since=moment - timedelta(days=int(row["Account Age Days"])),
        basket_items=int(row["Quantity"]),
    )
    return Labelled(sale, Truth(fraud, "fraud" if fraud else None, moment + LABEL_DELAY))


FORMS = (
    Form(
        name="Fraud Detection Handbook",
        columns=("TRANSACTION_ID", "TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD", "TX_FRAUD_SCENARIO"),
        time_column="TX_DATETIME",
        half=lambda row: int(row["TERMINAL_ID"]) % 2,
        sale=_handbook_sale,
        kinds={
            "scenario_1": "amount above 220",
            "scenario_2": "compromised terminal",
            "scenario_3": "leaked credentials",
        },
        weeks=4,
    ),
    Form(
        name="e-commerce orders",
        columns=(
            "Transaction ID", "Customer ID", "Transaction Amount", "Transaction Date", "Payment Method",
            "Product Category", "Quantity", "Device Used", "IP Address", "Shipping Address", "Is Fraudulent", "Account Age Days",
        ),
        time_column="Transaction Date",
        half=lambda row: _coin(row["Customer ID"]),
        sale=_ecommerce_sale,
        kinds={"fraud": "fraud"},
        weeks=None,
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DataSet:
    """A file, read."""

    form: Form
    halves: tuple[list[Labelled], list[Labelled]]
    """One list per retailer, each in time order."""


def read(file: Path, *, rows: int | None, weeks: float | None, prefixes: tuple[str, str]) -> DataSet:
    """The newest part of `file`: the last `rows`, else the last `weeks`, else as much as its form is usually read.

    Raises ConfigurationError in one sentence for a file that is absent, damaged or of an unknown form.
    """
    table = _table(file)
    form = next((form for form in FORMS if set(form.columns) <= set(table.column_names)), None)
    if form is None:
        known = "; ".join(f"{form.name}: {', '.join(form.columns)}" for form in FORMS)
        raise ConfigurationError([f"{file}: --data expects a Parquet or CSV file with the columns of one of: {known}"])
    newest = _newest(table.select(form.columns), form.time_column, rows, form.weeks if weeks is None else weeks)
    return DataSet(form, _halves(form, newest.to_pylist(), prefixes, file))


def _table(file: Path) -> pa.Table:
    try:
        return csv.read_csv(file) if file.suffix.lower() == ".csv" else parquet.read_table(file)
    except FileNotFoundError:
        raise ConfigurationError([f"{file} does not exist; --data expects a Parquet or CSV file"]) from None
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(
            [f"{file} cannot be read as Parquet or CSV ({type(error).__name__}); --data expects one of the two"]
        ) from None


def _newest(table: pa.Table, time_column: str, rows: int | None, weeks: float | None) -> pa.Table:
    """In time order; ties keep the file's order."""
    times = table[time_column]
    if pa.types.is_string(times.type) or pa.types.is_large_string(times.type):
        times = pc.strptime(times, format="%Y-%m-%d %H:%M:%S", unit="us")
    times = pc.cast(times, pa.timestamp("us"), safe=False)
    table = table.set_column(table.column_names.index(time_column), time_column, times)
    if rows is None and weeks is not None:
        start = pc.max(times).as_py() - timedelta(weeks=weeks)
        table = table.filter(pc.greater(table[time_column], pa.scalar(start, pa.timestamp("us"))))
    table = table.take(pc.sort_indices(table, sort_keys=[(time_column, "ascending")]))
    return table if rows is None else table.slice(max(0, table.num_rows - rows))


def _halves(form: Form, rows: Rows, prefixes: tuple[str, str], file: Path) -> tuple[list[Labelled], list[Labelled]]:
    halves: tuple[list[Labelled], list[Labelled]] = ([], [])
    try:
        for row in rows:
            half = form.half(row)
            halves[half].append(form.sale(row, f"{prefixes[half]}{len(halves[half]) + 1:08d}"))
    except (TypeError, ValueError, AttributeError):
        place = len(halves[0]) + len(halves[1]) + 1
        raise ConfigurationError(
            [f"{file}: row {place} of the newest part lacks a value or has one of a wrong type"]
        ) from None
    return halves


def cut(sales: list[Labelled], live_rows: int) -> tuple[list[Labelled], list[Labelled]]:
    """History and live part; the last `live_rows` are live, at most a third of all, so that something is left to learn from."""
    live = min(live_rows, len(sales) // 3)
    return sales[: len(sales) - live], sales[len(sales) - live :]
