"""Features of a history: the same script and the same extraction as serving, in a key space of its own.

Invariant: live windows are never read or written. The namespace is deleted afterwards, and should this process be killed,
everything in it expires by itself.
"""

import os
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from contract.clock import epoch_ms
from contract.errors import InvalidEventError, TransientError
from contract.events import Transaction
from contract.features import plain, plain_columns
from contract.risk import TILE_MS, horizon_tiles
from contract.settings import Settings
from scoring import extract
from scoring.ports import Applied, Finding, Sighting, StoreUnavailableError, Ticket
from scoring.redis_outcomes import named
from scoring.redis_space import KeySpace
from scoring.redis_store import OutcomeTicket, RedisStore
from tillguard.history import Known, LabelQueue
from tillguard.private_redis import executable, private_redis
from trainer.spool import Spool

log = structlog.get_logger()

BATCH = 256
IN_FLIGHT_MAX = 4
"""Batches sent before the first one's answer is read: Redis works while this process extracts."""
WAIT_S = 10.0
OUTAGE_MAX_S = 30.0
"""A Redis that stays away for longer ends the replay."""
FIRST_SIGHT_S = 90
"""Long enough for sending a batch again after an outage; a repeated id in the history is found without Redis."""
IDLE_S = 6 * 3_600
"""Wall-clock; no replay lasts so long, and a killed one leaves nothing for longer."""
DAY_S = 86_400

Progress = Callable[[int], None]


class Replayed(NamedTuple):
    """What became of a history."""

    applied: int
    repeated: int
    """Left out: an id that came before."""
    refused: Counter[str]
    """Left out, by reason: what serving would have made a dead letter."""
    seconds: float


class _Batch(NamedTuple):
    findings: list[Finding]
    """What became known before its transactions."""
    transactions: list[Transaction]
    amounts: list[int]
    times_ms: list[int]
    sightings: list[Sighting]


class _Told(NamedTuple):
    """What a later label needs of a replayed transaction."""

    event_time_ms: int
    entities: bytes
    plain: bool


class _Tickets(NamedTuple):
    learned: OutcomeTicket | None
    applied: Ticket


class _Memory:
    """Replayed transactions that a label may still name: those of the last `span_ms`."""

    def __init__(self, span_ms: int) -> None:
        self._span_ms = span_ms
        self._told: dict[str, _Told] = {}

    def keep(self, batch: _Batch, vectors: NDArray[np.float32]) -> None:
        """Takes a batch, forgets what is too old; a history in event-time order has the oldest first."""
        columns = vectors[:, list(plain_columns())].tolist()
        for sighting, (ratio, unusual) in zip(batch.sightings, columns, strict=True):
            entities = extract.entities_of(sighting)
            self._told[sighting.transaction_id] = _Told(sighting.event_time_ms, entities, plain(ratio, unusual))
        oldest = batch.times_ms[-1] - self._span_ms
        for transaction_id in list(islice(self._told, 2 * len(batch.sightings))):
            if self._told[transaction_id].event_time_ms < oldest:
                del self._told[transaction_id]

    def finding(self, known: Known) -> Finding | None:
        """The label as the store takes it; None for a transaction that is not (any more) there."""
        told = self._told.get(known.transaction_id)
        if told is None:
            return None
        entities = named(told.entities)
        return Finding(known.transaction_id, told.event_time_ms, entities, known.fraud, known.fraud and told.plain)


