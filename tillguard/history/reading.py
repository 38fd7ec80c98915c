"""Labelled transactions for training, from a file in our own form or from any file through a connector file."""

import heapq
from array import array
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from connectors.assembly import has_untimed_labels, load, read_outcomes
from connectors.files.json_rows import ARRAY, BOM
from contract.clock import to_epoch_ms
from contract.codec import DOCUMENT_BYTES_MAX, Decoder
from contract.dead_letters import DeadLetter
from contract.errors import ConfigurationError, InvalidEventError, TrainingRefusedError
from contract.events import Label, Transaction
from contract.settings import Settings
from contract.windows import DAY_MS
from trainer.examples.label_log import LabelLog

OWN_SOURCE = "review"
"""The source of a label that stands in its transaction's own row, as in a connector file that names none."""
NO_BOOLEAN = (
    "fraud: neither true, false, 1, 0 nor null; write null for what is unknown, or read the file through a connector file "
    "(--mapping FILE) whose `values` say what each number means"
)
LINES = (".jsonl", ".ndjson", ".json")


class LabelledTransaction(Transaction, frozen=True, kw_only=True, omit_defaults=True):
    """A line of a history file: a Transaction, and what it turned out to be."""

    fraud: bool | int | float | None = None
    """true or 1, false or 0; null says nothing."""
    label: bool | int | float | None = None
    """Another name for `fraud`."""

    def is_fraud(self) -> bool | None:
        """The label; raises InvalidEventError for any other number (public data sets write 2 or 3 for "unknown")."""
        told = self.fraud if self.fraud is not None else self.label
        if told is not None and told not in (0, 1):
            raise InvalidEventError("field_invalid", NO_BOOLEAN)
        return None if told is None else bool(told)


class Known(NamedTuple):
    """What became known of a transaction."""

    transaction_id: str
    fraud: bool
    known_ms: int = 0
    """When, as LabelQueue.take_due found it."""


class LabelQueue:
    """Labels by the time when they became known, while a history is read; memory for those that are not due yet."""

    def __init__(self, label_delay_days: float) -> None:
        """Where a label has no time of its own it becomes known `label_delay_days` after its transaction."""
        self.delay_ms = round(label_delay_days * DAY_MS)
        self._heap: list[tuple[int, int, Known]] = []
        self._pushed = 0

    def push(self, known: Known, *, event_time_ms: int | None = None, label_time_ms: int | None = None) -> None:
        """Takes a label; one of its times is given."""
        due_ms = (event_time_ms or 0) + self.delay_ms if label_time_ms is None else label_time_ms
        heapq.heappush(self._heap, (due_ms, self._pushed, known))
        self._pushed += 1

    def take_due(self, before_ms: int) -> list[Known]:
        """Takes out what became known before then, in that order."""
        found = []
        while self._heap and self._heap[0][0] < before_ms:
            due_ms, _, known = heapq.heappop(self._heap)
            found.append(known._replace(known_ms=due_ms))
        return found

    def __len__(self) -> int:
        """Labels that are not due yet."""
        return len(self._heap)


