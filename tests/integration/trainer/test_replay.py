"""Features of a replayed history are those that serving would have seen, and serving does not notice."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from contract.clock import ManualClock, SystemClock, epoch_ms
from contract.codec import encode
from contract.events import Transaction
from contract.features import names, plain, plain_columns
from contract.metrics import Metrics
from contract.risk import KnownOutcome
from contract.settings import Settings
from scoring.afterwards import OutcomeScorer
from scoring.engine import Engine
from scoring.packages import ModelShelf
from scoring.ports import RawEvent
from scoring.redis_cases import RedisCases
from scoring.redis_rules import RedisRules
from scoring.redis_store import RedisStore
from scoring.rules import load_rules
from support.tiny_model import tiny_messages, tiny_package
from support.workbench import RULES, features_of, record, transaction
from tillguard import history_pass
from tillguard.history import Known, LabelQueue
from tillguard.private_redis import executable, private_redis
from tillguard.replay import replay
from trainer.spool import Spool

pytestmark = pytest.mark.integration
NOW = SystemClock().now().replace(microsecond=0)


@pytest.fixture
def settings(stack: Any, retailer_name: str, tmp_path: Path) -> Settings:
    server = stack.endpoints["redis"]
    return Settings(
        retailer=retailer_name,
        redis={"host": server.host, "port": server.port, "password": server.password, "timeout_s": 30},
        scoring={"model_directory": tmp_path / "models", "budget_ms": 60_000},
    )  # fmt: skip


@pytest.fixture
def keys(settings: Settings) -> Iterator[Any]:
    """What the retailer has in Redis."""
    with redis.Redis(**settings.redis.redis_py()) as client:
        yield lambda: {
            key: client.dump(key) for key in client.scan_iter(match=f"{{{settings.retailer}}}*", count=1_000)
        }


def history(settings: Settings, chance: random.Random, count: int = 600) -> list[Transaction]:
    """Few entities, many ties, some late, amounts of any size, fields that come and go; over weeks."""
    made = []
    moment = NOW - timedelta(days=10, seconds=4_000 * count)
    for number in range(count):
        moment += timedelta(milliseconds=chance.choice([0, 0, 1, 900, 40_000, 3_600_000, 20_000_000]))
        late = timedelta(days=chance.choice([0, 0, 0, 0, 2]))
        maybe = {
            name: chance.choice([None, f"{name}-{chance.randrange(6)}"])
            for name in ("customer", "card", "device", "ip", "email", "address", "coupon", "terminal")
        }
        made.append(
            transaction(
                number,
                retailer=settings.retailer,
                event_time=moment - late,
                amount_minor=chance.choice([0, 1, 999, 123_456, 10**11]),
                channel=chance.choice([None, "web", "app"]),
                basket_items=chance.choice([None, 0, 3]),
                session_s=chance.choice([None, 0.5, 100.0]),
                customer_since=chance.choice([None, moment - timedelta(days=400)]),
                **maybe,
            )
        )
    return made


@contextmanager
def engine_of(settings: Settings) -> Iterator[Engine]:
    """A live engine on the suite's Redis."""
    metrics = Metrics()
    shelf = ModelShelf(settings.scoring.model_directory, settings.retailer, metrics)
    for _, value in tiny_messages(tiny_package(retailer=settings.retailer)):
        shelf.offer(value)
    store, cases, archive = RedisStore(settings), RedisCases(settings), RedisRules(settings)
    engine = Engine(
        store, cases, shelf, load_rules(RULES, where="test"), settings, ManualClock(NOW), metrics, archive=archive
    )
    try:
        yield engine
    finally:
        store.close()
        cases.shut()
        archive.close()


def served(settings: Settings, rows: list[Transaction]) -> dict[str, bytes]:
    """The feature log that a live engine writes for `rows`."""
    with engine_of(settings) as engine:
        outcomes = [
            outcome
            for start in range(0, len(rows), 100)
            for outcome in engine.score([record(row) for row in rows[start : start + 100]])
        ]
    return {found.transaction_id: found.values for found in map(features_of, outcomes)}


def served_with_labels(settings: Settings, rows: list[Transaction], frauds: set[str]) -> dict[str, bytes]:
    """The feature log where the frauds become known 7 days after their transaction, through the outcomes topic's scorer."""
    queue = LabelQueue(settings.trainer.label_delay_days)
    scorer_store = RedisStore(settings)
    scorer = OutcomeScorer(scorer_store, settings, ManualClock(NOW), Metrics())
    log: dict[str, Any] = {}
    with engine_of(settings) as engine:
        for row in rows:
            for known in queue.due(epoch_ms(row.event_time)):
                seen = log[known.transaction_id]
                values = np.frombuffer(seen.values, "<f4")
                message = KnownOutcome(
                    transaction_id=known.transaction_id, retailer=settings.retailer, event_time=seen.event_time,
                    entities=seen.entities, fraud=known.fraud, plain=plain(*values[list(plain_columns())].tolist()),
                    label_time=row.event_time,
                )  # fmt: skip
                (done,) = scorer.collect([RawEvent(encode(message), "outcomes", 0, 0, 0)])
                assert done.complete
                assert done.dead_letter is None
            (outcome,) = engine.score([record(row)])
            log[row.transaction_id] = features_of(outcome)
            if row.transaction_id in frauds:
                queue.push(Known(row.transaction_id, True), event_time_ms=epoch_ms(row.event_time))
    scorer_store.close()
    return {name: found.values for name, found in log.items()}


