"""Sends results to Kafka over shared producers: idempotent, acknowledged by all in-sync replicas, retried without an end.

A message never times out here, because there is nothing better to do with a verdict than to continue trying: back-pressure
(`full`) stops the reading instead. What the broker refuses for good ends the worker; offsets stay where they were.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

import structlog
from confluent_kafka import KafkaError, Message

from contract.topics import ALARMS, DEAD_LETTERS, FEATURES, LABELS, SHADOW_SCORES, VERDICTS
from runtime.kafka.producer import DeliveryError, SharedProducer
from scoring.ports import EventResult

FULL_FROM_MESSAGES = 50_000
"""Leaves room for the batches that are already open."""
VERDICT_LINGER_MS = 0.2
FLUSH_POLL_S = 0.01

log = structlog.get_logger()


class _Parcel:
    """The messages of one `publish`, counted down as their reports are taken up."""

    __slots__ = ("_arrived", "delivered", "remaining")

    def __init__(
        self, remaining: int, delivered: Callable[[], None], arrived: "deque[tuple[_Parcel, str | None]]"
    ) -> None:
        self._arrived = arrived
        self.delivered = delivered
        self.remaining = remaining

    def report(self, error: KafkaError | None, message: Message) -> None:
        """Called by any thread: the publisher's own takes it up when it serves."""
        self._arrived.append((self, None if error is None else f"{message.topic()}: {error.name()}"))


class KafkaPublisher:
    """A Publisher of a worker; used by one thread, over producers that threads share.

    A broker takes one request of a connection at a time, and each partition has its own requests: what nobody waits for would stand
    before the verdicts. So the thread that answers transactions has `verdicts`, a producer of its own for them; elsewhere all
    messages leave through `unhurried`. Both are `endless`.
    """

    def __init__(
        self,
        retailer: str,
        unhurried: SharedProducer,
        verdicts: SharedProducer | None = None,
        *,
        full_from: int = FULL_FROM_MESSAGES,
    ) -> None:
        """`full_from`: messages of all users of a producer from which this one is to hold back."""
        self._verdicts = VERDICTS.name(retailer)
        self._features = FEATURES.name(retailer)
        self._dead_letters = DEAD_LETTERS.name(retailer)
        self._labels = LABELS.name(retailer)
        self._shadow_scores = SHADOW_SCORES.name(retailer)
        self._alarms = ALARMS.name(retailer)
        self._unhurried = unhurried
        self._hurried = verdicts or unhurried
        self._full_from = full_from
        self._failure: str | None = None
        self._under_way = 0
        self._arrived: deque[tuple[_Parcel, str | None]] = deque()
        self._without_messages: list[Callable[[], None]] = []

    @property
    def full(self) -> bool:
        """True: Kafka does not take messages as fast as they come; read nothing more for now."""
        return max(self._hurried.queued, self._unhurried.queued) >= self._full_from

    def publish(self, results: Sequence[EventResult], delivered: Callable[[], None]) -> None:
        messages = [
            (topic, result.key, value)
            for result in results
            for topic, value in (
                (self._verdicts, result.verdict),
                (self._features, result.features),
                (self._dead_letters, result.dead_letter),
                (self._shadow_scores, result.shadow_score),
                (self._alarms, result.alarm),
                *((self._labels, label) for label in result.labels),
            )
            if value is not None
        ]
        if not messages:
            self._without_messages.append(delivered)
            return
        self._under_way += 1
        report = _Parcel(len(messages), delivered, self._arrived).report
        for topic, key, value in messages:
            (self._hurried if topic == self._verdicts else self._unhurried).produce(topic, key, value, report)
        self._poll(0.0)

    def serve(self) -> None:
        self._poll(0.0)
        self._settle()

    def flush(self, timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        self.serve()
        while self._under_way and time.monotonic() < deadline_s:
            self._poll(FLUSH_POLL_S)
            self._settle()
        return not self._under_way

    def _poll(self, timeout_s: float) -> None:
        self._hurried.poll(timeout_s)
        if self._unhurried is not self._hurried:
            self._unhurried.poll(timeout_s)

    def _settle(self) -> None:
        while self._arrived:
            parcel, failure = self._arrived.popleft()
            if failure is not None:
                log.error("message_refused", reason=failure)
                self._failure = failure
                continue
            parcel.remaining -= 1
            if not parcel.remaining:
                self._under_way -= 1
                parcel.delivered()
        if self._failure is not None:
            raise DeliveryError(self._failure)
        done, self._without_messages = self._without_messages, []
        for delivered in done:
            delivered()
