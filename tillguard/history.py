"""Labelled transactions for training, from a file in our own form or from any file through a connector file."""

import heapq
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from connectors.assembly import outcomes_of_file
from contract.clock import epoch_ms
from contract.codec import DOCUMENT_BYTES_MAX, Decoder
from contract.dead_letters import DeadLetter
from contract.errors import ConfigurationError, InvalidEventError, TrainingRefusedError
from contract.events import Label, Transaction
from contract.settings import Settings
from contract.windows import DAY_MS

LINES = (".jsonl", ".ndjson", ".json")


class LabelledTransaction(Transaction, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a history file: a Transaction, and what it turned out to be."""

    fraud: bool | int | None = None
    label: bool | int | None = None
    """Another name for `fraud`."""


class Known(NamedTuple):
    """What became known of a transaction."""

    transaction_id: str
    fraud: bool


class LabelQueue:
    """Labels by the time when they became known, while a history is read; memory for those that are not due yet."""

    def __init__(self, label_delay_days: float) -> None:
        """Where a label has no time of its own it becomes known `label_delay_days` after its transaction."""
        self._delay_ms = round(label_delay_days * DAY_MS)
        self._heap: list[tuple[int, int, Known]] = []
        self._pushed = 0

    def push(self, known: Known, *, event_time_ms: int | None = None, label_time_ms: int | None = None) -> None:
        """Takes a label; one of its times is given."""
        due_ms = (event_time_ms or 0) + self._delay_ms if label_time_ms is None else label_time_ms
        heapq.heappush(self._heap, (due_ms, self._pushed, known))
        self._pushed += 1

    def due(self, before_ms: int) -> list[Known]:
        """Takes out what became known before then, in that order."""
        found = []
        while self._heap and self._heap[0][0] < before_ms:
            found.append(heapq.heappop(self._heap)[2])
        return found


@dataclass(slots=True)
class Found:
    """What reading a history found besides transactions; filled while it is read."""

    labels: dict[str, bool] = field(default_factory=dict)
    """By transaction_id: fraud or not."""
    queue: LabelQueue | None = None
    """Takes the same labels by their time, for the risk of entities."""
    refused: Counter[str] = field(default_factory=Counter)
    """Rows that are no transaction, by reason."""
    first_fault: str = ""
    """Where and why, without any value."""

    def label(
        self, transaction_id: str, fraud: bool, *, event_time_ms: int | None = None, label_time_ms: int | None = None
    ) -> None:
        """Notes one label. Genuine ones wait for nothing, unless they take a fraud back."""
        before = self.labels.get(transaction_id)
        self.labels[transaction_id] = fraud
        if self.queue is not None and (fraud or before):
            self.queue.push(Known(transaction_id, fraud), event_time_ms=event_time_ms, label_time_ms=label_time_ms)

    def refuse(self, where: str, error: InvalidEventError) -> None:
        """Counts one row."""
        self.refused[error.reason] += 1
        self.first_fault = self.first_fault or f"{where}: {error.detail}"


def open_file(
    settings: Settings, file: Path, mapping: Path | None, now: datetime, found: Found
) -> Iterator[Transaction]:
    """Transactions of `file` in event-time order; labels and bad rows go to `found` while they are read.

    Without `mapping` the file holds LabelledTransaction as JSON, one a line. Raises ConfigurationError, TrainingRefusedError.
    """
    if not file.is_file():
        raise ConfigurationError([f"{file} does not exist" if not file.exists() else f"{file} is not a file"])
    if mapping is None:
        if file.suffix.lower() not in LINES:
            raise ConfigurationError(
                [f"{file}: say what its columns mean by a connector file (--mapping FILE), or give JSON lines (.jsonl)"]
            )
        return canonical(file, found)
    return mapped(settings, file, mapping, now, found)


def canonical(file: Path, found: Found) -> Iterator[Transaction]:
    """Transactions of a JSON-lines file of LabelledTransaction, in event-time order whatever the order of its lines.

    Reads it twice; in memory stay 16 bytes a line. Raises ConfigurationError where it cannot be read, TrainingRefusedError
    where no line is a transaction.
    """
    decoder = Decoder(LabelledTransaction)
    times, places = array("q"), array("q")
    try:
        with file.open("rb") as stream:
            for number, line in enumerate(_lines(stream), start=1):
                if not line.strip():
                    continue
                try:
                    times.append(epoch_ms(decoder.decode(line).event_time))
                    places.append(stream.tell() - len(line))
                except InvalidEventError as error:
                    found.refuse(f"{file.name}, line {number}", error)
            if not times:
                reason = f" ({found.first_fault})" if found.first_fault else ""
                raise TrainingRefusedError(f"{file} holds no transaction{reason}")
            for row in np.argsort(np.array(times), kind="stable"):
                stream.seek(places[row])
                transaction = decoder.decode(stream.readline())
                fraud = transaction.fraud if transaction.fraud is not None else transaction.label
                if fraud is not None:
                    found.label(transaction.transaction_id, bool(fraud), event_time_ms=int(times[row]))
                yield transaction
    except OSError as error:
        raise ConfigurationError([f"{file} cannot be read: {error.strerror}"]) from None


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines; of one that is too long only its start, so that a file without line ends does not fill memory."""
    while line := stream.readline(DOCUMENT_BYTES_MAX + 2):
        rest = line
        while not rest.endswith(b"\n") and len(rest) > DOCUMENT_BYTES_MAX:
            rest = stream.readline(DOCUMENT_BYTES_MAX + 2)
        yield line


def mapped(settings: Settings, file: Path, mapping: Path, now: datetime, found: Found) -> Iterator[Transaction]:
    """Transactions of any file through a connector file of kind `file`; raises ConfigurationError."""
    for outcome in outcomes_of_file(mapping, settings, now, file=file):
        if isinstance(outcome, Transaction):
            yield outcome
        elif isinstance(outcome, Label):
            found.label(outcome.transaction_id, outcome.fraud, label_time_ms=epoch_ms(outcome.label_time))
        elif isinstance(outcome, DeadLetter):
            found.refuse(outcome.position, InvalidEventError(outcome.reason, outcome.detail))
