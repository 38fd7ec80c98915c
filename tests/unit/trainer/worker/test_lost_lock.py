"""A trainer whose lock is gone ends before it takes in or trains more: another one may run by now."""

from pathlib import Path
from threading import Event

import pytest

from contract.clock import EPOCH, ManualClock
from contract.errors import FencedError
from contract.metrics import Metrics
from contract.settings import parse
from trainer.examples.store import ExampleStore
from trainer.worker.service import TrainerWorker, Vitals


class Silent:
    """A consumer of topics on which nothing comes."""

    def __init__(self) -> None:
        self.polls = 0

    def poll(self, **_: object) -> dict[object, list[object]]:
        self.polls += 1
        assert self.polls < 10, "it continues without its lock"
        return {}


class Lost:
    def is_still_held(self) -> bool:
        return False


def test_a_trainer_that_lost_its_lock_ends_and_says_so(tmp_path: Path) -> None:
    settings = parse({"retailer": "shop"}, where="test")
    store = ExampleStore(f"sqlite:///{tmp_path / 'examples.db'}", "shop")
    clock, consumer = ManualClock(EPOCH), Silent()
    clock.advance(60)
    worker = TrainerWorker(
        settings, store, consumer, None, None, Lost(), clock, Metrics(), Event(), Vitals(0.0),  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(FencedError, match="the lock of shop's trainer was lost"):
        worker.run()
    assert consumer.polls == 1
    store.close()
