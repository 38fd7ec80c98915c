"""Retailers of the scoring benchmark: topics, a model fitted to their transactions, and programs that score them."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import redis
import yaml
from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from bench.scoring import network
from bench.scoring.shoppers import Record
from contract.clock import SystemClock
from contract.metrics import Metrics
from contract.settings import Settings, parse
from contract.topics import MODELS, TOPICS, TRANSACTIONS, VERDICTS
from contract.verdicts import Verdict
from embedded import retailers
from embedded.ledger import Endpoint
from scoring.engine.engine import Engine
from scoring.models.cache import ModelCache
from scoring.ports import RawEvent
from scoring.rules.ruleset import load_default_rules
from scoring.rules.versions import RulesetCache
from tillguard.wiring.engine import make_engine
from tillguard.wiring.stores import make_case_store, make_rules_archive, make_window_store

DATABASE = 13
"""Redis database of the benchmark; emptied before every measurement."""
MODEL_VERSION = "bench-1"
LEAVE_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "limit loop": ("-m", "bench.scoring.limit_loop"),
    "faust loop": ("-m", "bench.scoring.faust_loop"),
    "librdkafka feed": ("-m", "tillguard", "score", "--web-port", "0", "--feed", "librdkafka"),
    "agent feed": ("-m", "tillguard", "score", "--web-port", "0", "--feed", "agent"),
}
"""Programs that turn transactions into verdicts."""
_ROOT = Path(__file__).parents[2]


class Program:
    """One of COMMANDS as a process; a context manager that leaves nothing running."""

    def __init__(self, kind: str, shop: "Shop") -> None:
        self.kind = kind
        self.log = shop.folder / f"{kind.replace(' ', '-')}-{secrets.token_hex(3)}.log"
        command = [sys.executable, *COMMANDS[kind], "--config", str(shop.file)]
        if kind.endswith("loop"):
            command += ["--model", str(shop.model)]
        with self.log.open("wb") as sink:
            self._process = subprocess.Popen(  # noqa: S603 - fixed programs of this repository
                command, cwd=_ROOT, stdout=sink, stderr=sink, stdin=subprocess.DEVNULL
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it in an orderly way, by force past a time limit."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def check(self) -> None:
        """Raises RuntimeError with the end of its log where it has ended."""
        if self._process.poll() is not None:
            end = self.log.read_text("utf-8", errors="replace")[-3000:]
            raise RuntimeError(f"{self.kind} ended with {self._process.returncode}:\n{end}")

    @property
    def resident_bytes(self) -> int:
        """Resident memory now."""
        fields = Path(f"/proc/{self._process.pid}/statm").read_text("ascii").split()
        return int(fields[1]) * os.sysconf("SC_PAGESIZE")

    @property
    def cpu_s(self) -> float:
        """Processor time used so far by all its threads, user and system."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Shop:
    """A retailer of its own; `model` is the ONNX file of its package."""

    settings: Settings
    folder: Path
    file: Path
    model: Path

    @property
    def name(self) -> str:
        return self.settings.retailer

    @property
    def kafka(self) -> dict[str, Any]:
        """Connection properties of librdkafka clients."""
        return self.settings.kafka.to_librdkafka()

    def append(self, records: Iterable[Record]) -> int:
        """Writes transactions to their topic and returns how many; raises RuntimeError where Kafka did not take all."""
        producer = Producer(self.kafka | {"linger.ms": 20})
        topic, partitions = TRANSACTIONS.name(self.name), self.settings.kafka.partitions
        count = 0
        for record in records:
            producer.produce(topic, record.value, record.key, partition=record.partition_hint % partitions)
            count += 1
            if count % 10_000 == 0:
                producer.flush(60)
        if producer.flush(60):
            raise RuntimeError("Kafka did not take the backlog")
        return count

    def rewind(self) -> None:
        """Every transaction is new again: nothing in Redis, no committed offset. No program may run."""
        with redis.Redis(**self.settings.redis.to_redis_py() | {"socket_timeout": 60}) as client:
            client.flushdb()
        _forget_group(AdminClient(self.kafka), f"{self.name}.scoring")


