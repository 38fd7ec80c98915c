"""The least that scoring can cost: `python -m bench.scoring.limit_loop --config FILE --model FILE`.

librdkafka consume, JSON decode, the same window script pipelined, ONNX, one JSON verdict produced, and nothing else: no
validation, no features, no rules, no reasons, no feature log, no cases, no retries, offsets committed in passing. What the
worker reaches is told as a share of this.
"""

import argparse
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import onnxruntime
from confluent_kafka import Consumer, Producer

from contract.clock import to_epoch_ms
from contract.features import get_feature_names
from contract.models import INPUT_NAME, OUTPUT_NAME
from contract.settings import Settings
from contract.topics import TRANSACTIONS, VERDICTS
from runtime.kafka.producer import build_producer_properties
from scoring.feeds.librdkafka_feed import build_consumer_properties
from scoring.feeds.publisher import VERDICT_LINGER_MS
from scoring.ports import Ticket, WindowUpdate
from tillguard.config import load
from tillguard.wiring.stores import make_window_store

WAIT_S = 0.02
STORE_TIMEOUT_S = 30.0


class Seen(msgspec.Struct):
    """What of a transaction the windows need."""

    transaction_id: str
    event_time: datetime
    amount_minor: int
    customer: str | None = None
    card: str | None = None
    device: str | None = None
    ip: str | None = None
    email: str | None = None


class Said(msgspec.Struct):
    """The verdict."""

    transaction_id: str
    revision: int
    decision: str
    score: float


class Asked(NamedTuple):
    """A batch on its way to the store."""

    seen: list[Seen]
    ticket: Ticket


class Bare:
    """Bytes in, verdicts out; shared by this loop and the Faust loop."""

    def __init__(self, settings: Settings, model: bytes, client_id: str) -> None:
        self._store = make_window_store(settings)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._decode = msgspec.json.Decoder(Seen).decode
        self._encode = msgspec.json.Encoder().encode
        self._topic = VERDICTS.name(settings.retailer)
        self.producer = Producer(
            build_producer_properties(settings.kafka, client_id)
            | {"message.timeout.ms": 0, "linger.ms": VERDICT_LINGER_MS}
        )

    def ask(self, values: Sequence[bytes | None]) -> Asked:
        """Decodes a batch and sends it to the store without waiting."""
        seen = [self._decode(value) for value in values if value is not None]
        window_updates = [
            WindowUpdate(
                one.transaction_id,
                to_epoch_ms(one.event_time),
                one.amount_minor,
                (one.customer, one.card, one.device, one.ip, one.email, None, None, None),
                None,
                b"01234567",
            )
            for one in seen
        ]
        return Asked(seen, self._store.send(window_updates, "bench-1", "bench-1"))

    def answer(self, asked: Asked) -> None:
        """Waits for the store, scores, and queues one verdict each."""
        applied = asked.ticket.wait(STORE_TIMEOUT_S)
        rows = np.zeros((len(asked.seen), len(get_feature_names())), dtype=np.float32)
        width = min(rows.shape[1], applied.aggregates.shape[1])
        rows[:, :width] = applied.aggregates[:, :width]
        scores = self._session.run([OUTPUT_NAME], {INPUT_NAME: rows})[0][:, 0].tolist()
        produce = self.producer.produce
        for one, score in zip(asked.seen, scores, strict=True):
            decision = "allow" if score < 0.99 else "block"
            self._produce(produce, self._encode(Said(one.transaction_id, 1, decision, score)), one.transaction_id)
        self.producer.poll(0)

    def _produce(self, produce: Any, verdict: bytes, key: str) -> None:
        while True:
            try:
                produce(self._topic, verdict, key)
            except BufferError:
                self.producer.poll(0.05)
            else:
                return


def run(settings: Settings, model: bytes, stop: threading.Event) -> None:
    """Turns until `stop`; like the worker it finishes one batch while the next is on its way to the store."""
    bare = Bare(settings, model, "bench-limit")
    properties = build_consumer_properties(settings.kafka, f"{settings.retailer}.scoring", "bench-limit")
    consumer = Consumer(properties | {"enable.auto.commit": True, "auto.commit.interval.ms": 250})
    consumer.subscribe([TRANSACTIONS.name(settings.retailer)])
    batch_max = settings.scoring.batch_max
    open_batch: Asked | None = None
    try:
        while not stop.is_set():
            messages = consumer.consume(batch_max, 0)
            if not messages and open_batch is None:
                first = consumer.poll(WAIT_S)
                messages = [] if first is None else [first, *consumer.consume(batch_max - 1, 0)]
            values = [message.value() for message in messages if message.error() is None]
            asked = bare.ask(values) if values else None
            if open_batch is not None:
                bare.answer(open_batch)
            open_batch = asked
        if open_batch is not None:
            bare.answer(open_batch)
        bare.producer.flush(10)
    finally:
        consumer.close()


def main() -> None:
    """Runs until SIGTERM."""
    parser = argparse.ArgumentParser(description="The least that scoring can cost.")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--model", type=Path, required=True, help="ONNX file")
    options = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with suppress(KeyboardInterrupt):
        run(load(file=options.config), options.model.read_bytes(), stop)


if __name__ == "__main__":
    main()
