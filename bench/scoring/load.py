"""Paced transactions, and how long after its append each one's verdict can be read."""

import threading
import time
from typing import Any, NamedTuple

import msgspec
import numpy as np
from confluent_kafka import Consumer, Message, Producer, TopicPartition

from bench.scoring.backlog import Said, end_of
from bench.scoring.shoppers import Shoppers
from bench.scoring.shops import Program, Shop, get_verdict_partitions
from contract.topics import TRANSACTIONS

TICK_S = 0.001
"""The client counts whole milliseconds: a shorter wait would be none, and this loop would take a core from what it measures."""
ANSWERED_WITHIN_S = 60.0


class Latencies(NamedTuple):
    """Quantiles in ms, and the share of events whose first verdict was a degraded one."""

    p50: float
    p99: float
    p999: float
    degraded: float


class Reader(threading.Thread):
    """Notes when each transaction's first verdict arrives, by the wall clock in ms."""

    def __init__(self, shop: Shop) -> None:
        super().__init__(daemon=True)
        self.arrived_ms: dict[str, float] = {}
        self.degraded: set[str] = set()
        self._ended = threading.Event()
        topic, partitions = get_verdict_partitions(shop)
        self._consumer = Consumer(
            shop.kafka | {"group.id": "bench", "enable.auto.commit": False, "fetch.wait.max.ms": 100}
        )
        self._consumer.assign(
            [TopicPartition(topic, n, end_of(self._consumer, TopicPartition(topic, n))) for n in partitions]
        )

    def run(self) -> None:
        decode = msgspec.json.Decoder(Said).decode
        while not self._ended.is_set():
            first = self._consumer.poll(0.1)
            if first is None:
                continue
            messages = [first, *self._consumer.consume(1000, 0)]
            now_ms = time.time() * 1000
            for message in messages:
                value = message.value()
                if message.error() is None and value:
                    said = decode(value)
                    self.arrived_ms.setdefault(said.transaction_id, now_ms)
                    if said.revision == 0:
                        self.degraded.add(said.transaction_id)
        self._consumer.close()

    def end(self) -> None:
        """Stops reading."""
        self._ended.set()
        self.join(10)


class Sender:
    """Sends at a steady rate and notes when the broker appended each transaction."""

    def __init__(self, shop: Shop, shoppers: Shoppers) -> None:
        self.appended_ms: dict[str, float] = {}
        self._shoppers = shoppers
        self._topic = TRANSACTIONS.name(shop.name)
        self._partitions = shop.settings.kafka.partitions
        self._producer = Producer(shop.kafka | {"linger.ms": 0, "acks": "all"})

    def send(self, per_s: float, seconds: float) -> None:
        """Blocks for `seconds`; what is behind time is sent at once."""
        began_s, sent = time.perf_counter(), 0
        while (passed_s := time.perf_counter() - began_s) < seconds:
            for _ in range(int(passed_s * per_s) - sent):
                record = self._shoppers.draw(int(time.time() * 1000))
                partition = record.partition_hint % self._partitions
                self._producer.produce(
                    self._topic, record.value, record.key, partition=partition, on_delivery=self._note
                )
                sent += 1
            self._producer.poll(TICK_S)
        self._producer.flush(30)

    def _note(self, error: Any, message: Message) -> None:
        key = message.key()
        if error is None and key is not None:
            # The broker counts whole milliseconds, rounded down.
            self.appended_ms[key.decode()] = message.timestamp()[1] + 0.5


def measure(
    shop: Shop, shoppers: Shoppers, program: Program, *, per_s: float, warm_up_s: float, seconds: float
) -> Latencies:
    """Latencies at one rate, after a warm-up at the same rate; raises RuntimeError where verdicts are missing."""
    reader = Reader(shop)
    reader.start()
    try:
        sender = Sender(shop, shoppers)
        sender.send(per_s, warm_up_s)
        warm = set(sender.appended_ms)
        sender.send(per_s, seconds)
        wanted = sender.appended_ms.keys() - warm
        deadline_s = time.monotonic() + ANSWERED_WITHIN_S
        while not sender.appended_ms.keys() <= reader.arrived_ms.keys():
            program.check()
            if time.monotonic() > deadline_s:
                raise RuntimeError(f"{program.kind}: verdicts are missing at {per_s:g}/s")
            time.sleep(0.05)
    finally:
        reader.end()
    waits_ms = [reader.arrived_ms[key] - sender.appended_ms[key] for key in wanted]
    p50, p99, p999 = np.quantile(np.array(waits_ms), (0.5, 0.99, 0.999)).tolist()
    return Latencies(p50, p99, p999, len(reader.degraded & wanted) / len(wanted))
