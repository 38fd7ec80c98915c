"""One pass over a history through a window store: transactions in their order, what became known between them.

A replay for training and the filling of the live windows are this pass over different stores, so both leave the same windows
and the same risk.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.clock import to_epoch_ms
from contract.errors import InvalidEventError, TransientError
from contract.events import Transaction
from contract.features import find_plain_columns, is_plain
from contract.risk import TILE_MS, count_horizon_tiles
from contract.settings import Settings
from scoring import features
from scoring.ports import Applied, Finding, FindingTicket, StoreUnavailableError, Ticket, WindowUpdate
from scoring.store.outcomes import decode_entities
from tillguard.history.reading import Known, LabelQueue
from trainer.examples.outcomes import PastTransaction

Result = TypeVar("Result")

WAIT_S = 10.0
OUTAGE_MAX_S = 30.0
"""A Redis that stays away for longer ends the pass."""
MEMORY_HORIZONS = 2
"""Times the horizon of a risk that a transaction is remembered for its label: a later label finds no tile any more."""


class Passed(NamedTuple):
    """N transactions that the store has taken, in their order."""

    transactions: list[Transaction]
    amounts: list[int]
    """Minor units of the base currency."""
    times_ms: list[int]
    applied: Applied
    vectors: NDArray[np.float32]
    """Shape (n, F)."""
    seconds: float
    """From sending to the last answer."""


class Learned(NamedTuple):
    """What became known of a transaction of the history, as it was told to the store."""

    finding: Finding
    entities: bytes
    """As FeatureRecord.entities."""
    known_ms: int


@dataclass(frozen=True, slots=True)
class Way:
    """How a pass goes through its store."""

    model_version: str
    rules_version: str
    batch_max: int = 256
    in_flight_max: int = 4
    """Batches sent before the first one's answer is read: Redis works while this process extracts."""


class _Batch(NamedTuple):
    learned: list[Learned]
    """What became known before its transactions."""
    transactions: list[Transaction]
    amounts: list[int]
    times_ms: list[int]
    window_updates: list[WindowUpdate]
    sent_s: float


class _Tickets(NamedTuple):
    learned: FindingTicket | None
    applied: Ticket


class Memory:
    """Transactions of the last `span_ms` of a history, which a label may still name."""

    def __init__(self, span_ms: int) -> None:
        self._span_ms = span_ms
        self.told: dict[str, PastTransaction] = {}
        """By transaction_id, oldest first."""

    def keep(self, passed: Passed, window_updates: list[WindowUpdate]) -> None:
        """Takes a batch, forgets what is too old; a history in event-time order has the oldest first."""
        columns = passed.vectors[:, list(find_plain_columns())].tolist()
        for window_update, (ratio, unusual) in zip(window_updates, columns, strict=True):
            entities = features.encode_entities(window_update)
            self.told[window_update.transaction_id] = PastTransaction(
                window_update.event_time_ms, entities, is_plain(ratio, unusual)
            )
        oldest = passed.times_ms[-1] - self._span_ms
        for transaction_id in list(islice(self.told, 2 * len(window_updates))):
            if self.told[transaction_id].event_time_ms < oldest:
                del self.told[transaction_id]

    def find_learned(self, known: Known) -> Learned | None:
        """The label as the store takes it; None for a transaction that is not (any more) there."""
        told = self.told.get(known.transaction_id)
        if told is None:
            return None
        finding = Finding(
            known.transaction_id,
            told.event_time_ms,
            decode_entities(told.entities),
            known.fraud,
            known.fraud and told.plain,
        )
        return Learned(finding, told.entities, known.known_ms)


class HistoryStore(Protocol):
    """A store that takes a history, as scoring.store.redis_store.RedisStore."""

    def send(self, window_updates: Sequence[WindowUpdate], model_version: str, rules_version: str) -> Ticket:
        """Sends transactions without waiting; raises StoreUnavailableError."""
        ...

    def learn(self, findings: Sequence[Finding]) -> FindingTicket:
        """Sends what became known, between the transactions sent before and after it; raises StoreUnavailableError."""
        ...