class Replay:
    """One pass over a history, in its order, which should be that of event_time."""

    def __init__(
        self, settings: Settings, spool: Spool, now: datetime, namespace: str, labels: LabelQueue | None = None
    ) -> None:
        """`settings.redis` says where; `now` is the wall-clock time that nothing may lie ahead of; `labels` as in `replay`."""
        self._admission = settings.admission
        self._base_currency = settings.base_currency
        self._store = RedisStore(_short_lived(settings), namespace)
        self._spool = spool
        self._now = now
        self._labels = labels
        self._memory = _Memory(2 * horizon_tiles(settings.trainer.label_delay_days) * TILE_MS)
        self._open: deque[tuple[_Batch, _Tickets]] = deque()
        self._repeated = 0
        self._refused: Counter[str] = Counter()

    def run(self, history: Iterable[Transaction], progress: Progress | None = None) -> Replayed:
        """Applies `history` and appends its features to the spool.

        Raises TransientError where Redis stays away. Memory does not grow with the history (the spool's does, a little).
        """
        started = time.monotonic()
        for batch in self._batches(self._admitted(history)):
            self._send(batch)
            if len(self._open) >= IN_FLIGHT_MAX:
                self._take()
                if progress is not None:
                    progress(len(self._spool))
        while self._open:
            self._take()
        if progress is not None:
            progress(len(self._spool))
        return Replayed(len(self._spool), self._repeated, self._refused, time.monotonic() - started)

    def close(self) -> None:
        """Ends the connection."""
        self._store.close()

    def _admitted(self, history: Iterable[Transaction]) -> Iterator[tuple[Transaction, int]]:
        seen: set[str] = set()
        for transaction in history:
            if transaction.transaction_id in seen:
                self._repeated += 1
                continue
            try:
                amount = self._admission.admit(transaction, self._now)
            except InvalidEventError as error:
                self._refused[error.reason] += 1
                continue
            seen.add(transaction.transaction_id)
            yield transaction, amount

    def _batches(self, admitted: Iterable[tuple[Transaction, int]]) -> Iterator[_Batch]:
        """Up to BATCH transactions each; a new one begins where something became known before a transaction."""
        rows: list[tuple[Transaction, int]] = []
        known: list[Known] = []
        for row in admitted:
            due = [] if self._labels is None else self._labels.due(epoch_ms(row[0].event_time))
            if rows and (due or len(rows) == BATCH):
                yield self._batch(known, rows)
                rows, known = [], []
            known += due
            rows.append(row)
        if rows:
            yield self._batch(known, rows)

    def _batch(self, known: list[Known], rows: list[tuple[Transaction, int]]) -> _Batch:
        transactions, amounts = [row[0] for row in rows], [row[1] for row in rows]
        times_ms = extract.event_times_ms(transactions)
        return _Batch(
            self._findings(known), transactions, amounts, times_ms, extract.sightings(transactions, amounts, times_ms)
        )

    def _findings(self, known: list[Known]) -> list[Finding]:
        if not known:
            return []
        if any(self._memory.finding(label) is None for label in known):
            while self._open:  # it may be on its way
                self._take()
        return [found for found in map(self._memory.finding, known) if found is not None]

    def _send(self, batch: _Batch) -> None:
        try:
            self._open.append((batch, self._posted(batch)))
        except StoreUnavailableError:
            self._again([*(entry[0] for entry in self._open), batch])

    def _posted(self, batch: _Batch) -> _Tickets:
        learned = self._store.learn(batch.findings) if batch.findings else None
        return _Tickets(learned, self._store.send(batch.sightings, "replay", "replay"))

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
            self._keep(batch, self._insist(batch, deadline_s))

    def _insist(self, batch: _Batch, deadline_s: float) -> Applied:
        pause_s = 0.05
        while True:
            try:
                return _answer(self._posted(batch))
            except StoreUnavailableError as error:
                if time.monotonic() > deadline_s:
                    raise TransientError(f"the replay ended: {error}") from None
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 1.0)

    def _keep(self, batch: _Batch, applied: Applied) -> None:
        vectors = extract.features(
            batch.transactions, batch.amounts, applied.aggregates, base_currency=self._base_currency
        )
        if self._labels is not None:
            self._memory.keep(batch, vectors)
        self._spool.append(
            [transaction.transaction_id for transaction in batch.transactions],
            batch.times_ms,
            applied.applied_seq.tolist(),
            batch.amounts,
            vectors,
        )


def _answer(tickets: _Tickets) -> Applied:
    if tickets.learned is not None:
        tickets.learned.wait(WAIT_S)
    return tickets.applied.wait(WAIT_S)


def _short_lived(settings: Settings) -> Settings:
    lifetimes = {"first_sight_days": FIRST_SIGHT_S / DAY_S, "entity_idle_days": IDLE_S / DAY_S}
    return settings.model_copy(update={"retention": settings.retention.model_copy(update=lifetimes)})


def replay(
    settings: Settings,
    history: Iterable[Transaction],
    spool: Spool,
    *,
    now: datetime,
    labels: LabelQueue | None = None,
    private: bool | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """Appends the features of `history` to `spool`.

    Args:
        settings: whose retailer, currency and (where no private Redis is used) Redis.
        history: transactions in event-time order.
        spool: takes the features.
        now: wall-clock time.
        labels: what becomes known, filled while the history is read: each takes effect on the risk of entities before the first
            transaction whose event_time is later.
        private: True or False: in a Redis of its own, or in the retailer's; None: in its own where the extra `embedded` is
            installed.
        progress: told the number of transactions done.

    Raises TransientError where Redis does not answer.
    """
    server = executable() if private is not False else None
    if private and server is None:
        raise TransientError("no private Redis: the extra `embedded` is not installed")
    if server is not None:
        with private_redis(server) as redis_settings:
            own = settings.model_copy(update={"redis": redis_settings})
            return _run(Replay(own, spool, now, "replay", labels), history, progress)
    namespace = f"replay:{os.getpid()}-{secrets.token_hex(4)}"
    with _dropped_afterwards(settings, namespace):
        return _run(Replay(settings, spool, now, namespace, labels), history, progress)


def _run(run: Replay, history: Iterable[Transaction], progress: Progress | None) -> Replayed:
    try:
        return run.run(history, progress)
    finally:
        run.close()


@contextmanager
def _dropped_afterwards(settings: Settings, namespace: str) -> Iterator[None]:
    """Deletes the key space in the end, however the replay went."""
    try:
        yield
    finally:
        space = KeySpace(settings, namespace)
        try:
            space.drop()
        except StoreUnavailableError as error:
            log.warning("replay_left_keys", namespace=namespace, cause=str(error), expire_in_s=IDLE_S)
        finally:
            space.close()
