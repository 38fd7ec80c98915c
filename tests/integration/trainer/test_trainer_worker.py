"""The trainer next to the workers, on real Kafka: killed anywhere, it loses no label and publishes nothing by half."""

import json
import random
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import yaml
from confluent_kafka import Producer
from kafka.codec import has_lz4

from contract.dead_letters import DeadLetter
from contract.metrics import Metrics
from contract.models import ModelMessage, ModelPromotion
from contract.status.message import Lag
from contract.topics import ALARMS, DEAD_LETTERS, FEATURES, LABELS, MODELS
from runtime.kafka.producer import build_producer_properties
from scoring.models.cache import ModelCache
from support.forked import tillguard
from support.learning import Simulated, feature_record, label, simulated
from support.live_trainer import LiveTrainer
from support.live_worker import LiveWorker, Topics, until
from support.tiny_model import NOW, tiny_package
from tillguard.operations.process_list import read_processes
from trainer.examples.store import ExampleStore
from trainer.learning.publication import promote_model
from trainer.model import snapshot
from trainer.registry.registry import Registry

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1_200)]
TRAINING_S = 480.0
"""TensorFlow alone takes a minute to load on a busy machine."""


@pytest.fixture
def topics(retailer: Any) -> Topics:
    return Topics(retailer.settings)


@pytest.fixture
def store(retailer: Any) -> Iterator[ExampleStore]:
    opened = ExampleStore(retailer.settings.trainer.examples_url.get_secret_value(), retailer.name)
    yield opened
    opened.close()


def configure(retailer: Any, **trainer: Any) -> None:
    """Changes the retailer's settings file."""
    document = yaml.safe_load(retailer.file.read_text())
    document["log"] = {"format": "json"}
    document["trainer"] |= trainer
    document["status"] = {"every_s": 0.5}
    retailer.file.write_text(yaml.safe_dump(document))


def send(topics: Topics, some: Simulated, labels: bool = True) -> None:
    topics.send(FEATURES, [(each.transaction_id.encode(), msgspec.json.encode(each)) for each in some.records])
    if labels:
        topics.send(LABELS, [(each.transaction_id.encode(), msgspec.json.encode(each)) for each in some.labels])


def stored(store: ExampleStore) -> int:
    return store.read_label_number() + store.count().total


def held(store: ExampleStore) -> dict[str, bool | None]:
    """The newest label of every transaction in the store."""
    found: dict[str, bool | None] = {}
    for page in store.read_known():
        for known in page:
            newest = max(known.revisions, key=lambda each: (each.label_time_ms, each.number), default=None)
            found[known.transaction_id] = None if newest is None else newest.fraud
    return found


def told(retailer: Any) -> list[tuple[str, Lag | None, bool]]:
    """What the trainer does, what waits, and whether it stopped."""
    everyone = [heard.status for heard in read_processes(retailer.settings) if heard.status.part == "trainer"]
    return [(status.condition.activity, status.condition.lag, status.stopped) for status in everyone]


def test_labels_late_twice_out_of_order_and_revised_end_where_they_belong(
    retailer: Any, topics: Topics, store: ExampleStore, tmp_path: Path
) -> None:
    configure(retailer, train_every_labels=10**6)
    name = retailer.name
    revised = [label(3, retailer=name, day=2, fraud=False), label(3, retailer=name, day=1, fraud=True)]
    early = label(4, retailer=name)
    topics.send(LABELS, [(b"t-4", msgspec.json.encode(early))])
    with LiveTrainer(retailer.file, tmp_path / "trainer.log") as trainer:
        until(store.read_label_number, "the label that came before its transaction")
        topics.send(
            FEATURES, [(f"t-{n}".encode(), msgspec.json.encode(feature_record(n, retailer=name))) for n in range(6)]
        )
        late = [*revised, early, label(5, retailer=name, fraud=False), label(5, retailer=name, day=3)]
        topics.send(LABELS, [(each.transaction_id.encode(), msgspec.json.encode(each)) for each in late])
        topics.send(LABELS, [(b"bad", b"{"), (b"t-1", msgspec.json.encode(label(1, retailer="other")))])
        topics.send(FEATURES, [(b"t-0", None)])
        expected = {"t-1": None, "t-2": None, "t-3": False, "t-4": True, "t-5": True}
        until(lambda: held(store) == expected, "every label where it belongs")
        assert len(store.list_revisions("t-3")) == 2
        until(lambda: len(topics.read(DEAD_LETTERS)) == 2, "dead letters")
        letters = [msgspec.json.decode(value or b"", type=DeadLetter) for _, value in topics.read(DEAD_LETTERS)]
        assert {(letter.part, letter.reason) for letter in letters} == {
            ("trainer", "malformed"),
            ("trainer", "retailer_mismatch"),
        }
        until(lambda: trainer.metric("tillguard_trainer_ingested_total", kind="labels") == 6, "the count of labels")
        until(lambda: "tillguard_trainer_lag_messages" in trainer.page("/metrics")[1], "the lag")
        assert trainer.page("/health")[0] == 200
        until(lambda: told(retailer) == [("collecting", Lag(records=0), False)], "its heartbeat")
        assert trainer.metric("tillguard_trainer_dead_letters_total") == 2
        second = tillguard("trainer", "run", "--web-port", "0", "--config", str(retailer.file))
        assert second.returncode == 3
        assert f"a trainer of {name} runs already (process {trainer.process.pid} on " in second.stderr
        assert trainer.terminate() == 0
    assert told(retailer) == [("collecting", Lag(records=0), True)]