class HistoryPass:
    """Applies a history to a store, in its order, which should be that of event_time."""

    def __init__(
        self,
        settings: Settings,
        store: HistoryStore,
        take: Callable[[Passed], None],
        now: datetime,
        *,
        way: Way,
        labels: LabelQueue | None = None,
        on_outcome: Callable[[Learned], None] | None = None,
    ) -> None:
        """The store is this pass's own while it runs.

        Args:
            settings: whose retailer, currency and label delay.
            store: takes the transactions.
            take: is given every batch once the store has taken it.
            now: wall-clock time that nothing may lie ahead of.
            way: how to go.
            labels: what becomes known, filled while the history is read: each takes effect before the first transaction whose
                event_time is later.
            on_outcome: is given what became known, once the store has taken it.
        """
        self._admission = settings.admission
        self._base_currency = settings.base_currency
        self._store = store
        self._taken = take
        self._now = now
        self._way = way
        self._labels = labels
        self._on_outcome = on_outcome
        self._memory = Memory(MEMORY_HORIZONS * count_horizon_tiles(settings.trainer.label_delay_days) * TILE_MS)
        self._open: deque[tuple[_Batch, _Tickets]] = deque()
        self.repeated = 0
        """Left out: an id that came before."""
        self.refused: Counter[str] = Counter()
        """Left out, by reason: what serving would have made a dead letter."""

    def run(self, history: Iterable[Transaction]) -> None:
        """Applies `history`; raises TransientError where Redis stays away. Memory holds the ids of the history and its newest part."""
        for batch in self._batches(self._admitted(history)):
            self._send(batch)
            if len(self._open) >= self._way.in_flight_max:
                self._take()
        self._take_all()

    def list_recent(self) -> dict[str, PastTransaction]:
        """By transaction_id, the newest transactions, oldest first: those that a later label can still name. Empty without labels."""
        return self._memory.told

    def take_known_until(self, before_ms: int) -> list[Learned]:
        """Takes what became known after the last transaction and before then; the store is not told."""
        return self._learned([] if self._labels is None else self._labels.take_due(before_ms))

    def learn_until(self, before_ms: int) -> None:
        """Tells the store what became known after the last transaction and before then; raises TransientError."""
        learned = self.take_known_until(before_ms)
        if learned:
            deadline_s = time.monotonic() + OUTAGE_MAX_S
            _insist(lambda: self._store.learn([each.finding for each in learned]).wait(WAIT_S), deadline_s)
            self._told(learned)

    def _admitted(self, history: Iterable[Transaction]) -> Iterator[tuple[Transaction, int]]:
        seen: set[str] = set()
        for transaction in history:
            if transaction.transaction_id in seen:
                self.repeated += 1
                continue
            try:
                amount = self._admission.admit(transaction, self._now)
            except InvalidEventError as error:
                self.refused[error.reason] += 1
                continue
            seen.add(transaction.transaction_id)
            yield transaction, amount

    def _batches(self, admitted: Iterable[tuple[Transaction, int]]) -> Iterator[_Batch]:
        """Up to `batch_max` transactions each; a new one begins where something became known before a transaction."""
        rows: list[tuple[Transaction, int]] = []
        known: list[Known] = []
        for row in admitted:
            due = [] if self._labels is None else self._labels.take_due(to_epoch_ms(row[0].event_time))
            if rows and (due or len(rows) == self._way.batch_max):
                yield self._batch(known, rows)
                rows, known = [], []
            known += due
            rows.append(row)
        if rows:
            yield self._batch(known, rows)

    def _batch(self, known: list[Known], rows: list[tuple[Transaction, int]]) -> _Batch:
        transactions, amounts = [row[0] for row in rows], [row[1] for row in rows]
        times_ms = features.list_event_times_ms(transactions)
        window_updates = features.build_window_updates(transactions, amounts, times_ms)
        return _Batch(self._learned(known), transactions, amounts, times_ms, window_updates, time.monotonic())

    def _learned(self, known: list[Known]) -> list[Learned]:
        if not known:
            return []
        if any(self._memory.find_learned(label) is None for label in known):
            self._take_all()  # it may be on its way
        return [found for found in map(self._memory.find_learned, known) if found is not None]

    def _send(self, batch: _Batch) -> None:
        try:
            self._open.append((batch, self._posted(batch)))
        except StoreUnavailableError:
            self._again([*(entry[0] for entry in self._open), batch])

    def _posted(self, batch: _Batch) -> _Tickets:
        learned = self._store.learn([each.finding for each in batch.learned]) if batch.learned else None
        return _Tickets(
            learned, self._store.send(batch.window_updates, self._way.model_version, self._way.rules_version)
        )

    def _take_all(self) -> None:
        while self._open:
            self._take()

    def _take(self) -> None:
        batch, tickets = self._open[0]
        try:
            applied = _answer(tickets)
        except StoreUnavailableError:
            self._again([entry[0] for entry in self._open])
            return
        self._open.popleft()
        self._keep(batch, applied)

    def _again(self, batches: list[_Batch]) -> None:
        """Sends everything unanswered again, in order, one by one: applying is idempotent, so nothing counts twice."""
        self._open.clear()
        deadline_s = time.monotonic() + OUTAGE_MAX_S
        for batch in batches:
            self._keep(batch, _insist(lambda batch=batch: _answer(self._posted(batch)), deadline_s))  # type: ignore[misc]

    def _keep(self, batch: _Batch, applied: Applied) -> None:
        vectors = features.compute_features(
            batch.transactions, batch.amounts, applied.aggregates, base_currency=self._base_currency
        )
        seconds = time.monotonic() - batch.sent_s
        passed = Passed(batch.transactions, batch.amounts, batch.times_ms, applied, vectors, seconds)
        self._told(batch.learned)
        if self._labels is not None:
            self._memory.keep(passed, batch.window_updates)
        self._taken(passed)

    def _told(self, learned: list[Learned]) -> None:
        if self._on_outcome is not None:
            for each in learned:
                self._on_outcome(each)


def _answer(tickets: _Tickets) -> Applied:
    if tickets.learned is not None:
        tickets.learned.wait(WAIT_S)
    return tickets.applied.wait(WAIT_S)


def _insist(ask: Callable[[], Result], deadline_s: float) -> Result:
    """The store's answer, asked for until then; raises TransientError."""
    pause_s = 0.05
    while True:
        try:
            return ask()
        except StoreUnavailableError as error:
            if time.monotonic() > deadline_s:
                raise TransientError(f"Redis did not take the history: {error}") from None
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, 1.0)
