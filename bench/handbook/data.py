"""The Handbook's file as payments, as transactions of a retailer, and as examples with the streaming engine's features.

What says fraud never becomes a field of a transaction.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from bench.handbook.protocol import DELAY_DAYS, Payments
from contract.clock import from_epoch_ms
from contract.errors import ConfigurationError, TillguardError
from contract.events import Origin, Transaction
from contract.money import get_exponent
from contract.settings import Settings
from tillguard.history.reading import Found, LabelQueue
from tillguard.history.replay import Progress, replay
from trainer.examples.examples import Examples
from trainer.examples.spool import Spool

COLUMNS = ("TX_DATETIME", "CUSTOMER_ID", "TERMINAL_ID", "TX_AMOUNT", "TX_FRAUD", "TX_FRAUD_SCENARIO")
RETAILER, CURRENCY = "handbook", "EUR"
"""The file names no currency."""
AGE = timedelta(days=1)
"""The replay's clock stands so long after the newest payment: nothing lies in the future, whatever weeks the file holds."""
_ORIGIN = Origin(connector="bench", phase="replay", source="handbook", position="0")


def read(file: Path) -> Payments:
    """All payments of a Parquet file, in time order, ties in the file's order; raises ConfigurationError."""
    try:
        table = parquet.read_table(file, columns=list(COLUMNS))
    except FileNotFoundError:
        raise ConfigurationError([f"{file} does not exist; --data names the Handbook's Parquet file"]) from None
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(
            [f"{file} is no Parquet file with {', '.join(COLUMNS)}: {type(error).__name__}"]
        ) from None
    try:
        times = pc.cast(pc.cast(table["TX_DATETIME"], pa.timestamp("ms"), safe=False), pa.int64())
        columns = [_whole(pc.cast(table[name], pa.float64()), name) for name in COLUMNS[1:3]]
        amounts = np.rint(np.asarray(pc.cast(table["TX_AMOUNT"], pa.float64())) * 10 ** get_exponent(CURRENCY))
        truths = [_whole(pc.cast(table[name], pa.float64()), name) for name in COLUMNS[4:]]
    except (pa.ArrowException, ValueError) as error:
        raise ConfigurationError([f"{file}: a value is missing or has a wrong type ({error})"]) from None
    time_ms = np.asarray(times)
    order = np.argsort(time_ms, kind="stable")
    return Payments(
        time_ms=time_ms[order],
        customer=columns[0][order],
        terminal=columns[1][order],
        amount_minor=np.maximum(amounts, 0).astype(np.int64)[order],
        fraud=truths[0][order] != 0,
        scenario=truths[1][order],
    )


def _whole(column: pa.ChunkedArray, name: str) -> NDArray[np.int64]:
    values = np.asarray(column, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} has holes")
    return values.astype(np.int64)


def build_transactions(payments: Payments, found: Found) -> Iterator[Transaction]:
    """The payments as a connector would send them; row r is transaction `r`. What each was goes to `found`, with the delay."""
    for row in range(len(payments)):
        time_ms = int(payments.time_ms[row])
        moment = from_epoch_ms(time_ms)
        found.note_label(str(row), bool(payments.fraud[row]), event_time_ms=time_ms)
        yield Transaction(
            transaction_id=str(row),
            retailer=RETAILER,
            event_time=moment,
            ingest_time=moment,
            amount_minor=int(payments.amount_minor[row]),
            currency=CURRENCY,
            origin=_ORIGIN,
            customer=f"c{payments.customer[row]}",
            terminal=f"t{payments.terminal[row]}",
        )


def compute_examples(payments: Payments, spool: Spool, progress: Progress | None = None) -> Examples:
    """Examples whose row r is payment r, with the features that serving would have computed: the same script, the same code.

    The features lie in the spool's folder, and end with it. Raises TillguardError where Redis or the disk fail.
    """
    settings = Settings(retailer=RETAILER, base_currency=CURRENCY, trainer={"label_delay_days": DELAY_DAYS})
    found = Found(queue=LabelQueue(DELAY_DAYS))
    replayed = replay(
        settings,
        build_transactions(payments, found),
        spool,
        now=_after(payments),
        labels=found.queue,
        progress=progress,
    )
    if replayed.applied != len(payments):
        raise TillguardError(f"{len(payments) - replayed.applied:,} payments were refused: {dict(replayed.refused)}")
    replayed_as = spool.read_columns()
    if not np.array_equal(replayed_as.event_time_ms, payments.time_ms):
        raise TillguardError("the replay gave the payments in another order")
    return Examples(
        event_time_ms=replayed_as.event_time_ms,
        features=spool.read_features(replayed_as.transaction_ids),
        fraud=np.array([found.labels[name] for name in replayed_as.transaction_ids]),
        amount=replayed_as.amount_base_minor / 10.0 ** get_exponent(CURRENCY),
    )


def _after(payments: Payments) -> datetime:
    return from_epoch_ms(int(payments.time_ms[-1])) + AGE
