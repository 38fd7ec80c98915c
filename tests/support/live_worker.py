"""A scoring worker started as a user starts it, and the topics around it."""

import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.error import HTTPError
from urllib.request import urlopen

import msgspec
import yaml
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from contract.codec import encode
from contract.events import Origin, Transaction
from contract.rules import RulesServing
from contract.settings import Settings
from contract.topics import MODELS, TRANSACTIONS, VERDICTS, Topic
from support import forked
from support.tiny_model import tiny_messages, tiny_package

Found = TypeVar("Found")
DEADLINE_S = 120.0
ORIGIN = Origin(connector="test", phase="stream", source="shop.orders", position="1")


def until(condition: Callable[[], Found | None], what: str, within_s: float = DEADLINE_S) -> Found:
    """Polls `condition` until it gives something true, and returns that."""
    deadline = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {what}"
        time.sleep(0.05)
    return found


class LiveWorker:
    """`tillguard score` as a process; a context manager that leaves nothing running."""

    def __init__(self, config: Path, log: Path, *arguments: str) -> None:
        self.log = log
        self._address = log.with_suffix(".url")
        self._address.unlink(missing_ok=True)
        command = ["-m", "tillguard", "score", "--config", str(config)]
        command += ["--web-port", "0", "--address-file", str(self._address), *arguments]
        self.process = forked.start(command, log=log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        sys.stdout.write(self.log.read_text(errors="replace")[-6000:])

    @property
    def url(self) -> str:
        until(lambda: self._address.exists() or self.process.poll() is not None, "the worker's address")
        return self._address.read_text().strip()

    def page(self, path: str) -> tuple[int, str]:
        """Status and body of one of its web pages."""
        try:
            with urlopen(f"{self.url}{path}", timeout=10) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()

    def is_ready(self) -> bool:
        return self.page("/ready")[0] == 200

    def await_ready(self) -> "LiveWorker":
        until(self.is_ready, "a ready worker")
        return self

    def failing_checks(self) -> set[str]:
        checks = json.loads(self.page("/ready")[1])["checks"]
        return {name for name, check in checks.items() if not check["ok"]}

    def terminate(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


class Topics:
    """What stands on a retailer's topics."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.retailer = settings.retailer
        self._kafka = settings.kafka.to_librdkafka()

    def publish_model(self, version: str = "tiny-1", **changes: Any) -> None:
        package = tiny_package(version, self.retailer, **changes)
        self.send(MODELS, tiny_messages(package, version))

    def serve_rules(self, version: str, previous: str | None = None) -> bytes:
        """The message that puts a version in service, whether it is there or not."""
        return encode(
            RulesServing(
                rules_version=version, served_at=datetime.now(UTC), served_by="ana", reason="test", previous=previous
            )
        )

    def send(self, topic: Topic, messages: Sequence[tuple[bytes, bytes | None]], partition: int | None = None) -> None:
        refused: list[object] = []
        producer = Producer(self._kafka | {"partitioner": "murmur2_random"})
        chosen = -1 if partition is None else partition  # -1: the partitioner chooses
        for key, value in messages:
            producer.produce(
                topic.name(self.retailer), value, key, chosen, on_delivery=lambda error, _: refused.append(error)
            )
            producer.poll(0)
        assert producer.flush(30) == 0
        assert refused == [None] * len(messages)

    def sell(self, *transactions: Transaction) -> None:
        self.send(TRANSACTIONS, [(one.transaction_id.encode(), msgspec.json.encode(one)) for one in transactions])

    def transaction(self, identity: str, **changes: Any) -> Transaction:
        """A payment of 50.00 EUR now; the tiny model finds 400.00 worth a hold."""
        now = datetime.now(UTC)
        fields: dict[str, Any] = {
            "transaction_id": identity,
            "retailer": self.retailer,
            "event_time": now,
            "ingest_time": now,
            "amount_minor": 5_000,
            "currency": "EUR",
            "origin": ORIGIN,
            "customer": f"customer-{identity}",
        }
        return Transaction(**(fields | changes))

    def read(self, topic: Topic) -> list[tuple[bytes | None, bytes | None]]:
        """Every (key, value) that stands on a topic now, partition by partition."""
        consumer = Consumer(
            self._kafka | {"group.id": "test", "enable.auto.commit": False, "enable.partition.eof": True}
        )
        name = topic.name(self.retailer)
        left = set(consumer.list_topics(name, timeout=30).topics[name].partitions)
        consumer.assign([TopicPartition(name, number, 0) for number in left])
        found: dict[int, list[tuple[bytes | None, bytes | None]]] = {number: [] for number in left}
        deadline = time.monotonic() + DEADLINE_S
        while left:
            assert time.monotonic() < deadline, f"{name} cannot be read"
            for message in consumer.consume(1000, 0.2):
                error = message.error()
                if error is None:
                    found[message.partition() or 0].append((message.key(), message.value()))
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    left.discard(message.partition() or 0)
        consumer.close()
        return [pair for number in sorted(found) for pair in found[number]]

    def verdicts(self) -> dict[str, list[dict[str, Any]]]:
        """Verdicts by transaction, in the order in which they stand."""
        found: dict[str, list[dict[str, Any]]] = {}
        for key, value in self.read(VERDICTS):
            if key is not None and value is not None:
                found.setdefault(key.decode(), []).append(json.loads(value))
        return found

    def verdict(self, identity: str, revision: int = 1) -> dict[str, Any]:
        """Waits for one."""
        return until(
            lambda: next((v for v in self.verdicts().get(identity, []) if v["revision"] == revision), None),
            f"revision {revision} of {identity}",
        )


class Shop:
    """A fresh retailer with its topics, and workers that end with the test."""

    def __init__(self, retailer: Any, folder: Path) -> None:
        self.file: Path = retailer.file
        self.settings = retailer.settings
        self.topics = Topics(retailer.settings)
        self.folder = folder
        self._count = 0

    def worker(self, *arguments: str) -> LiveWorker:
        self._count += 1
        return LiveWorker(self.file, self.folder / f"worker-{self._count}.log", *arguments)

    def configure(self, section: str, **changes: object) -> None:
        document = yaml.safe_load(self.file.read_text())
        document.setdefault(section, {}).update(changes)
        self.file.write_text(yaml.safe_dump(document))

    def command(self, *arguments: str) -> Any:
        return forked.tillguard(*arguments, "--config", str(self.file))
