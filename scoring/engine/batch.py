"""The first stage: records become transactions or dead letters, and transactions become window_updates. Pure but for the clock's reading."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from contract.codec import Admission, Decoder
from contract.errors import InvalidEventError
from contract.events import Transaction
from contract.verdicts import DegradedCause
from scoring.engine.answers import dead_letter, key_of
from scoring.features import event_times_ms
from scoring.ports import EventResult, RawEvent, Ticket, WindowUpdate

_DECODER = Decoder(Transaction)


@dataclass(slots=True)
class Batch:
    """Events on their way. The lists of transactions run in step; `places` says which event each one was."""

    events: Sequence[RawEvent]
    outcomes: list[EventResult | None]
    """One per event; None until it is answered."""
    places: list[int] = field(default_factory=list)
    transactions: list[Transaction] = field(default_factory=list)
    amounts: list[int] = field(default_factory=list)
    """Minor units of the base currency."""
    times_ms: list[int] = field(default_factory=list)
    window_updates: list[WindowUpdate] = field(default_factory=list)
    deadline_s: float = 0.0
    """On the monotonic clock."""
    again: bool = False
    """True: answered degraded before; only a full answer is wanted."""
    store_ticket: Ticket | None = None
    cause: DegradedCause | None = None
    """Why the store was not asked."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent per stage."""
    decisions: Counter[tuple[str, bool]] = field(default_factory=Counter)
    """Verdicts by decision and whether degraded."""
    refused: Counter[str] = field(default_factory=Counter)
    """Dead letters by reason."""
    latencies_ms: list[float] = field(default_factory=list)
    """Of the verdicts that somebody may have waited for."""
    seen_before: int = 0


def read(events: Sequence[RawEvent], admission: Admission, now: datetime) -> Batch:
    """Decodes and admits every event; what cannot be used has its dead letter at once, a tombstone an empty outcome."""
    batch = Batch(events, [None] * len(events))
    for place, event in enumerate(events):
        if event.value is None and event.key is not None:
            # `forget` withdrew the record from the compacted topic; there is nothing to judge.
            batch.outcomes[place] = EventResult(key=key_of(event))
            continue
        transaction: Transaction | None = None
        try:
            transaction = _DECODER.decode(event.value)
            amount = admission.admit(transaction, now)
        except InvalidEventError as error:
            known = None if transaction is None else transaction.transaction_id
            batch.refused[error.reason] += 1
            batch.outcomes[place] = dead_letter(
                event, error, retailer=admission.retailer, now=now, transaction_id=known
            )
            continue
        batch.places.append(place)
        batch.transactions.append(transaction)
        batch.amounts.append(amount)
    batch.times_ms = event_times_ms(batch.transactions)
    return batch
