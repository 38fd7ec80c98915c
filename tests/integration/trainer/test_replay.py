"""Features of a replayed history are those that serving would have seen, and serving does not notice."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis

from contract.clock import SystemClock, to_epoch_ms
from contract.events import Transaction
from contract.features import get_feature_names
from contract.settings import Settings
from support.serving import history, served, served_with_labels
from support.workbench import transaction
from tillguard.history import passes
from tillguard.history.private_redis import find_redis_server, start_private_redis
from tillguard.history.reading import Known, LabelQueue
from tillguard.history.replay import replay
from trainer.examples.spool import Spool

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
    with redis.Redis(**settings.redis.to_redis_py()) as client:
        yield lambda: {
            key: client.dump(key) for key in client.scan_iter(match=f"{{{settings.retailer}}}*", count=1_000)
        }


def test_the_risk_of_entities_is_the_one_that_serving_saw_when_labels_came(
    settings: Settings, tmp_path: Path, chance: random.Random
) -> None:
    rows = history(settings, chance, NOW, 500)
    frauds = {row.transaction_id for row in rows if chance.random() < 0.3}
    log = served_with_labels(settings, rows, frauds, NOW)
    queue = LabelQueue(settings.trainer.label_delay_days)

    def labelled() -> Iterator[Transaction]:
        for row in rows:
            if row.transaction_id in frauds:
                queue.push(Known(row.transaction_id, True), event_time_ms=to_epoch_ms(row.event_time))
            yield row

    with Spool(tmp_path) as spool:
        replay(settings, labelled(), spool, now=NOW, labels=queue, private=True)
        matrix = np.array(spool.read_features(spool.read_columns().transaction_ids))
    order = [row.transaction_id for row in sorted(rows, key=lambda row: row.event_time)]
    again = dict(zip(order, matrix, strict=True))
    risk = [get_feature_names().index(f"{entity}_frauds_30d") for entity in ("customer", "terminal", "coupon")]
    assert sum(np.nansum(row[risk]) for row in again.values()) > 20
    for name, found in log.items():
        assert np.array_equal(np.frombuffer(found.values, "<f4"), again[name], equal_nan=True), name


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
        order = sorted(rows, key=lambda row: row.event_time)
        matrix = np.array(spool.read_features(spool.read_columns().transaction_ids))
    assert len(matrix) == len(rows)
    return {row.transaction_id: vector.astype("<f4").tobytes() for row, vector in zip(order, matrix, strict=True)}


@pytest.mark.parametrize("private", [True, False])
def test_every_float_is_the_one_that_serving_saw(
    settings: Settings, tmp_path: Path, chance: random.Random, private: bool
) -> None:
    rows = history(settings, chance, NOW)
    log, again = served(settings, rows, NOW), replayed(settings, rows, tmp_path / "spool", private=private)
    assert log.keys() == again.keys()
    for name, values in log.items():
        one, other = np.frombuffer(values, "<f4"), np.frombuffer(again[name], "<f4")
        differing = [
            get_feature_names()[column]
            for column in np.flatnonzero(~((one == other) | (np.isnan(one) & np.isnan(other))))
        ]
        assert not differing, (name, differing)


@pytest.mark.parametrize("private", [True, False])
def test_live_windows_are_neither_read_nor_written(
    settings: Settings, keys: Any, tmp_path: Path, chance: random.Random, private: bool
) -> None:
    rows = history(settings, chance, NOW, 60)
    served(settings, rows, NOW)
    before = keys()
    assert before
    replayed(settings, rows, tmp_path / "spool", private=private)
    assert keys() == before


def test_a_replay_that_fails_leaves_no_keys(settings: Settings, keys: Any, tmp_path: Path) -> None:
    def breaking() -> Iterator[Transaction]:
        yield from history(settings, random.Random(1), NOW, 2_000)
        raise RuntimeError("the file ended in the middle")

    with pytest.raises(RuntimeError, match="in the middle"), Spool(tmp_path) as spool:
        replay(settings, breaking(), spool, now=NOW, private=False)
    assert keys() == {}


def test_a_redis_that_loses_the_connection_changes_no_feature(
    settings: Settings, tmp_path: Path, chance: random.Random
) -> None:
    rows = history(settings, chance, NOW, 3_000)
    undisturbed = replayed(settings, rows, tmp_path / "one", private=True)
    server = find_redis_server()
    assert server is not None
    with start_private_redis(server) as own, redis.Redis(**own.to_redis_py()) as client:

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

    monkeypatch.setattr(passes, "OUTAGE_MAX_S", 0.3)
    nowhere = settings.model_copy(update={"redis": settings.redis.model_copy(update={"port": 1, "timeout_s": 0.2})})
    rows = history(settings, random.Random(1), NOW, 10)
    with pytest.raises(TransientError, match="Redis did not take the history"), Spool(tmp_path) as spool:
        replay(nowhere, rows, spool, now=NOW, private=False)


def test_repeated_and_unusable_transactions_are_counted_and_left_out(settings: Settings, tmp_path: Path) -> None:
    rows = history(settings, random.Random(1), NOW, 5)
    other = transaction(99, retailer="other")
    future = transaction(98, retailer=settings.retailer, event_time=NOW + timedelta(days=2))
    with Spool(tmp_path) as spool:
        found = replay(settings, [*rows, rows[2], other, future], spool, now=NOW, private=True)
    assert (found.applied, found.repeated) == (5, 1)
    assert found.refused == {"retailer_mismatch": 1, "time_future": 1}