def test_a_kill_while_labels_come_loses_and_doubles_none(
    retailer: Any, topics: Topics, store: ExampleStore, tmp_path: Path, chance: random.Random
) -> None:
    configure(retailer, train_every_labels=10**6)
    count, name = 6_000, retailer.name
    topics.send(
        FEATURES, [(f"t-{n}".encode(), msgspec.json.encode(feature_record(n, retailer=name))) for n in range(count)]
    )
    labels = [label(n, retailer=name, fraud=n % 7 == 0) for n in range(count)]
    topics.send(LABELS, [(each.transaction_id.encode(), msgspec.json.encode(each)) for each in labels])
    for _ in range(2):
        with LiveTrainer(retailer.file, tmp_path / "trainer.log") as trainer:
            enough = min(stored(store) + chance.randrange(1, 1_500), 2 * count)
            until(partial(lambda enough: stored(store) >= enough, enough), "progress")
            trainer.kill()
    with LiveTrainer(retailer.file, tmp_path / "trainer.log") as trainer:
        until(lambda: store.count() == (-(-count // 7), count - -(-count // 7), 0), "everything")
        assert trainer.terminate() == 0
    assert store.count_new_labels() == count
    assert all(len(known.revisions) == 1 for page in store.read_known() for known in page)


def test_a_better_model_is_learned_and_swapped_in_and_a_kill_in_training_publishes_nothing_by_half(
    retailer: Any, topics: Topics, store: ExampleStore, registry: Registry, chance: random.Random
) -> None:
    configure(retailer, train_every_labels=1_000, newest_examples=6_000, replay_examples=1_000, label_delay_days=0.001)
    ignorant = registry.add(tiny_package("tiny-1", retailer.name, weights={"basket_items": 0.01}))
    promote_model(retailer.settings, registry, ignorant, by="test", now=NOW)
    some = simulated(retailer.settings, rows=4_000, seed=5)
    with LiveWorker(retailer.file, retailer.file.parent / "worker.log") as worker:
        worker.await_ready()
        with LiveTrainer(retailer.file, retailer.file.parent / "trainer.log") as trainer:
            send(topics, some)
            trainer.await_event("training_begins")
            deadline_s = time.monotonic() + chance.uniform(0.0, 4.0)
            while time.monotonic() < deadline_s and not trainer.events("training_ended"):
                assert trainer.process.poll() is None
            children = psutil.Process(trainer.process.pid).children(recursive=True)
            trainer.kill()
            _, alive = psutil.wait_procs(children, timeout=30)
            assert alive == []  # a training ends with the trainer
        assert [each.model_version for each in promotions(topics)] in (
            ["tiny-1"],
            ["tiny-1", serving(registry, retailer)],
        )
        with LiveTrainer(retailer.file, retailer.file.parent / "trainer.log") as trainer:
            until(lambda: serving(registry, retailer) != "tiny-1", "a better model", within_s=TRAINING_S)
            version = serving(registry, retailer)
            until(lambda: served(worker) == version, "the worker serves the new model", within_s=10)
            until(lambda: store.count().total == len(some.sales), "every transaction")
            assert trainer.terminate() == 0
    assert store.read_label_number() == len(some.sales)
    assert len(promotions(topics)) == len(registry.list_promotions(retailer.name))
    cache = ModelCache(retailer.file.parent / "cache", retailer.name, Metrics())
    for _, value in topics.read(MODELS):
        cache.offer(value)
    assert cache.serving is not None
    assert cache.serving.version == version
    entry = registry.find(retailer.name, version)
    assert entry is not None
    assert snapshot.load(registry.read_attachment(entry, snapshot.ATTACHMENT) or b"").weights


@pytest.fixture
def registry(retailer: Any) -> Iterator[Registry]:
    trainer = retailer.settings.trainer
    opened = Registry(trainer.registry_url.get_secret_value(), trainer.registry_directory)
    yield opened
    opened.close()


def serving(registry: Registry, retailer: Any) -> str:
    entry = registry.find_serving(retailer.name)
    assert entry is not None
    return entry.manifest.model_version


def promotions(topics: Topics) -> list[ModelPromotion]:
    messages = [msgspec.json.decode(value or b"", type=ModelMessage) for _, value in topics.read(MODELS)]
    return [message for message in messages if isinstance(message, ModelPromotion)]


def served(worker: LiveWorker) -> str | None:
    for line in worker.page("/metrics")[1].splitlines():
        if line.startswith("tillguard_scoring_model_info{") and line.endswith(" 1.0"):
            return line.split('model_version="')[1].split('"')[0]
    return None


def test_a_refused_model_is_an_alarm_that_says_why_with_numbers(
    retailer: Any, topics: Topics, store: ExampleStore, tmp_path: Path
) -> None:
    configure(retailer, train_every_labels=500, newest_examples=6_000, gate_frauds_min=100_000, label_delay_days=0.001)
    some = simulated(retailer.settings, rows=2_500, seed=6)
    store.put(some.records, some.labels)
    first = tillguard("trainer", "run", "--once", "--config", str(retailer.file), within_s=TRAINING_S)
    assert first.returncode == 0, first.stderr
    with LiveTrainer(retailer.file, tmp_path / "trainer.log") as trainer:
        again = [msgspec.structs.replace(each, source="review") for each in some.labels]
        topics.send(LABELS, [(each.transaction_id.encode(), msgspec.json.encode(each)) for each in again])
        until(lambda: topics.read(ALARMS), "an alarm", within_s=TRAINING_S)
        assert trainer.terminate() == 0
    alarm = json.loads(topics.read(ALARMS)[0][1] or b"")
    assert alarm["kind"] == "model_refused"
    assert "100000 frauds are needed" in alarm["text"]
    assert alarm["values"]["frauds"] > 2
    shown = tillguard("trainer", "attempts", "--json", "--config", str(retailer.file))
    refused, published = json.loads(shown.stdout)
    assert (refused["outcome"], published["outcome"]) == ("refused", "published")
    assert refused["reason"] in alarm["text"]
    assert refused["figures"]["frauds"] == alarm["values"]["frauds"]
    assert refused["figures"]["fit_s"] > 0


def test_wrong_settings_and_a_missing_topic_end_with_one_sentence_each(retailer: Any, tmp_path: Path) -> None:
    fresh = tillguard("trainer", "run", "--fresh", "--config", str(retailer.file))
    assert (fresh.returncode, fresh.stderr) == (2, "tillguard: --fresh goes with --once\n")
    empty = tillguard("trainer", "run", "--once", "--config", str(retailer.file), within_s=TRAINING_S)
    sentence = "No new model: there is no example yet: no transaction was scored under this feature schema.\n"
    assert (empty.returncode, empty.stdout) == (1, sentence)
    document = yaml.safe_load(retailer.file.read_text()) | {"retailer": f"{retailer.name}-x"}
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(document))
    topicless = tillguard("trainer", "run", "--web-port", "0", "--config", str(other))
    assert topicless.returncode == 2
    assert "does not exist: `tillguard topics" in topicless.stderr


def send_in_bulk(retailer: Any, some: Simulated, **properties: Any) -> None:
    """As a busy worker writes: many records to a batch, so that they are compressed."""
    producer = Producer(build_producer_properties(retailer.settings.kafka, "busy") | {"linger.ms": 200} | properties)
    for each in some.records:
        producer.produce(FEATURES.name(retailer.name), msgspec.json.encode(each), each.transaction_id.encode())
    assert producer.flush(30) == 0


def test_what_a_busy_worker_writes_can_be_read(retailer: Any, store: ExampleStore, tmp_path: Path) -> None:
    send_in_bulk(retailer, simulated(retailer.settings, rows=300, seed=23))
    with LiveTrainer(retailer.file, tmp_path / "trainer.log") as trainer:
        until(lambda: store.count().total == 300, "the examples of a busy worker")
        assert trainer.terminate() == 0


def test_a_log_that_cannot_be_unpacked_ends_the_trainer_with_the_remedy(
    retailer: Any, store: ExampleStore, tmp_path: Path
) -> None:
    if has_lz4():
        pytest.skip("here lz4 can be read")
    send_in_bulk(
        retailer,
        simulated(retailer.settings, rows=300, seed=24),
        **{"compression.type": "lz4", "compression.level": -1},
    )
    with LiveTrainer(retailer.file, tmp_path / "trainer.log") as trainer:
        assert trainer.process.wait(120) == 2
        assert "install the package lz4" in trainer.log.read_text()
    assert store.count().total == 0
