"""Writes records to one topic, in order, and waits until Kafka has them."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError

from contract.errors import TransientError

Message = tuple[bytes, bytes]


class Outlet(Protocol):
    """One topic, written in order."""

    def deliver(self, messages: Sequence[Message]) -> None:
        """Blocks until every (key, value) is confirmed by all replicas in sync; raises TransientError otherwise.

        Then any number of them may have been written. Sending a message again does no harm.
        """
        ...


class KafkaOutlet:
    """A topic through kafka-python, acks=all and idempotent. A context manager: leaving it closes the producer."""

    def __init__(self, connection: dict[str, Any], topic: str, timeout_s: float) -> None:
        """`connection` is KafkaSettings.kafka_python(); raises TransientError where no broker answers."""
        self._topic = topic
        self._timeout_s = timeout_s
        try:
            self._producer = KafkaProducer(
                **connection,
                acks="all",
                enable_idempotence=True,
                delivery_timeout_ms=int(timeout_s * 1000),
                request_timeout_ms=int(timeout_s * 500),
                max_block_ms=int(timeout_s * 1000),
            )
        except KafkaError as error:
            raise TransientError(f"Kafka does not answer: {type(error).__name__}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(self._timeout_s if kind is None else 0)

    def close(self, timeout_s: float = 0.0) -> None:
        """Closes the producer; what `deliver` returned from is with Kafka already."""
        self._producer.close(timeout=timeout_s)

    def deliver(self, messages: Sequence[Message]) -> None:
        try:
            sent = [self._producer.send(self._topic, key=key, value=value) for key, value in messages]
            for receipt in sent:
                receipt.get(timeout=self._timeout_s)
        except KafkaError as error:
            raise TransientError(f"topic {self._topic} did not take all records: {type(error).__name__}") from None
