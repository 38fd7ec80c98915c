"""The four logs over Kafka, by kafka-python. The only file of the federation that imports it.

The coordinator writes in transactions under one transactional id, so that what belongs together appears together and a second
coordinator fences off the first at the broker. What others write is read without waiting for transactions: a participant
that began one and never ended it would otherwise hold up everyone.

So its producer is not `runtime.kafka.producer.SharedProducer`, which has neither transactions nor fencing.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import (
    AuthorizationError,
    IllegalStateError,
    InvalidProducerEpochError,
    KafkaError,
    MessageSizeTooLargeError,
    ProducerFencedError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    UnsupportedVersionError,
)

from contract.errors import ConfigurationError, FencedError, PositionDeadError, TransientError
from contract.federation.fields import RECORD_BYTES_MAX
from contract.federation.settings import FederationSettings
from federation.transports.ports import LogName, Outgoing, Record
from runtime.kafka.brokers import close_producer, require_broker

POLLED_MAX = 500
FETCHED_BYTES_MAX = 32 * 1024 * 1024
"""Of one partition at once."""
TRANSACTION_TIMEOUT_MS = 30_000
"""A killed coordinator's open transaction hides what comes after it for so long, unless its successor ends it sooner."""
_HOPELESS = (
    AuthorizationError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    SaslAuthenticationFailedError,
    UnsupportedVersionError,
)
_FENCED = (ProducerFencedError, InvalidProducerEpochError)


def build_topic_name(federation: str, log: LogName) -> str:
    """The Kafka topic of a log."""
    return f"{federation}.{log}.v1"


