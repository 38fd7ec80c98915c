"""A history that is in a file alone fills the windows that serve: once, in order, and with what was known at each time."""

import random
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from contract.clock import SystemClock
from contract.errors import ConfigurationError
from contract.events import Transaction
from contract.features import get_feature_names
from contract.settings import Settings
from scoring.store.history import HistoryRecords
from scoring.store.keys import Keys
from support.serving import engine_of, history, served_with_labels
from support.workbench import features_of, record, score, transaction
from tillguard.history.live import Loaded, load
from tillguard.history.reading import Known, LabelQueue
from tillguard.history.replay import replay
from trainer.examples.spool import Spool

pytestmark = pytest.mark.integration
NOW = SystemClock().now().replace(microsecond=0)
OLD, ALL = 400, 500


@pytest.fixture
def settings(stack: Any, retailer_name: str, tmp_path: Path) -> Settings:
    server = stack.endpoints["redis"]
    return Settings(
        retailer=retailer_name,
        redis={"host": server.host, "port": server.port, "password": server.password, "timeout_s": 30},
        scoring={"model_directory": tmp_path / "models", "budget_ms": 60_000},
    )  # fmt: skip


class Past:
    """A history whose last rows are sold live, and its frauds."""

    def __init__(self, settings: Settings, chance: random.Random) -> None:
        self.rows = sorted(history(settings, chance, NOW, ALL), key=lambda row: row.event_time)
        self.frauds = {row.transaction_id for row in self.rows if chance.random() < 0.3}

    def known(self) -> set[str]:
        """Frauds that became known before the first row that is sold live."""
        begin = self.rows[OLD].event_time
        return {
            row.transaction_id
            for row in self.rows
            if row.transaction_id in self.frauds and row.event_time + timedelta(days=7) < begin
        }

    def write(self, file: Path, rows: slice = slice(0, OLD)) -> Path:
        known = self.known()
        with file.open("wb") as stream:
            for row in self.rows[rows]:
                fraud = b"true" if row.transaction_id in known else b"null"
                stream.write(msgspec.json.encode(row)[:-1] + b',"fraud":' + fraud + b"}\n")
        return file

    def replayed(self, settings: Settings, folder: Path) -> dict[str, Any]:
        """Features by a replay of everything, each fraud known after 7 days."""
        queue = LabelQueue(settings.trainer.label_delay_days)

        def labelled() -> Iterator[Transaction]:
            for row in self.rows:
                if row.transaction_id in self.frauds:
                    queue.push(Known(row.transaction_id, True), event_time_ms=int(row.event_time.timestamp() * 1000))
                yield row

        folder.mkdir()
        with Spool(folder) as spool:
            replay(settings, labelled(), spool, now=NOW, labels=queue, private=True)
            matrix = np.array(spool.read_features(spool.read_columns().transaction_ids))
        return dict(zip([row.transaction_id for row in self.rows], matrix, strict=True))


@pytest.fixture
def past(settings: Settings, chance: random.Random) -> Past:
    return Past(settings, chance)


def serve(settings: Settings, past: Past) -> dict[str, Any]:
    """What serving sees: first the loaded rows again, as a snapshot brings them, then the live ones and the frauds that become known."""
    with engine_of(settings, NOW) as engine:
        again = [features_of(one) for one in score(engine, [record(row) for row in past.rows[:OLD]])]
    seen = {one.transaction_id: one for one in again}
    unknown = past.frauds - past.known()
    return served_with_labels(settings, past.rows[OLD:], unknown, NOW, seen)


def assert_same(served: dict[str, Any], replayed: dict[str, Any]) -> None:
    assert served.keys() == replayed.keys()
    for name, found in served.items():
        one, other = np.frombuffer(found.values, "<f4"), replayed[name]
        differing = [
            get_feature_names()[at] for at in np.flatnonzero(~((one == other) | (np.isnan(one) & np.isnan(other))))
        ]
        assert not differing, (name, differing)


def test_what_serves_after_a_load_is_what_a_replay_of_everything_sees(
    settings: Settings, past: Past, tmp_path: Path
) -> None:
    loaded = load(settings, past.write(tmp_path / "past.jsonl"), None, now=NOW)
    assert isinstance(loaded, Loaded)
    assert (loaded.applied, loaded.known, loaded.left) == (OLD, 0, 0)
    assert loaded.outcomes == len(past.known()) > 20
    served, replayed = serve(settings, past), past.replayed(settings, tmp_path / "spool")
    risk = [get_feature_names().index(f"{entity}_frauds_30d") for entity in ("customer", "terminal", "coupon")]
    live = [replayed[row.transaction_id] for row in past.rows[OLD:]]
    assert sum(np.nansum(row[risk]) for row in live) > 20
    assert_same(served, replayed)


