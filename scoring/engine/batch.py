"""The input of the engine: a batch of records, the transactions among them, and what the store says of these. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from contract.codec import Admission, Decoder
from contract.errors import InvalidEventError
from contract.events import Transaction
from contract.verdicts import DegradedCause
from scoring.engine.answers import build_dead_letter, choose_key
from scoring.engine.tally import Tally
from scoring.features import Floats, build_window_updates, list_event_times_ms
from scoring.ports import Applied, EventResult, RawEvent, Ticket, WindowUpdate

_DECODER = Decoder(Transaction)


def _no_answer() -> Applied:
    none = np.empty(0)
    return Applied(none.astype(np.int64), none.astype(np.bool_), none.astype(np.bool_), none[:, None], [], [], [], [])


@dataclass(slots=True)
class Batch:
    """Events on their way, and n rows: the transactions among them that can be judged.

    A `row` is an index into everything here that has n entries, an `event_index` one into `events` and `results`.
    """

    events: Sequence[RawEvent]
    results: list[EventResult | None]
    """By event index; None until it is there."""
    again: bool = False
    """True: answered degraded before; only a full answer is wanted."""
    tally: Tally = field(default_factory=Tally)
    event_indices: list[int] = field(default_factory=list)
    """By row."""
    transactions: list[Transaction] = field(default_factory=list)
    amounts: list[int] = field(default_factory=list)
    """Minor units of the base currency."""
    times_ms: list[int] = field(default_factory=list)
    window_updates: list[WindowUpdate] = field(default_factory=list)
    deadline_s: float = 0.0
    """On the monotonic clock."""
    ticket: Ticket | None = None
    cause: DegradedCause = "state_unavailable"
    """Why the store was not asked, where there is no ticket."""
    applied: Applied = field(default_factory=_no_answer)
    """Has rows from the store's answer on, as do `quantities` and `vectors`."""
    quantities: Floats = field(default_factory=lambda: np.empty((0, 0)))
    """Shape (n, F)."""
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """Shape (n, F)."""

    def get_event(self, row: int) -> RawEvent:
        """The event that a row was read from."""
        return self.events[self.event_indices[row]]

    def set_result(self, row: int, result: EventResult) -> None:
        """Sets the result of a row's event."""
        self.results[self.event_indices[row]] = result

    def list_new_rows(self) -> list[int]:
        """Rows whose transaction had no full answer yet, as far as the store's answer tells."""
        return list(range(len(self.transactions))) if self.again else np.flatnonzero(self.applied.first).tolist()

    def take(self, rows: list[int]) -> "Batch":
        """The batch of some rows only, in their order; it sets the results of the same events, and counts into the same tally."""
        if len(rows) == len(self.transactions):
            return self
        return replace(
            self,
            event_indices=[self.event_indices[row] for row in rows],
            transactions=[self.transactions[row] for row in rows],
            amounts=[self.amounts[row] for row in rows],
            times_ms=[self.times_ms[row] for row in rows],
            window_updates=[self.window_updates[row] for row in rows],
            applied=self.applied.take(rows),
            quantities=self.quantities[rows],
            vectors=self.vectors[rows],
        )


def read(events: Sequence[RawEvent], admission: Admission, now: datetime, *, again: bool) -> Batch:
    """Decodes and admits every event; what cannot be used has its dead letter at once, a tombstone an empty result."""
    batch = Batch(events, [None] * len(events), again)
    for event_index, event in enumerate(events):
        if event.value is None and event.key is not None:
            # `forget` withdrew the record from the compacted topic; there is nothing to judge.
            batch.results[event_index] = EventResult(key=choose_key(event))
            continue
        transaction: Transaction | None = None
        try:
            transaction = _DECODER.decode(event.value)
            amount = admission.admit(transaction, now)
        except InvalidEventError as error:
            known = None if transaction is None else transaction.transaction_id
            batch.tally.dead_letters[error.reason] += 1
            batch.results[event_index] = build_dead_letter(
                event, error, retailer=admission.retailer, now=now, transaction_id=known
            )
            continue
        batch.event_indices.append(event_index)
        batch.transactions.append(transaction)
        batch.amounts.append(amount)
    batch.tally.transactions = len(batch.transactions)
    batch.times_ms = list_event_times_ms(batch.transactions)
    batch.window_updates = build_window_updates(batch.transactions, batch.amounts, batch.times_ms)
    return batch
