"""Producers of a process that writes to several topics of a retailer: opened when they are first needed, by one thread."""

from collections.abc import Sequence

from contract.errors import TransientError
from contract.settings import Settings
from contract.topics import Topic
from runtime.kafka.writer import KafkaOutlet


class Outlets:
    """One producer a topic."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._opened: dict[str, KafkaOutlet] = {}

    def send(self, topic: Topic, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Blocks until Kafka has all of them; raises TransientError, after which the same call may be repeated."""
        outlet, kafka = self._opened.get(topic.kind), self._settings.kafka
        try:
            if outlet is None:
                outlet = KafkaOutlet(kafka.kafka_python(), topic.name(self._settings.retailer), kafka.request_timeout_s)
                self._opened[topic.kind] = outlet
            outlet.deliver(messages)
        except TransientError:
            if outlet is not None:
                self._opened.pop(topic.kind).close()
            raise

    def close(self) -> None:
        """Ends them."""
        for outlet in self._opened.values():
            outlet.close()
