"""Readiness tells the truth with its remedy, and a dead worker ends itself."""

import faulthandler
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from contract.clock import ManualClock
from contract.metrics import Metrics
from scoring.engine.coverage import Gap
from scoring.feeds.ports import FeedState
from scoring.models.cache import ModelCache
from scoring.rules.published import Unserved
from scoring.worker.supervision import StalledError, Supervision
from support.tiny_model import tiny_messages, tiny_package


class Scene:
    """A worker's surroundings, to be changed at will."""

    def __init__(self, folder: Path) -> None:
        self.state = FeedState(assigned=(0, 1))
        self.store_up = True
        self.kafka_up = True
        self.gaps: list[Gap] = []
        self.unserved: Unserved | None = None
        self.clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
        self.metrics = Metrics()
        self.cache = ModelCache(folder, "shop", self.metrics)
        self.supervision = Supervision(
            lambda: self.state,
            self.cache,
            lambda: self.store_up,
            lambda: self.kafka_up,
            clock=self.clock,
            metrics=self.metrics,
            retailer="shop",
            stall_after_s=30,
            unserved=lambda: self.unserved,
            gaps=lambda: self.gaps,
        )

    def load_model(self) -> None:
        for _, value in tiny_messages(tiny_package()):
            self.cache.offer(value)

    def failing(self) -> set[str]:
        return {name for name, fault in self.supervision.check_readiness().checks.items() if fault is not None}

    def look_after(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.supervision.look()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: None)  # would end the test run
    return Scene(tmp_path)


def test_a_worker_with_model_store_and_partitions_is_ready(scene: Scene) -> None:
    scene.load_model()
    assert scene.supervision.check_readiness().ready


def test_what_the_state_does_not_hold_is_a_warning_and_no_failure(scene: Scene) -> None:
    scene.load_model()
    scene.gaps.append(Gap("risk", "risk is not seeded", "run the trainer"))
    answer = scene.supervision.check_readiness().to_document()
    assert answer["ready"]
    assert answer["warnings"] == {"risk": {"reason": "risk is not seeded", "remedy": "run the trainer"}}


def test_rules_that_should_serve_and_do_not_are_named_with_the_remedy(scene: Scene) -> None:
    scene.load_model()
    scene.unserved = Unserved("r-1 is not on the rules topic", "publish it")
    answer = scene.supervision.check_readiness().to_document()
    assert not answer["ready"]
    assert answer["checks"]["rules"] == {"ok": False, "reason": "r-1 is not on the rules topic", "remedy": "publish it"}


def test_every_missing_thing_is_named_with_its_remedy(scene: Scene) -> None:
    scene.store_up = False
    scene.state = FeedState(assigned=None)
    document: dict[str, Any] = scene.supervision.check_readiness().to_document()
    assert document["ready"] is False
    assert {name for name, check in document["checks"].items() if not check["ok"]} == {"model", "store", "kafka"}
    assert "tillguard train --retailer shop" in document["checks"]["model"]["remedy"]
    assert all(check["ok"] or check["remedy"] for check in document["checks"].values())


def test_a_spare_worker_without_partitions_is_ready(scene: Scene) -> None:
    scene.load_model()
    scene.state = FeedState(assigned=())
    assert scene.failing() == set()


def test_a_model_that_transactions_wait_for_is_named_until_it_is_published_again(scene: Scene) -> None:
    scene.load_model()
    assert scene.cache.get("tiny-0") is None
    assert scene.failing() == set()  # nothing waits for it
    scene.state = FeedState(assigned=(0,), lag=1, pending=1)
    fault = scene.supervision.check_readiness().checks["model"]
    assert fault is not None
    assert "tiny-0" in fault.reason
    assert "tillguard models publish tiny-0 --retailer shop" in fault.remedy
    for _, value in tiny_messages(tiny_package("tiny-0"), "tiny-0")[:-1]:
        scene.cache.offer(value)
    assert scene.failing() == set()


def test_a_stalled_worker_is_not_ready_and_a_dead_one_ends(scene: Scene) -> None:
    scene.load_model()
    scene.state = FeedState(assigned=(0,), lag=10, progress=5)
    scene.look_after(1)
    scene.look_after(31)
    assert scene.failing() == {"progress"}
    with pytest.raises(StalledError, match="10 transactions wait"):
        scene.look_after(30)


def test_a_worker_that_waits_for_its_first_model_is_not_dead(scene: Scene) -> None:
    scene.state = FeedState(assigned=(0,), lag=10, progress=5, pending=10, paused=True)
    for _ in range(5):
        scene.look_after(100)
    assert scene.failing() == {"model"}


@pytest.mark.parametrize(("server", "check"), [("store_up", "store"), ("kafka_up", "kafka")])
def test_a_worker_that_waits_for_a_server_is_not_dead(scene: Scene, server: str, check: str) -> None:
    scene.load_model()
    setattr(scene, server, False)
    scene.state = FeedState(assigned=(0,), lag=10, progress=5)
    for _ in range(200):
        scene.look_after(1)
    assert check in scene.failing()


def test_a_worker_that_was_shut_out_of_its_group_ends(scene: Scene) -> None:
    scene.load_model()
    scene.state = FeedState(assigned=None)
    assert scene.failing() == {"kafka"}
    for _ in range(60):
        scene.look_after(1)
    with pytest.raises(StalledError):
        scene.look_after(1)


def test_gauges_follow_the_feed(scene: Scene) -> None:
    scene.state = FeedState(assigned=(0,), lag=10, pending=3, progress=5)
    scene.look_after(1)
    values = {
        name: scene.metrics.registry.get_sample_value(name, {"retailer": "shop"})
        for name in ("tillguard_scoring_lag_messages", "tillguard_scoring_pending_events")
    }
    assert values == {"tillguard_scoring_lag_messages": 10, "tillguard_scoring_pending_events": 3}
