"""The skew check: the newest feature records of serving against a replay of the same transactions in a Redis of its own.

The feature log says what was applied, in which order, to which entities, and what serving saw; the outcomes topic says what was
known, and since when. So the replay needs no database, and a history file only for what was loaded and never came by a connector.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.clock import to_epoch_ms
from contract.errors import TransientError
from contract.features import get_feature_names
from contract.settings import RedisSettings, Settings
from contract.windows import ENTITIES, hash_counterpart
from scoring import features
from scoring.ports import Finding, FindingTicket, StoreUnavailableError, Ticket, WindowUpdate
from scoring.store.outcomes import decode_entities
from scoring.store.redis_store import RedisStore
from tillguard.history import reading
from tillguard.history.passes import HistoryPass, Passed, Way
from tillguard.history.private_redis import find_redis_server, start_private_redis
from tillguard.history.reading import LabelQueue
from tillguard.history.skew_log import Applied, Due, Served, read
from tillguard.wiring.stores import make_window_store
from trainer.drift.skew import Skew, compare

BATCH_MAX = 256
IN_FLIGHT_MAX = 4
WAIT_S = 30.0
NO_DIGEST = bytes(8)

Progress = Callable[[int], None]


class Checked(NamedTuple):
    """One skew check."""

    skew: Skew
    context: int
    """Transactions that were replayed before and between them."""
    gone: int
    """Feature records whose transactions are not on their topic any more."""
    transaction_ids: list[str]
    """Of what was compared, in the order in which it was applied."""
    replayed: NDArray[np.float32]
    """Shape (n, F)."""


class HashedStore:
    """A window store in which entities go by the 8 bytes that stand for them on the feature log, whether these or a value is given."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    def send(self, window_updates: Sequence[WindowUpdate], model_version: str, rules_version: str) -> Ticket:
        """As the port says."""
        return self._store.send([_hashed(one) for one in window_updates], model_version, rules_version)

    def send_hashed(self, window_updates: Sequence[WindowUpdate]) -> Ticket:
        """Window updates whose entities are `_name`s of hashes."""
        return self._store.send(window_updates, "replay", "replay")

    def learn(self, findings: Sequence[Finding]) -> FindingTicket:
        """As the port says."""
        return self._store.learn(
            [
                one._replace(
                    entities=tuple((place, hash_counterpart(_name(hashed).encode())) for place, hashed in one.entities)
                )
                for one in findings
            ]
        )


def _name(hashed: bytes) -> str:
    return hashed.hex()


def _hashed(window_update: WindowUpdate) -> WindowUpdate:
    def names_of(values: tuple[str | None, ...]) -> tuple[str | None, ...]:
        return tuple(None if value is None else _name(hash_counterpart(value.encode())) for value in values)

    aliases = None if window_update.aliases is None else names_of(window_update.aliases)
    return window_update._replace(entities=names_of(window_update.entities), aliases=aliases)


def check(
    settings: Settings,
    newest: int,
    *,
    now: datetime,
    file: Path | None = None,
    mapping: Path | None = None,
    progress: Progress | None = None,
) -> Checked:
    """Compares the `newest` feature records with a replay.

    Args:
        settings: the retailer's.
        newest: how many records at most, counted from the newest applied transaction.
        now: wall-clock time.
        file: a history that was loaded and is not on the feature log, as `tillguard.history.reading.open_file` reads it.
        mapping: likewise.
        progress: told the number of transactions replayed.

    Raises TransientError (Kafka or the private Redis does not answer), ConfigurationError (files, mapping).
    """
    server = find_redis_server()
    if server is None:
        raise TransientError("the skew check replays in a Redis of its own: install the extra `embedded`")
    served = read(settings, newest)
    known = {one.transaction_id for one in served.applied}
    try:
        with start_private_redis(server) as redis_settings, _opened(settings, redis_settings) as store:
            loaded = 0
            if file is not None:
                loaded, later = _load(settings, store, file, mapping, now=now, known=known)
                served = served._replace(due=sorted([*served.due, *later], key=lambda each: each[:2]))
            aggregates = _replayed(store, served, progress)
    except StoreUnavailableError as error:
        raise TransientError(f"the private Redis did not take the transactions: {error}") from None
    rows = [one for one in served.applied if one.applied_seq in served.values]
    there = [one for one in rows if one.transaction_id in served.transactions]
    recorded = _recorded([served.values[one.applied_seq] for one in there])
    ids, replayed = [one.transaction_id for one in there], _vectors(settings, there, served, aggregates)
    skew = compare(ids, recorded, replayed)
    return Checked(skew, loaded + len(served.applied) - len(rows), len(rows) - len(there), ids, replayed)


