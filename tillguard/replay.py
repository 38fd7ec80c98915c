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

import structlog

from contract.errors import InvalidEventError, TransientError
from contract.events import Transaction
from contract.settings import Settings
from scoring import extract
from scoring.ports import Applied, Sighting, StoreUnavailableError, Ticket
from scoring.redis_space import KeySpace
from scoring.redis_store import RedisStore
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
    transactions: list[Transaction]
    amounts: list[int]
    times_ms: list[int]
    sightings: list[Sighting]


class Replay:
    """One pass over a history, in its order, which should be that of event_time."""

    def __init__(self, settings: Settings, spool: Spool, now: datetime, namespace: str) -> None:
        """`settings.redis` says where; `now` is the wall-clock time that nothing may lie ahead of."""
        self._admission = settings.admission
        self._base_currency = settings.base_currency
        self._store = RedisStore(_short_lived(settings), namespace)
        self._spool = spool
        self._now = now
        self._open: deque[tuple[_Batch, Ticket]] = deque()
        self._repeated = 0
        self._refused: Counter[str] = Counter()

    def run(self, history: Iterable[Transaction], progress: Progress | None = None) -> Replayed:
        """Applies `history` and appends its features to the spool.

        Raises TransientError where Redis stays away. Memory does not grow with the history (the spool's does, a little).
        """
        started = time.monotonic()
        admitted = iter(self._admitted(history))
        while batch := self._next(admitted):
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

    def _next(self, admitted: Iterator[tuple[Transaction, int]]) -> _Batch | None:
        rows = list(islice(admitted, BATCH))
        if not rows:
            return None
        transactions, amounts = [row[0] for row in rows], [row[1] for row in rows]
        times_ms = extract.event_times_ms(transactions)
        return _Batch(transactions, amounts, times_ms, extract.sightings(transactions, amounts, times_ms))

    def _send(self, batch: _Batch) -> None:
        try:
            self._open.append((batch, self._store.send(batch.sightings, "replay", "replay")))
        except StoreUnavailableError:
            self._again([*(entry[0] for entry in self._open), batch])

    def _take(self) -> None:
        batch, ticket = self._open[0]
        try:
            applied = ticket.wait(WAIT_S)
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
                return self._store.send(batch.sightings, "replay", "replay").wait(WAIT_S)
            except StoreUnavailableError as error:
                if time.monotonic() > deadline_s:
                    raise TransientError(f"the replay ended: {error}") from None
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, 1.0)

    def _keep(self, batch: _Batch, applied: Applied) -> None:
        self._spool.append(
            [transaction.transaction_id for transaction in batch.transactions],
            batch.times_ms,
            applied.applied_seq.tolist(),
            batch.amounts,
            extract.features(batch.transactions, batch.amounts, applied.aggregates, base_currency=self._base_currency),
        )


def _short_lived(settings: Settings) -> Settings:
    lifetimes = {"first_sight_days": FIRST_SIGHT_S / DAY_S, "entity_idle_days": IDLE_S / DAY_S}
    return settings.model_copy(update={"retention": settings.retention.model_copy(update=lifetimes)})


def replay(
    settings: Settings,
    history: Iterable[Transaction],
    spool: Spool,
    *,
    now: datetime,
    private: bool | None = None,
    progress: Progress | None = None,
) -> Replayed:
    """Appends the features of `history` to `spool`.

    Args:
        settings: whose retailer, currency and (where no private Redis is used) Redis.
        history: transactions in event-time order.
        spool: takes the features.
        now: wall-clock time.
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
            return _run(Replay(own, spool, now, "replay"), history, progress)
    namespace = f"replay:{os.getpid()}-{secrets.token_hex(4)}"
    with _dropped_afterwards(settings, namespace):
        return _run(Replay(settings, spool, now, namespace), history, progress)


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