class KafkaTransport:
    """See federation.transports.ports.Transport."""

    def __init__(self, settings: FederationSettings, identity: str, *, exclusive: bool = False) -> None:
        """Connects; `exclusive` fences off every earlier holder of `identity`. Raises TransientError, ConfigurationError."""
        self._settings = settings
        self._identity = identity
        self._exclusive = exclusive
        self._fenced = False
        self._producer: Any = None
        self._committed: Any = None
        self._loose: Any = None
        self._positions: dict[LogName, TopicPartition] = {}
        require_broker(settings)
        try:
            with self._translated():
                self._connect()
        except BaseException:
            self.close()
            raise

    def append(self, records: Sequence[Outgoing]) -> int:
        if any(len(record.value) > RECORD_BYTES_MAX for record in records):
            raise ConfigurationError([f"{self._identity}: a record of more than {RECORD_BYTES_MAX} bytes is refused"])
        with self._translated():
            if self._fenced:
                raise ProducerFencedError
            if not self._exclusive:
                return self._confirmed(records)
            self._producer.begin_transaction()
            appended_ms = self._confirmed(records)
            self._producer.commit_transaction()
            return appended_ms

    def read_from(self, positions: Mapping[LogName, int]) -> None:
        for log, start in positions.items():
            first, _ = self.find_bounds(log)
            if start < first:
                raise PositionDeadError(f"{log}: records before {first} are gone, {start} was asked for")
        self._positions = {log: self._place(log) for log in positions}
        with self._translated():
            for consumer, logs in ((self._committed, ("control", "models", "ledger")), (self._loose, ("updates",))):
                mine = {log: place for log, place in self._positions.items() if log in logs}
                consumer.assign(list(mine.values()))
                for log, place in mine.items():
                    consumer.seek(place, positions[log])

    def poll(self, timeout_s: float) -> list[Record]:
        deadline = time.monotonic() + timeout_s
        with self._translated():
            while True:
                found = [*self._fetched(self._committed, 0.0), *self._fetched(self._loose, 0.0)]
                left_s = deadline - time.monotonic()
                if found or left_s <= 0:
                    return found
                # Both are asked in turn, each for a moment: neither may make the other wait long.
                share_s = min(left_s, 0.05)
                found = self._fetched(self._committed, share_s) or self._fetched(self._loose, share_s)
                if found:
                    return found

    def find_bounds(self, log: LogName) -> tuple[int, int]:
        place, consumer = self._place(log), self._consumer(log)
        with self._translated():
            return consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]

    def has_caught_up(self, log: LogName, end: int) -> bool:
        with self._translated():
            return int(self._consumer(log).position(self._positions[log])) >= end

    def close(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            close_producer(producer)
        for consumer in (self._committed, self._loose):
            if consumer is not None:
                with suppress(KafkaError, OSError, RuntimeError):
                    consumer.close()
        self._committed = self._loose = None

    def _connect(self) -> None:
        limit_ms = round(self._settings.request_timeout_s * 1000)
        shared = self._settings.to_kafka_python() | {
            "client_id": f"tillguard-{self._identity}",
            "request_timeout_ms": limit_ms,
            "bootstrap_timeout_ms": limit_ms,
            "reconnect_backoff_max_ms": 1000,
            "metrics_enabled": False,
            "allow_auto_create_topics": False,
        }
        reading = shared | {
            "max_poll_records": POLLED_MAX,
            "max_partition_fetch_bytes": FETCHED_BYTES_MAX,
            "fetch_max_wait_ms": 100,
            "auto_offset_reset": "none",
            "enable_auto_commit": False,
        }
        self._committed = KafkaConsumer(**reading, isolation_level="read_committed")
        self._loose = KafkaConsumer(**reading, isolation_level="read_uncommitted")
        writing = shared | {
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": 0,
            "max_request_size": RECORD_BYTES_MAX + 64 * 1024,
            "max_block_ms": limit_ms,
            "delivery_timeout_ms": 2 * limit_ms,
        }
        if self._exclusive:
            writing |= {
                "transactional_id": f"{self._settings.name}.{self._identity}",
                "transaction_timeout_ms": TRANSACTION_TIMEOUT_MS,
            }
        self._producer = KafkaProducer(**writing)
        if self._exclusive:
            self._producer.init_transactions()

    def _confirmed(self, records: Sequence[Outgoing]) -> int:
        """Sends and waits for every confirmation; gives the broker's time of the last (ms), which topics.py makes it set."""
        sent = [
            self._producer.send(
                build_topic_name(self._settings.name, record.log), record.value, key=record.key, partition=0
            )
            for record in records
        ]
        limit_s = 2 * self._settings.request_timeout_s + 1
        return max(int(future.get(timeout=limit_s).timestamp) for future in sent)

    def _fetched(self, consumer: Any, timeout_s: float) -> list[Record]:
        if not consumer.assignment():
            return []
        names = {build_topic_name(self._settings.name, log): log for log in self._positions}
        return [
            Record(names[place.topic], record.offset, record.key or b"", record.value or b"", record.timestamp)
            for place, batch in consumer.poll(timeout_ms=round(timeout_s * 1000)).items()
            for record in batch
        ]

    def _consumer(self, log: LogName) -> Any:
        return self._loose if log == "updates" else self._committed

    def _place(self, log: LogName) -> TopicPartition:
        return TopicPartition(build_topic_name(self._settings.name, log), 0)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except _FENCED:
            self._fenced = True
            raise FencedError(f"another process is {self._identity} of {self._settings.name} now") from None
        except _HOPELESS as error:
            raise ConfigurationError(
                [f"Kafka refuses {self._identity}: {type(error).__name__}; see the settings under `federation`"]
            ) from None
        except IllegalStateError as error:
            raise TransientError(f"the federation's Kafka: {error}") from None
        except (KafkaError, OSError, RuntimeError) as error:
            if self._was_fenced():
                self._fenced = True
                raise FencedError(f"another process is {self._identity} of {self._settings.name} now") from None
            raise TransientError(f"the federation's Kafka: {type(error).__name__}: {str(error)[:200]}") from None

    def _was_fenced(self) -> bool:
        """Whether the broker had fenced this producer when something else failed because of it."""
        transactions = getattr(self._producer, "_transaction_manager", None)
        return isinstance(getattr(transactions, "last_error", None), _FENCED)