def test_a_load_that_was_killed_goes_on_and_leaves_the_same(settings: Settings, past: Past, tmp_path: Path) -> None:
    file = past.write(tmp_path / "past.jsonl")

    def kill(done: int) -> None:
        if done > OLD // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load(settings, file, None, now=NOW, progress=kill)
    loaded = load(settings, file, None, now=NOW)
    assert isinstance(loaded, Loaded)
    assert loaded.known > OLD // 2
    assert loaded.applied + loaded.known == OLD
    assert_same(serve(settings, past), past.replayed(settings, tmp_path / "spool"))


def test_the_same_file_again_changes_nothing_and_a_longer_one_adds_what_follows(
    settings: Settings, past: Past, tmp_path: Path, redis_client: Any
) -> None:
    def keys() -> dict[bytes, bytes]:
        return {key: redis_client.dump(key) for key in redis_client.scan_iter(match=f"{{{settings.retailer}}}*")}

    load(settings, past.write(tmp_path / "past.jsonl", slice(0, 300)), None, now=NOW)
    before = keys()
    again = load(settings, tmp_path / "past.jsonl", None, now=NOW)
    assert isinstance(again, Loaded)
    assert (again.applied, again.known, again.left) == (0, 0, 300)
    assert keys() == before
    longer = load(settings, past.write(tmp_path / "longer.jsonl"), None, now=NOW)
    assert isinstance(longer, Loaded)
    assert longer.applied + longer.left == OLD
    assert longer.applied > 90


def test_a_row_that_the_connector_reads_otherwise_than_the_file_is_answered_and_no_conflict(
    settings: Settings, tmp_path: Path
) -> None:
    moment = NOW - timedelta(hours=1)
    row = transaction(1, retailer=settings.retailer, event_time=moment, customer="c", card="k1.aaa")
    file = tmp_path / "past.jsonl"
    file.write_bytes(msgspec.json.encode(row) + b"\n")
    load(settings, file, None, now=NOW)
    fuller = msgspec.structs.replace(row, device="phone", payment_method="card")
    with engine_of(settings, NOW) as engine:
        first, second = score(engine, [record(fuller), record(fuller)])
        (other,) = score(engine, [record(msgspec.structs.replace(row, amount_minor=7))])
    assert first.verdict is not None
    assert features_of(first) == features_of(second)
    assert other.verdict is None
    assert other.dead_letter is not None


def test_windows_that_serve_already_take_what_is_older_than_they_are(
    settings: Settings, past: Past, tmp_path: Path, redis_client: Any
) -> None:
    file = past.write(tmp_path / "past.jsonl")
    with engine_of(settings, NOW) as engine:
        score(engine, [record(row) for row in past.rows[OLD - 50 :]])
    loaded = load(settings, file, None, now=NOW)
    assert isinstance(loaded, Loaded)
    begin = past.rows[OLD - 50].event_time
    assert loaded.applied == sum(row.event_time < begin for row in past.rows[:OLD])
    assert loaded.applied + loaded.left == OLD


def test_windows_of_unknown_age_are_left_alone_unless_the_operator_says_where_they_begin(
    settings: Settings, past: Past, tmp_path: Path, redis_client: Any
) -> None:
    file = past.write(tmp_path / "past.jsonl")
    with engine_of(settings, NOW) as engine:
        score(engine, [record(row) for row in past.rows[OLD:]])
    redis_client.delete(Keys(settings.retailer).coverage)
    said = load(settings, file, None, now=NOW)
    assert isinstance(said, str)
    assert "--before" in said
    limit = past.rows[OLD // 2].event_time
    loaded = load(settings, file, None, now=NOW, before=limit)
    assert isinstance(loaded, Loaded)
    assert loaded.applied == sum(row.event_time < limit for row in past.rows[:OLD])
    assert loaded.applied + loaded.left == OLD


def test_two_loads_at_once_are_refused(settings: Settings, past: Past, tmp_path: Path) -> None:
    other = HistoryRecords(settings)
    assert other.acquire()
    with pytest.raises(ConfigurationError, match="another process loads"):
        load(settings, past.write(tmp_path / "past.jsonl"), None, now=NOW)
    other.release()
    assert isinstance(load(settings, tmp_path / "past.jsonl", None, now=NOW), Loaded)
    other.close()