@dataclass(slots=True)
class Refusals:
    """What could not be used: counts by reason, and where and why the first one was refused."""

    counts: Counter[str] = field(default_factory=Counter)
    first: str = ""
    """Without any value."""

    def add(self, where: str, error: InvalidEventError) -> None:
        """Counts one."""
        self.counts[error.reason] += 1
        self.first = self.first or f"{where}: {error.detail}"

    def __str__(self) -> str:
        """`field_invalid: row 1: event_time …`; with the counts where there are several reasons."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.counts.most_common())
        return f"{next(iter(self.counts))}: {self.first}" if len(self.counts) == 1 else f"{reasons}; first {self.first}"


@dataclass(slots=True)
class Found:
    """What reading a history found besides transactions; filled while it is read."""

    labels: dict[str, bool] = field(default_factory=dict)
    """By transaction_id: fraud or not."""
    queue: LabelQueue | None = None
    """Takes the same labels by their time, for the risk of entities."""
    transactions: int = 0
    rows: Refusals = field(default_factory=Refusals)
    """Rows that are no transaction."""
    unusable_labels: Refusals = field(default_factory=Refusals)
    """Labels of rows that are one."""
    untimed: bool = False
    """Whether the labels have no time of their own."""
    frauds_at_purchase: int = 0
    """Frauds that are dated at their transaction or before it."""
    first_fraud_ms: int | None = None
    """When the first fraud became known."""
    last_event_ms: int = 0
    """Time of the last transaction."""

    assumed: bool = False
    """Whether any label has a time that is the delay after its transaction, because nothing says when it became known."""
    log: LabelLog = field(default_factory=LabelLog)
    """The same labels once more, every revision with its time and source."""

    def note_label(
        self,
        transaction_id: str,
        fraud: bool,
        *,
        event_time_ms: int | None = None,
        label_time_ms: int | None = None,
        source: str = OWN_SOURCE,
        kind: str | None = None,
    ) -> None:
        """Notes one label. Genuine ones wait for nothing, unless they take a fraud back."""
        delay_ms = 0 if self.queue is None else self.queue.delay_ms
        due_ms = (event_time_ms or 0) + delay_ms if label_time_ms is None else label_time_ms
        self.assumed = self.assumed or label_time_ms is None
        self.log.add(transaction_id, fraud, due_ms, source, kind)
        if fraud and label_time_ms is not None:
            self.first_fraud_ms = min(label_time_ms, self.first_fraud_ms or label_time_ms)
            self.frauds_at_purchase += event_time_ms is not None and label_time_ms <= event_time_ms
        before = self.labels.get(transaction_id)
        self.labels[transaction_id] = fraud
        if self.queue is not None and (fraud or before):
            self.queue.push(Known(transaction_id, fraud), event_time_ms=event_time_ms, label_time_ms=label_time_ms)

    def note_seen(self, transaction: Transaction) -> Transaction:
        """Counts one transaction, and gives it back."""
        self.transactions += 1
        self.last_event_ms = to_epoch_ms(transaction.event_time)
        return transaction

    def describe_unusable(self) -> list[str]:
        """A sentence for the rows and one for the labels that could not be used; empty where all could."""
        rows, labels = self.rows.counts.total(), self.unusable_labels.counts.total()
        told = []
        if rows:
            told.append(f"{rows:,} of {rows + self.transactions:,} rows could not be used ({self.rows})")
        if labels:
            told.append(f"{labels:,} label{'s' if labels > 1 else ''} could not be used: {self.unusable_labels}")
        return told

    def describe_doubts(self, label_delay_days: float) -> list[str]:
        """Sentences about labels whose times make a model worse, or look better, than it is."""
        frauds = sum(self.labels.values())
        told = []
        if self.untimed and self.labels:
            told.append(
                f"labels have no time of their own: each counts as known {label_delay_days:g} days after its transaction "
                "(trainer.label_delay_days); `label_time: {after_days: N}` in the connector file says it better"
            )
        if self.frauds_at_purchase:
            told.append(
                f"{self.frauds_at_purchase:,} of {frauds:,} frauds are dated at their purchase or before it, so the model learns "
                "as if each fraud was known at once and looks better than it is; `label_time` should say when it became known"
            )
        if self.first_fraud_ms is not None and self.first_fraud_ms >= self.last_event_ms:
            told.append(
                "no fraud became known before the last transaction, so no risk feature can be learned; `label_time` should say "
                "when each became known, as `label_time: {after_days: 7}`"
            )
        return told


def open_file(
    settings: Settings, file: Path, mapping: Path | None, now: datetime, found: Found
) -> Iterator[Transaction]:
    """Transactions of `file` in event-time order; labels and bad rows go to `found` while they are read.

    Without `mapping` the file holds LabelledTransaction as JSON, one a line. Raises ConfigurationError, TrainingRefusedError.
    """
    if mapping is None:
        if not file.is_file():
            raise ConfigurationError([f"{file} does not exist" if not file.exists() else f"{file} is not a file"])
        if file.suffix.lower() not in LINES:
            told = "say what its columns mean by a connector file (--mapping FILE), or give JSON lines (.jsonl), not compressed"
            raise ConfigurationError([f"{file}: {told}"])
        return read_canonical(file, found)
    return read_mapped(settings, file, mapping, now, found)


def read_canonical(file: Path, found: Found) -> Iterator[Transaction]:
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
                    transaction = decoder.decode(line.removeprefix(BOM))
                except InvalidEventError as error:
                    is_array = line.removeprefix(BOM).lstrip().startswith(b"[")
                    fault = InvalidEventError("malformed", ARRAY) if is_array else error
                    found.rows.add(f"{file.name}, line {number}", fault)
                    continue
                times.append(to_epoch_ms(transaction.event_time))
                places.append(stream.tell() - len(line))
                try:
                    transaction.is_fraud()
                except InvalidEventError as error:
                    found.unusable_labels.add(f"{file.name}, line {number}", error)
            if not times:
                reason = f" ({found.rows.first})" if found.rows.first else ""
                raise TrainingRefusedError(f"{file} holds no transaction{reason}")
            for row in np.argsort(np.array(times), kind="stable"):
                stream.seek(places[row])
                transaction = decoder.decode(stream.readline().removeprefix(BOM))
                with suppress(InvalidEventError):  # counted above
                    fraud = transaction.is_fraud()
                    if fraud is not None:
                        found.note_label(transaction.transaction_id, fraud, event_time_ms=int(times[row]))
                yield found.note_seen(transaction)
    except OSError as error:
        raise ConfigurationError([f"{file} cannot be read: {error.strerror}"]) from None


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines; of one that is too long only its start, so that a file without line ends does not fill memory."""
    while line := stream.readline(DOCUMENT_BYTES_MAX + 2):
        rest = line
        while not rest.endswith(b"\n") and len(rest) > DOCUMENT_BYTES_MAX:
            rest = stream.readline(DOCUMENT_BYTES_MAX + 2)
        yield line


