"""The way into Kafka: one producer of a retailer, polled by a thread of its own, awaited by requests."""

import asyncio
import threading
from typing import Self

import structlog
from confluent_kafka import KafkaError, Message

from backoffice.checkout.ports import Delivered, NotTakenError
from contract.errors import TransientError
from contract.partitions import choose_partition
from contract.settings import KafkaSettings
from runtime.kafka.producer import SharedProducer

LINGER_MS = 0.2
POLL_S = 0.1
QUEUED_MAX = 10_000
"""Records that wait for Kafka; beyond it the door says at once that it takes no more."""

log = structlog.get_logger()


class KafkaRecordWriter:
    """A RecordWriter over one producer. A context manager."""

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._producer = SharedProducer(kafka, client_id, linger_ms=LINGER_MS)
        self._stop = threading.Event()
        self._partitions: dict[str, int] = {}
        self._thread = threading.Thread(target=self._poll, name=f"{client_id}-poll", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.close()

    def note_partitions(self, topic: str, count: int) -> None:
        """How many partitions a topic has; told by whoever reads the cluster's metadata, before the first `write`."""
        self._partitions[topic] = count

    async def write(self, topic: str, key: bytes, value: bytes, partition_by: bytes, timeout_s: float) -> Delivered:
        count = self._partitions.get(topic)
        if count is None:
            raise NotTakenError(f"{topic}: Kafka has not answered yet")
        if self._producer.queued >= QUEUED_MAX:
            raise NotTakenError(f"{topic}: {QUEUED_MAX} records wait for Kafka already")
        loop = asyncio.get_running_loop()
        delivered: asyncio.Future[Delivered] = loop.create_future()

        def report(error: KafkaError | None, message: Message) -> None:
            outcome = error.name() if error else Delivered(topic, message.partition() or 0, message.offset() or 0)
            try:
                loop.call_soon_threadsafe(_settle, delivered, outcome)
            except RuntimeError:
                return  # the loop is closed: nobody waits any more

        try:
            self._producer.produce(topic, key, value, report, choose_partition(partition_by, count))
        except TransientError as error:
            raise NotTakenError(str(error)) from None
        try:
            return await asyncio.wait_for(delivered, timeout_s)
        except TimeoutError:
            raise NotTakenError(f"{topic}: Kafka did not confirm the record in time") from None

    def _poll(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(POLL_S)


def _settle(delivered: "asyncio.Future[Delivered]", outcome: Delivered | str) -> None:
    if delivered.done():
        return
    if isinstance(outcome, str):
        delivered.set_exception(NotTakenError(f"Kafka refused the record: {outcome}"))
    else:
        delivered.set_result(outcome)