def _forget_group(admin: AdminClient, group: str) -> None:
    """Removes a group with its offsets, once its last member has left."""
    deadline_s = time.monotonic() + LEAVE_TIMEOUT_S
    while group in {found.group_id for found in admin.list_consumer_groups().result().valid}:
        try:
            admin.delete_consumer_groups([group])[group].result()
        except KafkaException as error:
            if error.args[0].code() != KafkaError.NON_EMPTY_GROUP or time.monotonic() > deadline_s:
                raise
            time.sleep(0.2)


def open_shop(folder: Path, endpoints: Mapping[str, Endpoint], name: str, sample: Sequence[Record]) -> Shop:
    """Makes a retailer with topics and publishes its model, whose thresholds follow from `sample`."""
    own = folder / name
    settings, _ = retailers.create(name, "EUR", own, endpoints)
    file = own / "settings.yaml"
    document = yaml.safe_load(file.read_text("utf-8"))
    document["redis"]["database"] = DATABASE
    document["log"] = {"format": "text", "level": "WARNING"}
    file.write_text(yaml.safe_dump(document), "utf-8")  # keeps the mode 0600 with which it was made
    settings = parse(document, where=str(file))
    model = own / "model.onnx"
    model.write_bytes(network.build_network())
    shop = Shop(settings, own, file, model)
    limits = network.choose_thresholds(_scores(shop, sample))
    producer = Producer(shop.kafka)
    for key, value in network.build_messages(network.build_network_package(name, MODEL_VERSION, limits), MODEL_VERSION):
        producer.produce(MODELS.name(name), value, key)
    if producer.flush(30):
        raise RuntimeError("Kafka did not take the model")
    return shop


def build_engine(shop: Shop, package: bytes, version: str) -> Engine:
    """The scoring engine over the shop's Redis, without Kafka."""
    metrics = Metrics()
    cache = ModelCache(shop.folder / f"cache-{version}", shop.name, metrics)
    for _, value in network.build_messages(package, version):
        cache.offer(value)
    settings = shop.settings
    patient = settings.model_copy(update={"scoring": settings.scoring.model_copy(update={"budget_ms": 10_000.0})})
    clock = SystemClock()
    rulesets = RulesetCache(load_default_rules(), make_rules_archive(patient), clock)
    return make_engine(patient, make_window_store(patient), make_case_store(patient), cache, rulesets, clock, metrics)


def build_raw_events(shop: Shop, records: Iterable[Record]) -> list[RawEvent]:
    """Records as an engine takes them."""
    topic, now_ms = TRANSACTIONS.name(shop.name), int(time.time() * 1000)
    return [RawEvent(record.value, topic, 0, offset, now_ms, record.key) for offset, record in enumerate(records)]


def _scores(shop: Shop, sample: Sequence[Record]) -> list[float]:
    shop.rewind()
    trial = build_engine(shop, network.build_network_package(shop.name, "trial", network.NEVER), "trial")
    decode = msgspec.json.Decoder(Verdict).decode
    events = build_raw_events(shop, sample)
    scores = []
    for start in range(0, len(events), 256):
        for outcome in trial.collect(trial.submit(events[start : start + 256])):
            if outcome.verdict is None:
                raise RuntimeError("a transaction of the benchmark is not valid")
            scores.append(decode(outcome.verdict).score or 0.0)
    shop.rewind()
    return scores


def close_shop(shop: Shop) -> None:
    """Removes its topics and keys."""
    names = [topic.name(shop.name) for topic in TOPICS]
    admin = AdminClient(shop.kafka)  # its answers come only while it lives
    for future in admin.delete_topics(names).values():
        future.result()
    shop.rewind()


def get_verdict_partitions(shop: Shop) -> tuple[str, range]:
    """Topic and partitions of the verdicts."""
    return VERDICTS.name(shop.name), range(shop.settings.kafka.partitions)
