"""What a feed needs of the engine and of Kafka, and what it tells the worker. Pure declarations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from scoring.ports import EventResult, RawEvent


class Scorer(Protocol):
    """Turns events into results. Called by one thread; `scoring.engine.engine.Engine` is one, resolutions have another.

    A bad event is a result with a dead letter, never an exception: an exception here is a broken invariant and stops
    the worker.
    """

    def submit(self, events: Sequence[RawEvent]) -> Any:
        """Starts a batch without waiting for the store; returns a ticket. At most two are open at once."""
        ...

    def collect(self, ticket: Any) -> list[EventResult]:
        """Finishes the oldest open batch: one result per event, in their order. Blocks for the time budget at most."""
        ...

    def retry(self, events: Sequence[RawEvent]) -> list[EventResult]:
        """Tries events again whose result was not complete; a result that is still not complete carries no message."""
        ...

    def run_deferred(self) -> None:
        """Called when the results of `collect` or `retry` are with the publisher: time for what must not delay them."""
        ...


class Publisher(Protocol):
    """Sends the messages of results to their topics."""

    def publish(self, results: Sequence[EventResult], delivered: Callable[[], None]) -> None:
        """Queues every message; `delivered` runs once, in a later `serve` or `flush`, when all are acknowledged by Kafka.

        With no message at all it runs in the next `serve`. Blocks (serving deliveries) while the queue is full.
        """
        ...

    def serve(self) -> None:
        """Runs what became due; never blocks. Raises DeliveryError when a message can never be delivered."""
        ...

    def flush(self, timeout_s: float) -> bool:
        """Waits until nothing is in flight; False when time ran out. Raises DeliveryError."""
        ...


class BackpressurePublisher(Publisher, Protocol):
    """A Publisher that says when it is behind."""

    @property
    def full(self) -> bool:
        """True: Kafka does not take messages as fast as they come."""
        ...


@dataclass(frozen=True, slots=True)
class FeedState:
    """What a feed is doing, for readiness, metrics and self-watch; taken by another thread than the feed's."""

    assigned: tuple[int, ...] | None = None
    """Partitions, or None while the group has not answered yet; empty when there are more workers than partitions."""
    lag: int = 0
    """Transactions on assigned partitions that are not yet taken, plus those taken and not complete."""
    behind_s: float | None = None
    """Age of the newest event taken while others wait, 0 where none waits; None before the first was taken."""
    pending: int = 0
    """Events answered degraded that await their full answer."""
    progress: int = 0
    """Rises with every event taken or completed; never falls."""
    paused: bool = False
    """True while nothing is taken because too much waits for the store."""
    committed: dict[int, int] = field(default_factory=dict)
    """Next offset per partition, as last committed."""