@contextmanager
def _opened(settings: Settings, redis_settings: RedisSettings) -> Iterator[HashedStore]:
    store = make_window_store(settings.model_copy(update={"redis": redis_settings}), "replay")
    try:
        yield HashedStore(store)
    finally:
        store.close()


def _load(
    settings: Settings, store: HashedStore, file: Path, mapping: Path | None, *, now: datetime, known: set[str]
) -> tuple[int, list[Due]]:
    """Replays the transactions of a file that are not on the feature log; how many, and what became known of them after the last."""
    seen = reading.Found(queue=LabelQueue(settings.trainer.label_delay_days))
    taken = 0

    def take(passed: Passed) -> None:
        nonlocal taken
        taken += len(passed.transactions)

    rows = (row for row in reading.open_file(settings, file, mapping, now, seen) if row.transaction_id not in known)
    one = HistoryPass(settings, store, take, now, way=Way("replay", "replay"), labels=seen.queue)
    one.run(rows)
    later = one.take_known_until(to_epoch_ms(now) + 1)
    return taken, [Due(each.known_ms, number, each.finding) for number, each in enumerate(later)]


def _replayed(store: HashedStore, served: Served, progress: Progress | None) -> dict[int, NDArray[np.float64]]:
    """Aggregates of the newest, by applied_seq."""
    found: dict[int, NDArray[np.float64]] = {}
    open_: deque[tuple[list[Applied], Ticket]] = deque()
    done = 0

    def take() -> None:
        nonlocal done
        rows, ticket = open_.popleft()
        aggregates = ticket.wait(WAIT_S).aggregates
        found.update(
            (one.applied_seq, aggregates[at]) for at, one in enumerate(rows) if one.applied_seq in served.values
        )
        done += len(rows)
        if progress is not None:
            progress(done)

    for due, rows in _batches(served):
        if due:
            store.learn(due).wait(WAIT_S)
        open_.append((rows, store.send_hashed([_window_update(one) for one in rows])))
        if len(open_) >= IN_FLIGHT_MAX:
            take()
    while open_:
        take()
    return found


def _batches(served: Served) -> Iterator[tuple[list[Finding], list[Applied]]]:
    """Up to BATCH_MAX transactions each, and what became known before them: before the first whose event_time is later."""
    due, at = served.due, 0
    known: list[Finding] = []
    rows: list[Applied] = []
    for one in served.applied:
        news = at < len(due) and due[at].known_ms < one.event_time_ms
        if rows and (news or len(rows) == BATCH_MAX):
            yield known, rows
            known, rows = [], []
        while at < len(due) and due[at].known_ms < one.event_time_ms:
            known.append(due[at].finding)
            at += 1
        rows.append(one)
    if rows:
        yield known, rows


def _window_update(one: Applied) -> WindowUpdate:
    entities: list[str | None] = [None] * len(ENTITIES)
    for place, hashed in decode_entities(one.entities):
        entities[place] = _name(hashed)
    # an id that came again after its record had expired was applied twice, and is applied twice here
    name = f"{one.transaction_id}/{one.applied_seq}"
    return WindowUpdate(name, one.event_time_ms, one.amount_base_minor, tuple(entities), None, NO_DIGEST)


def _vectors(
    settings: Settings, rows: Sequence[Applied], served: Served, aggregates: Mapping[int, NDArray[np.float64]]
) -> NDArray[np.float32]:
    if not rows:
        return np.empty((0, len(get_feature_names())), dtype=np.float32)
    return features.compute_features(
        [served.transactions[one.transaction_id] for one in rows],
        [one.amount_base_minor for one in rows],
        np.stack([aggregates[one.applied_seq] for one in rows]),
        base_currency=settings.base_currency,
    )


def _recorded(values: Sequence[bytes]) -> NDArray[np.float32]:
    return (
        np.frombuffer(b"".join(values), dtype="<f4")
        .reshape(-1, len(get_feature_names()))
        .astype(np.float32, copy=False)
    )