def test_the_risk_of_entities_is_the_one_that_serving_saw_when_labels_came(
    settings: Settings, tmp_path: Path, chance: random.Random
) -> None:
    rows = history(settings, chance, 500)
    frauds = {row.transaction_id for row in rows if chance.random() < 0.3}
    log = served_with_labels(settings, rows, frauds)
    queue = LabelQueue(settings.trainer.label_delay_days)

    def labelled() -> Iterator[Transaction]:
        for row in rows:
            if row.transaction_id in frauds:
                queue.push(Known(row.transaction_id, True), event_time_ms=epoch_ms(row.event_time))
            yield row

    with Spool(tmp_path) as spool:
        replay(settings, labelled(), spool, now=NOW, labels=queue, private=True)
        matrix = np.array(spool.examples({}, label_delay_days=0, minor_per_major=100).examples.features)
    order = [row.transaction_id for row in sorted(rows, key=lambda row: row.event_time)]
    again = dict(zip(order, matrix, strict=True))
    risk = [names().index(f"{entity}_frauds_30d") for entity in ("customer", "terminal", "coupon")]
    assert sum(np.nansum(row[risk]) for row in again.values()) > 20
    for name, values in log.items():
        assert np.array_equal(np.frombuffer(values, "<f4"), again[name], equal_nan=True), name


def replayed(
    settings: Settings,
    rows: list[Transaction],
    folder: Path,
    *,
    rows_given: Iterator[Transaction] | None = None,
    private: bool,
) -> dict[str, bytes]:
    folder.mkdir()
    with Spool(folder) as spool:
        replay(settings, rows_given or rows, spool, now=NOW, private=private)
        joined = spool.examples({}, label_delay_days=0, minor_per_major=100)
        order = sorted(rows, key=lambda row: row.event_time)
        matrix = np.array(joined.examples.features)
    assert len(matrix) == len(rows)
    return {row.transaction_id: vector.astype("<f4").tobytes() for row, vector in zip(order, matrix, strict=True)}


@pytest.mark.parametrize("private", [True, False])
def test_every_float_is_the_one_that_serving_saw(
    settings: Settings, tmp_path: Path, chance: random.Random, private: bool
) -> None:
    rows = history(settings, chance)
    log, again = served(settings, rows), replayed(settings, rows, tmp_path / "spool", private=private)
    assert log.keys() == again.keys()
    for name, values in log.items():
        one, other = np.frombuffer(values, "<f4"), np.frombuffer(again[name], "<f4")
        differing = [
            names()[column] for column in np.flatnonzero(~((one == other) | (np.isnan(one) & np.isnan(other))))
        ]
        assert not differing, (name, differing)


@pytest.mark.parametrize("private", [True, False])
def test_live_windows_are_neither_read_nor_written(
    settings: Settings, keys: Any, tmp_path: Path, chance: random.Random, private: bool
) -> None:
    rows = history(settings, chance, 60)
    served(settings, rows)
    before = keys()
    assert before
    replayed(settings, rows, tmp_path / "spool", private=private)
    assert keys() == before


def test_a_replay_that_fails_leaves_no_keys(settings: Settings, keys: Any, tmp_path: Path) -> None:
    def breaking() -> Iterator[Transaction]:
        yield from history(settings, random.Random(1), 2_000)
        raise RuntimeError("the file ended in the middle")

    with pytest.raises(RuntimeError, match="in the middle"), Spool(tmp_path) as spool:
        replay(settings, breaking(), spool, now=NOW, private=False)
    assert keys() == {}


def test_a_redis_that_loses_the_connection_changes_no_feature(
    settings: Settings, tmp_path: Path, chance: random.Random
) -> None:
    rows = history(settings, chance, 3_000)
    undisturbed = replayed(settings, rows, tmp_path / "one", private=True)
    server = executable()
    assert server is not None
    with private_redis(server) as own, redis.Redis(**own.redis_py()) as client:

        def disturbed() -> Iterator[Transaction]:
            for number, row in enumerate(rows):
                if number % 700 == 650:
                    killed.append(client.client_kill_filter(_type="normal", skipme=True))
                yield row

        killed: list[int] = []
        there = settings.model_copy(update={"redis": own})
        again = replayed(there, rows, tmp_path / "two", rows_given=disturbed(), private=False)
    assert sum(killed) >= 3
    assert again == undisturbed


def test_a_redis_that_stays_away_ends_the_replay_with_a_sentence(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contract.errors import TransientError

    monkeypatch.setattr(history_pass, "OUTAGE_MAX_S", 0.3)
    nowhere = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1, "timeout_s": 0.2})})
    rows = history(settings, random.Random(1), 10)
    with pytest.raises(TransientError, match="Redis did not take the history"), Spool(tmp_path) as spool:
        replay(nowhere, rows, spool, now=NOW, private=False)


def test_repeated_and_unusable_transactions_are_counted_and_left_out(settings: Settings, tmp_path: Path) -> None:
    rows = history(settings, random.Random(1), 5)
    other = transaction(99, retailer="other")
    future = transaction(98, retailer=settings.retailer, event_time=NOW + timedelta(days=2))
    with Spool(tmp_path) as spool:
        found = replay(settings, [*rows, rows[2], other, future], spool, now=NOW, private=True)
    assert (found.applied, found.repeated) == (5, 1)
    assert found.refused == {"retailer_mismatch": 1, "time_future": 1}
