"""Feature rows on disk while a history is read, so that its length is bounded by the disk and not by memory.

In memory stay an id, a time, a number and an amount per transaction (about 150 bytes). One process, one thread.
"""

from array import array
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from contract.errors import TillguardError
from contract.features import get_feature_names

GATHERED_ROWS = 16_384
ROW_BYTES = 4 * len(get_feature_names())


class Columns(NamedTuple):
    """N transactions in event-time order (ties by applied_seq), without their features."""

    transaction_ids: list[str]
    event_time_ms: NDArray[np.int64]
    applied_seq: NDArray[np.int64]
    amount_base_minor: NDArray[np.int64]


class Spool:
    """Takes rows in any order, gives examples in event-time order. A context manager: its files end with it."""

    def __init__(self, folder: Path) -> None:
        """`folder` exists and is this spool's own; some 900 bytes a transaction are written there, twice in the worst case."""
        self._folder = folder
        self._file = folder / "rows.f4"
        self._stream = self._file.open("wb")
        self._rows: dict[str, int] = {}
        self._event_time_ms = array("q")
        self._applied_seq = array("q")
        self._amount_base_minor = array("q")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # what a full disk did not take is not wanted any more
            self._stream.close()
        for file in self._folder.glob("*.f4"):
            file.unlink()

    def __len__(self) -> int:
        return len(self._event_time_ms)

    def append(
        self,
        transaction_ids: Sequence[str],
        event_time_ms: Sequence[int],
        applied_seq: Sequence[int],
        amount_base_minor: Sequence[int],
        features: NDArray[np.float32],
    ) -> None:
        """N rows, features of shape (n, F); of rows with equal ids the last counts. Raises TillguardError on a full disk."""
        if features.shape != (len(transaction_ids), len(get_feature_names())):
            raise ValueError("one row of features for each transaction")
        try:
            self._stream.write(np.ascontiguousarray(features, dtype="<f4").tobytes())
        except OSError as error:
            raise self._cannot_write(error) from None
        self._rows.update((name, len(self) + at) for at, name in enumerate(transaction_ids))
        self._event_time_ms.extend(event_time_ms)
        self._applied_seq.extend(applied_seq)
        self._amount_base_minor.extend(amount_base_minor)

    def read_columns(self) -> Columns:
        """Everything appended, each id once. Some 100 bytes a transaction.

        Each array has the shape (n,), ordered by event time, then by when serving applied the transaction.
        """
        transaction_ids = list(self._rows)
        rows = np.fromiter(self._rows.values(), dtype=np.int64, count=len(self._rows))
        times, sequence = self._column(self._event_time_ms), self._column(self._applied_seq)
        order = np.lexsort((sequence[rows], times[rows]))
        rows = rows[order]
        amounts = self._column(self._amount_base_minor)
        return Columns([transaction_ids[at] for at in order], times[rows], sequence[rows], amounts[rows])

    def read_features(self, transaction_ids: Sequence[str]) -> NDArray[np.float32]:
        """Their rows in this order, shape (n, F), as a memory map that ends with the spool; the call before loses its own.

        Raises TillguardError on a full disk.
        """
        try:
            self._stream.flush()
        except OSError as error:
            raise self._cannot_write(error) from None
        rows = self._rows
        return self._gathered(
            np.fromiter((rows[name] for name in transaction_ids), np.int64, count=len(transaction_ids))
        )

    def _gathered(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        if not len(rows):
            return np.empty((0, len(get_feature_names())), dtype=np.float32)
        stored = np.memmap(self._file, dtype="<f4", mode="r", shape=(len(self), len(get_feature_names())))
        if np.array_equal(rows, np.arange(len(self))):
            return stored
        file = self._folder / "ordered.f4"
        try:
            with file.open("wb") as stream:
                for start in range(0, len(rows), GATHERED_ROWS):
                    stream.write(stored[rows[start : start + GATHERED_ROWS]].tobytes())
        except OSError as error:
            raise self._cannot_write(error) from None
        return np.memmap(file, dtype="<f4", mode="r", shape=(len(rows), len(get_feature_names())))

    def _cannot_write(self, error: OSError) -> TillguardError:
        return TillguardError(
            f"the history's features do not fit in {self._folder}: {error.strerror}; {ROW_BYTES} bytes a transaction are "
            "needed there (TMPDIR chooses the place)"
        )

    @staticmethod
    def _column(values: "array[int]") -> NDArray[np.int64]:
        return np.array(values, dtype=np.int64)
