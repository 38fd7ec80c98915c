"""Features of a history: the same script and the same extraction as serving, in a key space of its own.

Invariant: live windows are never read or written. The namespace is deleted afterwards, and should this process be killed,
everything in it expires by itself.
"""

import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NamedTuple

import structlog

from contract.errors import TransientError
from contract.events import Transaction
from contract.settings import Settings
from scoring.ports import StoreUnavailableError
from scoring.store.space import KeySpace
from tillguard.history.passes import HistoryPass, Passed, Way
from tillguard.history.private_redis import find_redis_server, start_private_redis
from tillguard.history.reading import LabelQueue
from tillguard.wiring.stores import make_window_store
from trainer.examples.outcomes import PastTransaction
from trainer.examples.spool import Spool

log = structlog.get_logger()

FIRST_SIGHT_S = 90
"""Long enough for sending a batch again after an outage; a repeated id in the history is found without Redis."""
IDLE_S = 6 * 3_600
"""Wall-clock; no replay lasts so long, and a killed one leaves nothing for longer."""
DAY_S = 86_400
WAY = Way("replay", "replay")

Progress = Callable[[int], None]


class Replayed(NamedTuple):
    """What became of a history."""

    applied: int
    repeated: int
    """Left out: an id that came before."""
    refused: Counter[str]
    """Left out, by reason: what serving would have made a dead letter."""
    seconds: float
    recent: dict[str, PastTransaction]
    """See HistoryPass.list_recent."""


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
    server = find_redis_server() if private is not False else None
    if private and server is None:
        raise TransientError("no private Redis: the extra `embedded` is not installed")
    if server is not None:
        with start_private_redis(server) as redis_settings:
            own = settings.model_copy(update={"redis": redis_settings})
            return _run(own, history, spool, now, "replay", labels, progress)
    namespace = f"replay:{os.getpid()}-{secrets.token_hex(4)}"
    with _dropped_afterwards(settings, namespace):
        return _run(settings, history, spool, now, namespace, labels, progress)


def _run(  # noqa: PLR0917 - the arguments of `replay`
    settings: Settings,
    history: Iterable[Transaction],
    spool: Spool,
    now: datetime,
    namespace: str,
    labels: LabelQueue | None,
    progress: Progress | None,
) -> Replayed:
    started_s = time.monotonic()
    store = make_window_store(_short_lived(settings), namespace)

    def take(passed: Passed) -> None:
        spool.append(
            [transaction.transaction_id for transaction in passed.transactions],
            passed.times_ms,
            passed.applied.applied_seq.tolist(),
            passed.amounts,
            passed.vectors,
        )
        if progress is not None:
            progress(len(spool))

    try:
        one = HistoryPass(settings, store, take, now, way=WAY, labels=labels)
        one.run(history)
    finally:
        store.close()
    return Replayed(len(spool), one.repeated, one.refused, time.monotonic() - started_s, one.list_recent())


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
