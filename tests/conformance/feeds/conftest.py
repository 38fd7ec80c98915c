"""A retailer of its own per test, and worker processes that are always ended."""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from contract.topics import DEAD_LETTERS, FEATURES, TRANSACTIONS, VERDICTS, Topic
from support import forked
from support.kafka_ends import end_of
from support.live_worker import until

PARTITIONS = 4
DEADLINE_S = 120.0
SCRIPT = Path(__file__).with_name("worker_process.py")


@dataclass
class Retailer:
    """Topics of one retailer and what stands in them."""

    bootstrap: str
    name: str

    @staticmethod
    def until(condition: Callable[[], bool], what: str) -> None:
        """Polls `condition` until it holds; fails after DEADLINE_S."""
        until(condition, what, DEADLINE_S)

    def produce(self, messages: Sequence[tuple[bytes | None, bytes | None, int]]) -> None:
        """Appends (key, value, partition)."""
        refused: list[Any] = []
        producer = Producer({"bootstrap.servers": self.bootstrap, "linger.ms": 5})
        for key, value, partition in messages:
            producer.produce(
                TRANSACTIONS.name(self.name), value, key, partition, on_delivery=lambda error, _: refused.append(error)
            )
            producer.poll(0)
        assert producer.flush(30) == 0
        assert refused == [None] * len(messages)

    def transactions(self, count: int, prefix: str = "t") -> list[str]:
        """Appends `count` transactions spread over the partitions and returns their ids."""
        ids = [f"{prefix}{number}" for number in range(count)]
        self.produce([
            (each.encode(), json.dumps({"id": each}).encode(), number % PARTITIONS) for number, each in enumerate(ids)
        ])  # fmt: skip
        return ids

    def read(self, topic: Topic) -> list[bytes]:
        """Every value that stands in a topic now."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader", "enable.auto.commit": False})
        places = [TopicPartition(topic.name(self.name), number, 0) for number in range(PARTITIONS)]
        left = sum(end_of(consumer, place) for place in places)
        consumer.assign(places)
        values: list[bytes] = []
        deadline = time.monotonic() + DEADLINE_S
        while len(values) < left:
            assert time.monotonic() < deadline
            values.extend(message.value() or b"" for message in consumer.consume(1000, 0.2) if not message.error())
        consumer.close()
        return values

    def verdicts(self) -> list[dict[str, int | str]]:
        return [json.loads(value) for value in self.read(VERDICTS)]

    def full(self) -> set[str]:
        """Ids with a full verdict."""
        return {str(verdict["id"]) for verdict in self.verdicts() if verdict["revision"] == 1}

    def dead_letters(self) -> list[dict[str, int]]:
        return [json.loads(value) for value in self.read(DEAD_LETTERS)]

    def features(self) -> list[bytes]:
        return self.read(FEATURES)

    def committed(self) -> dict[int, int]:
        """The group's committed offset per partition; 0 where there is none."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"{self.name}.scoring"})
        places = [TopicPartition(TRANSACTIONS.name(self.name), number) for number in range(PARTITIONS)]
        found = {place.partition: max(0, place.offset) for place in consumer.committed(places, 10)}
        consumer.close()
        return found

    def ends(self) -> dict[int, int]:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader"})
        places = [TopicPartition(TRANSACTIONS.name(self.name), number) for number in range(PARTITIONS)]
        found = {place.partition: end_of(consumer, place) for place in places}
        consumer.close()
        return found

    def commit(self, partition: int, offset: int) -> None:
        """Moves the group, which has no member now."""
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": f"{self.name}.scoring"})
        place = TopicPartition(TRANSACTIONS.name(self.name), partition, offset)
        consumer.commit(offsets=[place], asynchronous=False)
        consumer.close()

    def forget_before(self, partition: int, offset: int) -> None:
        """Moves the start of the log, as retention does."""
        place = TopicPartition(TRANSACTIONS.name(self.name), partition, offset)
        admin = AdminClient({"bootstrap.servers": self.bootstrap})  # one that is collected answers no more
        admin.delete_records([place])[place].result(30)

    def transaction_of_kafka(self, ids: Sequence[str], partition: int) -> Producer:
        """Appends transactions within a Kafka transaction that is left open."""
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": f"{self.name}-{ids[0]}"})
        producer.init_transactions(30)
        producer.begin_transaction()
        for each in ids:
            value = json.dumps({"id": each}).encode()
            producer.produce(TRANSACTIONS.name(self.name), value, each.encode(), partition)
        assert producer.flush(30) == 0
        return producer

    def assert_no_offset_is_ahead(self) -> None:
        """Everything before a committed offset has its full answer or a dead letter already."""
        committed = self.committed()
        answered = {(v["partition"], v["offset"]) for v in self.verdicts() if v["revision"] == 1}
        answered |= {(d["partition"], d["offset"]) for d in self.dead_letters()}
        ahead = [
            (partition, offset)
            for partition, end in committed.items()
            for offset in range(end)
            if (partition, offset) not in answered
        ]
        assert ahead == []


@dataclass
class Worker:
    """One worker process."""

    process: forked.ForkedProcess
    log: Path
    address: Path
    """Of the file that holds the URL of its web server."""

    def says(self, name: str) -> str:
        """`reason` (lag) or `remedy` (progress) of its feed; empty before it serves pages."""
        url = self.address.read_text() if self.address.exists() else ""
        if not url:
            return ""
        with urlopen(f"{url}/ready", timeout=10) as answer:
            return str(json.loads(answer.read())["checks"]["lag"][name])

    def is_idle(self, events: int) -> bool:
        """Whether it took and finished this many events in this life, and has no lag now."""
        return int(self.says("remedy") or -1) == 2 * events and self.says("reason") == "0"

    def terminate(self) -> int:
        """SIGTERM, as an operator does; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(DEADLINE_S)


class Workers:
    """Starts workers of one feed at one retailer."""

    def __init__(self, feed: str, retailer: Retailer, folder: Path, ended: ExitStack) -> None:
        self.feed = feed
        self.retailer = retailer
        self.folder = folder
        self._ended = ended
        self._count = 0

    def start(self, *arguments: str) -> Worker:
        name = f"worker-{self._count}"
        self._count += 1
        log = self.folder / f"{name}.log"
        command = [str(SCRIPT), "--feed", self.feed, "--kafka", self.retailer.bootstrap]
        command += ["--retailer", self.retailer.name, "--folder", str(self.folder), "--name", name, *arguments]
        process = forked.start(command, log=log)
        worker = Worker(process, log, self.folder / f"{name}.url")
        self._ended.callback(self._end, worker)
        return worker

    def store(self, *, up: bool) -> None:
        mark = self.folder / "store-down"
        mark.unlink(missing_ok=True) if up else mark.touch()

    def break_scorer(self) -> None:
        (self.folder / "broken").touch()

    def mend_scorer(self) -> None:
        (self.folder / "broken").unlink()

    @staticmethod
    def _end(worker: Worker) -> None:
        if worker.process.poll() is None:
            worker.kill()
        sys.stdout.write(worker.log.read_text(errors="replace")[-4000:])


@pytest.fixture
def retailer(retailer: Any) -> Retailer:
    return Retailer(retailer.settings.kafka.bootstrap_servers, retailer.name)


@pytest.fixture(params=["librdkafka", "agent"])
def workers(request: pytest.FixtureRequest, retailer: Retailer, tmp_path: Path) -> Iterator[Workers]:
    with ExitStack() as ended:
        yield Workers(request.param, retailer, tmp_path, ended)
