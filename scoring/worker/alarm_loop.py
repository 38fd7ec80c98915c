"""A loop that looks at something again and again, and sends an alarm when there is something to say."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from contract.alarms import Alarm
from scoring.engine.answers import encode
from scoring.feeds.ports import Publisher
from scoring.ports import EventResult

FLUSH_S = 10.0


class AlarmLoop(ABC):
    """A Loop on a thread of its own; its producer is made when the first alarm is sent."""

    every_s: float
    """Between two looks."""

    def __init__(self, publisher: Callable[[], Publisher]) -> None:
        """`publisher` makes one for this thread."""
        self._make_publisher = publisher
        self._publisher: Publisher | None = None
        self._stop = threading.Event()

    @abstractmethod
    def look(self) -> None:
        """One look. Raises DeliveryError."""

    def run(self) -> None:
        """Looks until `stop`. Raises DeliveryError."""
        while not self._stop.is_set():
            self.take_turn()
            self._stop.wait(self.every_s)
        if self._publisher is not None:
            self._publisher.flush(FLUSH_S)

    def take_turn(self) -> None:
        """Hears of alarms that were delivered, then looks once. Raises DeliveryError."""
        if self._publisher is not None:
            self._publisher.serve()
        self.look()

    def stop(self) -> None:
        """Asks the loop to end."""
        self._stop.set()

    def send(self, alarms: Sequence[Alarm], delivered: Callable[[], None]) -> None:
        """Publishes alarms; `delivered` is called by a later look, once Kafka has confirmed all of them. Raises DeliveryError."""
        self._publisher = self._publisher or self._make_publisher()
        self._publisher.publish(
            [EventResult(key=alarm.alarm_id.encode(), alarm=encode(alarm)) for alarm in alarms], delivered
        )
