"""Holds expire: published first, confirmed after, and again when that could not be known."""

import threading
from collections.abc import Callable, Sequence

from scoring.ports import EventResult, StoreUnavailableError
from scoring.worker.hold_expiry import HoldSweeper


class Settling:
    """A case resolver with one expired hold that comes again until it is confirmed."""

    def __init__(self, sweeps: int) -> None:
        self.sweeper: HoldSweeper | None = None
        self.left = sweeps
        self.confirmed = False
        self.store_up = True

    def expire(self, _limit: int) -> list[EventResult]:
        self.left -= 1
        if self.left <= 0 and self.sweeper:
            self.sweeper.stop()
        if not self.store_up:
            self.store_up = True
            raise StoreUnavailableError("the store did not answer")
        return [] if self.confirmed else [EventResult(key=b"t", verdict=b"expired")]

    def confirm(self, _outcomes: Sequence[EventResult]) -> None:
        self.confirmed = True


class Publisher:
    """Delivers in `serve`, unless Kafka is away."""

    def __init__(self) -> None:
        self.published: list[EventResult] = []
        self.due: list[Callable[[], None]] = []
        self.kafka_up = True

    def publish(self, outcomes: Sequence[EventResult], delivered: Callable[[], None]) -> None:
        self.published.extend(outcomes)
        self.due.append(delivered)

    def serve(self) -> None:
        while self.kafka_up and self.due:
            self.due.pop(0)()

    def flush(self, timeout_s: float) -> bool:
        self.serve()
        return not self.due


def sweep(settling: Settling, publisher: Publisher) -> None:
    sweeper = HoldSweeper(settling, publisher)  # type: ignore[arg-type]
    settling.sweeper = sweeper
    sweeper._stop.wait = lambda timeout=None: sweeper._stop.is_set()  # type: ignore[method-assign]
    thread = threading.Thread(target=sweeper.run)
    thread.start()
    thread.join(30)
    assert not thread.is_alive()


def test_a_hold_is_confirmed_only_when_its_verdict_is_delivered() -> None:
    settling, publisher = Settling(sweeps=1), Publisher()
    publisher.kafka_up = False
    sweep(settling, publisher)
    assert publisher.published
    assert not settling.confirmed


def test_a_delivered_expiry_is_confirmed_and_comes_no_more() -> None:
    settling, publisher = Settling(sweeps=5), Publisher()
    sweep(settling, publisher)
    assert settling.confirmed
    assert len(publisher.published) == 1


def test_a_store_that_does_not_answer_is_asked_again() -> None:
    settling, publisher = Settling(sweeps=4), Publisher()
    settling.store_up = False
    sweep(settling, publisher)
    assert settling.confirmed
