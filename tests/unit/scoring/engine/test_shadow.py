"""A challenger in shadow hears of transactions when their answers have left, and whatever it does changes none."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from contract.clock import SystemClock
from contract.events import Origin
from contract.features import get_feature_names
from contract.metrics import Metrics
from contract.models import ShadowScore, Thresholds
from contract.package import build_package, read_package
from runtime.kafka.producer import DeliveryError
from scoring.decision.decide import round_scores
from scoring.decision.shares import CANARY, is_in_share
from scoring.engine import shadow
from scoring.engine.shadow import ShadowScorer, ShadowWork
from scoring.models.onnx_model import OnnxModel
from scoring.ports import EventResult
from support.live_worker import until
from support.tiny_model import slow_onnx, tiny_manifest, tiny_package
from support.workbench import START, Workbench, records, transaction, verdict_of

HISTORY = Origin(connector="orders", phase="replay", source="shop.orders", position="1")
CHALLENGER = tiny_package("new", bias=-2.0)


class Ear:
    """A Shadow that only listens."""

    def __init__(self) -> None:
        self.heard: list[ShadowWork] = []

    def offer(self, work: ShadowWork) -> None:
        self.heard.append(work)

    @property
    def ids(self) -> list[str]:
        return [name for work in self.heard for name, _ in work.transactions]


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
def bench(tmp_path: Path, ear: Ear) -> Workbench:
    return Workbench(tmp_path, shadow=ear)


def answer(bench: Workbench, *transactions: object) -> list[EventResult]:
    outcomes = bench.score(*transactions)  # type: ignore[arg-type]
    bench.engine.run_deferred()
    return outcomes


def test_nothing_is_heard_without_a_challenger_nor_before_the_answer_has_left(bench: Workbench, ear: Ear) -> None:
    answer(bench, transaction(1))
    assert ear.heard == []
    bench.challenge(CHALLENGER, "new")
    bench.score(transaction(2), transaction(3, amount_minor=40_000))
    assert ear.heard == []
    bench.engine.run_deferred()
    (work,) = ear.heard
    assert (work.challenger.version, work.champion_version) == ("new", "tiny-1")
    assert ear.ids == ["t-2", "t-3"]
    bench.engine.run_deferred()
    assert ear.ids == ["t-2", "t-3"]


def test_what_is_heard_is_what_the_champion_saw_and_said(bench: Workbench, ear: Ear) -> None:
    bench.challenge(CHALLENGER, "new")
    outcomes = answer(bench, transaction(1), transaction(2, amount_minor=40_000))
    (work,) = ear.heard
    assert work.champion_scores.tolist() == [verdict_of(outcome).score for outcome in outcomes]
    amounts = work.vectors[:, get_feature_names().index("amount")]
    assert amounts.tolist() == [50, 400]
    assert work.transactions[0] == ("t-1", START + timedelta(seconds=1))


def test_redelivered_transactions_and_history_are_not_scored_in_shadow(bench: Workbench, ear: Ear) -> None:
    answer(bench, transaction(1))
    bench.challenge(CHALLENGER, "new")
    answer(bench, transaction(1), transaction(2), transaction(3, origin=HISTORY))
    assert ear.ids == ["t-2"]


def test_a_full_answer_that_follows_a_degraded_one_is_scored_in_shadow(bench: Workbench, ear: Ear) -> None:
    bench.challenge(CHALLENGER, "new")
    bench.store.silent = True
    answer(bench, transaction(1))
    assert ear.heard == []
    bench.store.silent = False
    bench.engine.retry(records([transaction(1)]))
    bench.engine.run_deferred()
    assert ear.ids == ["t-1"]


def test_a_canary_scores_in_shadow_the_customers_that_it_does_not_answer(bench: Workbench, ear: Ear) -> None:
    bench.challenge(CHALLENGER, "new", share=0.3)
    events = [transaction(number) for number in range(60)]
    answer(bench, *events)
    assert ear.ids == [one.transaction_id for one in events if not is_in_share(one.customer or "", CANARY, 0.3)]
    assert 0 < len(ear.ids) < 60


class MemoryPublisher:
    """Takes everything, unless told not to."""

    def __init__(self) -> None:
        self.outcomes: list[EventResult] = []
        self.full = False
        self.refuses = False

    def publish(self, outcomes: Sequence[EventResult], delivered: Callable[[], None]) -> None:
        if self.refuses:
            raise DeliveryError("told to fail")
        self.outcomes.extend(outcomes)
        delivered()

    def serve(self) -> None:
        """Nothing is due."""

    def flush(self, timeout_s: float) -> bool:
        return True

    @property
    def scores(self) -> list[ShadowScore]:
        return [msgspec.json.decode(outcome.shadow_score or b"", type=ShadowScore) for outcome in self.outcomes]


class Scorer:
    """A ShadowScorer in its thread."""

    def __init__(self) -> None:
        self.publisher = MemoryPublisher()
        self.metrics = Metrics()
        self.scorer = ShadowScorer(lambda: self.publisher, SystemClock(), self.metrics, retailer="shop", time_share=1.0)

    @contextmanager
    def running(self) -> Iterator[None]:
        failures: list[BaseException] = []

        def run() -> None:
            try:
                self.scorer.run()
            except BaseException as error:  # noqa: BLE001 - shown by the test
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield
        finally:
            self.scorer.stop()
            thread.join()
        assert failures == []

    def dropped(self, reason: str) -> float:
        labels = {"retailer": "shop", "reason": reason}
        return self.metrics.registry.get_sample_value("tillguard_scoring_shadow_dropped_total", labels) or 0.0


def loaded(package: bytes) -> OnnxModel:
    return OnnxModel(read_package(package))


def work_of(model: OnnxModel, amounts: Sequence[float]) -> ShadowWork:
    vectors = np.full((len(amounts), len(get_feature_names())), np.nan, dtype=np.float32)
    vectors[:, get_feature_names().index("amount")] = amounts
    champion = loaded(tiny_package())
    return ShadowWork(
        model,
        "tiny-1",
        champion.manifest.thresholds,
        round_scores(champion.score(vectors)),
        vectors,
        [(f"t-{number}", START) for number in range(len(amounts))],
    )


def test_a_shadow_score_stands_beside_the_champion_s() -> None:
    thresholds = Thresholds(flag=0.1, hold=0.2, block=0.9)
    found = Scorer()
    with found.running():
        found.scorer.offer(work_of(loaded(tiny_package("new", bias=-2.0, thresholds=thresholds)), [50.0, 400.0] * 100))
        until(lambda: len(found.publisher.outcomes) == 200, "200 shadow scores")
    first, second = found.publisher.scores[:2]
    assert found.publisher.outcomes[1].key == b"t-1"
    assert first == ShadowScore(
        transaction_id="t-0", retailer="shop", event_time=START, model_version="new", score=first.score,
        decision="flag", champion_version="tiny-1", champion_score=first.champion_score, champion_decision="allow",
    )  # fmt: skip
    assert (first.score, second.score) == pytest.approx((0.182426, 0.880797))
    assert (first.champion_score, second.champion_score) == pytest.approx((0.075858, 0.731059))
    assert (second.decision, second.champion_decision) == ("hold", "hold")


def test_beyond_its_queue_work_is_dropped_at_once_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "ROWS_MAX", 5)
    found = Scorer()
    model = loaded(tiny_package("new"))
    for _ in range(3):
        found.scorer.offer(work_of(model, [50.0, 60.0]))
    assert found.dropped("overload") == 2
    with found.running():
        until(lambda: len(found.publisher.outcomes) == 4, "what fitted")
        found.scorer.offer(work_of(model, [70.0]))
        until(lambda: len(found.publisher.outcomes) == 5, "what came when there was room again")


def test_a_challenger_that_is_late_loses_its_own_scores_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "CHUNK_S_MAX", 0.05)
    monkeypatch.setattr("scoring.models.onnx_model.check_graph", lambda _: None)  # a graph that got past the check
    onnx = slow_onnx(10**9)
    found = Scorer()
    with found.running():
        found.scorer.offer(work_of(loaded(build_package(tiny_manifest(onnx, "slow"), onnx)), [600.0]))
        until(lambda: found.dropped("late") == 1, "the dropped score")
        monkeypatch.setattr(shadow, "CHUNK_S_MAX", 10.0)
        found.scorer.offer(work_of(loaded(tiny_package("new")), [50.0]))
        until(lambda: len(found.publisher.outcomes) == 1, "the next one")


def test_a_challenger_that_fails_is_dropped_and_counted() -> None:
    broken = loaded(tiny_package("new"))
    found = Scorer()
    with found.running():
        found.scorer.offer(work_of(broken, [50.0])._replace(vectors=np.zeros((1, 3), np.float32)))
        until(lambda: found.dropped("failed") == 1, "the dropped score")


@pytest.mark.parametrize("how", ["full", "refuses"])
def test_what_kafka_does_not_take_is_dropped_and_ends_nothing(how: str) -> None:
    found = Scorer()
    setattr(found.publisher, how, True)
    with found.running():
        found.scorer.offer(work_of(loaded(tiny_package("new")), [50.0, 60.0]))
        until(lambda: found.dropped("kafka") == 2, "the dropped scores")
    assert found.publisher.outcomes == []


def test_it_takes_no_more_than_its_share_of_time() -> None:
    """A rest three times as long as the work before it is a quarter of the time."""
    found = ShadowScorer(MemoryPublisher, SystemClock(), Metrics(), retailer="shop", time_share=0.25)
    rests: list[float] = []

    class Clock(SystemClock):
        now_s = 0.0

        def monotonic_s(self) -> float:
            self.now_s += 0.01
            return self.now_s

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            rests.append(timeout or 0.0)
            return False

    found._clock, found._stop = Clock(), Stop()
    found._work_on(work_of(loaded(tiny_package("new")), [50.0]), slice(0, 64))
    assert rests == [pytest.approx(0.02 * 3)]