def read_mapped(settings: Settings, file: Path, mapping: Path, now: datetime, found: Found) -> Iterator[Transaction]:
    """Transactions of any file through a connector file of kind `file`; raises ConfigurationError."""
    found.untimed = has_untimed_labels(load(mapping, at=file))
    position, event_time_ms = "", 0
    for outcome in read_outcomes(mapping, settings, now, file=file):
        if isinstance(outcome, Transaction):
            position, event_time_ms = outcome.origin.position, to_epoch_ms(outcome.event_time)
            yield found.note_seen(outcome)
        elif isinstance(outcome, Label):
            _note_known(outcome, event_time_ms, now, found)
        elif isinstance(outcome, DeadLetter):
            refusals = found.unusable_labels if outcome.position == position else found.rows
            refusals.add(outcome.position, InvalidEventError(outcome.reason, outcome.detail))


def _note_known(label: Label, event_time_ms: int, now: datetime, found: Found) -> None:
    """A label of the transaction's own row; one that becomes known only after `now` is not learned from."""
    if label.label_time > now:
        found.unusable_labels.add(
            label.origin.position, InvalidEventError("time_future", "label_time is ahead of the clock")
        )
    else:
        found.note_label(
            label.transaction_id,
            label.fraud,
            event_time_ms=event_time_ms,
            # dated now, because the delay is not over: on the risk of entities it acts only from then on, as in the training
            label_time_ms=None if found.untimed and label.label_time == now else to_epoch_ms(label.label_time),
            source=label.source,
            kind=label.kind,
        )
