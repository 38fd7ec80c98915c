"""A librdkafka producer that the threads of a process share, opened once for everything that nobody waits for at a till."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from contract.errors import TransientError
from contract.settings import KafkaSettings
from runtime.kafka.client_log import get_client_logger

KeyValue = tuple[bytes, bytes | None]
"""None as value is a tombstone."""
Report = Callable[[KafkaError | None, Message], None]

UNHURRIED_LINGER_MS = 10.0
"""Fewer and larger requests."""
QUEUE_MESSAGES_MAX = 200_000
FULL_FOR_S_MAX = 60.0
"""A queue that stays full for so long is an error."""
ROOM_WAIT_S = 0.1
ANY_PARTITION = -1
"""librdkafka's word for the one that a key is given."""


class DeliveryError(TransientError):
    """Kafka refused a message permanently, or takes none for so long that trying again later is right."""


class Outlet(Protocol):
    """Topics, each written in order."""

    def deliver(self, topic: str, messages: Sequence[KeyValue], partition: int | None = None) -> None:
        """Blocks until every message is confirmed by all replicas in sync; raises TransientError otherwise.

        Then any number of them may have been written. Sending a message again does no harm.
        """
        ...


class SharedProducer:
    """One producer for all topics and threads of a process. A context manager: leaving it closes the producer.

    What a caller may rely on:

    - *Order*: messages of one thread with the same key (or partition) stand in the order of its calls.
    - *Delivery*: a message counts as delivered when all replicas in sync have it. A retry of the client writes nothing twice.
    - *A dead broker*: messages wait in a bounded queue. An `endless` producer tries permanently, and `queued` tells its users
      to slow down; any other one fails a message after `kafka.request_timeout_s`. Nothing is ever dropped in silence.
    - *A refusal* (rights, size, no such topic) fails that message alone. Only an error that librdkafka calls fatal, as missing
      rights to write idempotently, fails all messages from then on.
    - *Closing* drops what was not confirmed, and ends the client's threads before it returns, also while no broker answers.

    Connectors and federations have producers of their own, for guarantees that this one does not give: see
    `connectors.running.sink` and `federation.transports.kafka_logs`.
    """

    def __init__(
        self, kafka: KafkaSettings, client_id: str, *, endless: bool = False, linger_ms: float = UNHURRIED_LINGER_MS
    ) -> None:
        """Connects aside, so that a missing broker is no error here."""
        self._patience_s = 0.0 if endless else kafka.request_timeout_s
        timing = {"message.timeout.ms": round(self._patience_s * 1000), "linger.ms": linger_ms}
        self._producer = Producer(
            build_producer_properties(kafka, client_id) | timing, logger=get_client_logger(client_id)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def queued(self) -> int:
        """Messages of all threads that wait for confirmation, and the few notices of the client that nobody has polled yet."""
        return len(self._producer)

    def produce(
        self, topic: str, key: bytes, value: bytes | None, report: Report, partition: int | None = None
    ) -> None:
        """Queues a message; blocks while the queue is full, up to FULL_FOR_S_MAX. Raises DeliveryError.

        `report` is called once, by whichever thread then calls `poll`, `produce` or `deliver`: it must be quick, raise nothing
        and be safe for threads, as `list.append` is.
        """
        place = ANY_PARTITION if partition is None else partition
        for _ in range(int(FULL_FOR_S_MAX / ROOM_WAIT_S)):
            try:
                self._producer.produce(topic, value, key, place, on_delivery=report)
            except BufferError:
                self._producer.poll(ROOM_WAIT_S)
            except KafkaException as error:
                raise DeliveryError(f"{topic}: {error.args[0].name()}") from None
            else:
                return
        raise DeliveryError(f"{topic}: the queue has been full for {FULL_FOR_S_MAX:.0f} s")

    def poll(self, timeout_s: float = 0.0) -> None:
        """Calls the reports that are due; waits up to `timeout_s` for the first one."""
        self._producer.poll(timeout_s)

    def deliver(self, topic: str, messages: Sequence[KeyValue], partition: int | None = None) -> None:
        """As the port says; not for an `endless` producer, which would wait permanently."""
        errors: list[KafkaError | None] = []
        for key, value in messages:
            self.produce(topic, key, value, lambda error, _: errors.append(error), partition)
        deadline_s = time.monotonic() + self._patience_s + 1.0
        while len(errors) < len(messages) and time.monotonic() < deadline_s:
            self.poll(ROOM_WAIT_S)
        refusals = [error.name() for error in errors if error is not None]
        if refusals or len(errors) < len(messages):
            raise DeliveryError(f"{topic} did not take all records: {next(iter(refusals), 'no answer')}")

    def is_answered(self, topic: str, timeout_s: float) -> bool:
        """Whether Kafka answers a question about `topic`; blocks for `timeout_s` at most."""
        try:
            self._producer.list_topics(topic, timeout=timeout_s)
        except KafkaException:
            return False
        return True

    def close(self) -> None:
        """Ends the producer; what `deliver` returned from is with Kafka already."""
        self._producer.purge()
        self._producer.close()


def build_producer_properties(kafka: KafkaSettings, client_id: str) -> dict[str, Any]:
    """Properties of every librdkafka producer, but for its timing."""
    return kafka.to_librdkafka() | {
        "client.id": client_id,
        "acks": "all",
        "enable.idempotence": True,
        # The trainer's client reads gzip without a further package; lz4 and zstd it cannot, and would stand still.
        "compression.type": "gzip",
        "compression.level": 1,
        "partitioner": "murmur2_random",  # as Kafka's own clients, so that one key has one partition whoever writes
        "queue.buffering.max.messages": QUEUE_MESSAGES_MAX,
        "queue.buffering.max.kbytes": 512 * 1024,
        "reconnect.backoff.ms": 200,
        "reconnect.backoff.max.ms": 1000,
    }
