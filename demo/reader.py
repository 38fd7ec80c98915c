"""Reads verdicts, dead letters, labels, promotions and alarms of all retailers in a thread and enters them in the tallies."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import msgspec
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from contract.alarms import Alarm
from contract.codec import Decoder
from contract.dead_letters import DeadLetter
from contract.models import ModelMessage
from contract.settings import Settings
from contract.topics import ALARMS, DEAD_LETTERS, LABELS, MODELS, VERDICTS
from contract.verdicts import Verdict
from demo.children import DemoError
from demo.tally import Tally

BATCH_MAX = 500
POLL_S = 0.1
METADATA_TIMEOUT_S = 20.0


class Reader:
    """One consumer over every retailer's answers, from the beginning. A context manager: leaving it ends the thread."""

    def __init__(self, settings: Sequence[Settings], tallies: Mapping[str, Tally], lock: threading.Lock) -> None:
        """`lock` guards the tallies."""
        self._settings = settings
        self._tallies = tallies
        self._lock = lock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="demo-reader", daemon=True)
        self._verdicts = Decoder(Verdict)
        self._dead_letters = Decoder(DeadLetter)
        self._models = msgspec.json.Decoder(ModelMessage)
        self._alarms = Decoder(Alarm)
        self._handlers = self._handlers_by_topic()
        self.failure: BaseException | None = None
        """What ended the thread, if anything did."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=10.0)

    def check(self) -> None:
        """Raises DemoError when the thread has failed."""
        if self.failure is not None:
            raise DemoError(f"reading the verdicts failed: {type(self.failure).__name__}: {self.failure}")

    def _handlers_by_topic(self) -> dict[str, Callable[[bytes, float], None]]:
        handlers: dict[str, Callable[[bytes, float], None]] = {}
        for name, tally in self._tallies.items():
            handlers[VERDICTS.name(name)] = lambda data, at, tally=tally: tally.take_verdict(  # type: ignore[misc]
                self._verdicts.decode(data), at
            )
            handlers[DEAD_LETTERS.name(name)] = lambda data, _, tally=tally: tally.take_dead_letter(  # type: ignore[misc]
                self._dead_letters.decode(data)
            )
            handlers[LABELS.name(name)] = lambda _, __, tally=tally: tally.take_label()  # type: ignore[misc]
            handlers[MODELS.name(name)] = lambda data, _, tally=tally: tally.take_model(  # type: ignore[misc]
                self._models.decode(data)
            )
            handlers[ALARMS.name(name)] = lambda data, _, tally=tally: tally.take_alarm(  # type: ignore[misc]
                self._alarms.decode(data)
            )
        return handlers

    def _run(self) -> None:
        consumer = Consumer(
            {
                **self._settings[0].kafka.to_librdkafka(),
                "group.id": "tillguard-demo-reader",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
            }
        )
        try:
            consumer.assign(list(self._places(consumer)))
            while not self._stop.is_set():
                self._take(consumer)
        except BaseException as error:  # noqa: BLE001 - handed to the main thread by check()
            self.failure = error
        finally:
            consumer.close()

    def _places(self, consumer: Consumer) -> list[TopicPartition]:
        """All partitions of all topics, from the beginning."""
        metadata = consumer.list_topics(timeout=METADATA_TIMEOUT_S)
        return [
            TopicPartition(topic, partition, OFFSET_BEGINNING)
            for topic in self._handlers
            for partition in metadata.topics[topic].partitions
        ]

    def _take(self, consumer: Consumer) -> None:
        """Waits for one message, then takes what is there besides: a batch call would wait for the batch to fill."""
        messages: list[Message] = []
        message = consumer.poll(POLL_S)
        while message is not None:
            # Errors are the client's passing troubles, which it fixes by itself; stalls are noticed by who waits.
            if message.error() is None:
                messages.append(message)
            message = consumer.poll(0) if len(messages) < BATCH_MAX else None
        now = time.time()
        with self._lock:
            for entry in messages:
                data = entry.value()
                if data is not None:
                    self._handlers[str(entry.topic())](data, now)
