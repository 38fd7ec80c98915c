"""A worker tells what its state does not hold, and continues answering."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contract.alarms import ALARMS, Alarm
from contract.clock import to_epoch_ms
from contract.windows import DAY_MS
from scoring.engine.coverage import Coverage
from scoring.ports import EventResult, StoreUnavailableError
from scoring.worker.state_watch import StateWatch
from support.workbench import ORIGIN, START, Workbench, records, score, transaction, verdict_of

NOW = to_epoch_ms(START)
WHOLE = Coverage(NOW - 60 * DAY_MS, NOW - 50 * DAY_MS, NOW - 9 * DAY_MS)


class Told:
    """A publisher that confirms what it gets in the next `serve`, unless it is away."""

    def __init__(self) -> None:
        self.alarms: list[Alarm] = []
        self.away = False
        self._due: list[Callable[[], None]] = []

    def publish(self, outcomes: Sequence[EventResult], delivered: Callable[[], None]) -> None:
        self.alarms += [msgspec.json.decode(outcome.alarm or b"", type=Alarm) for outcome in outcomes]
        self._due.append(delivered)

    def serve(self) -> None:
        if not self.away:
            for delivered in self._due:
                delivered()
            self._due.clear()

    def flush(self, timeout_s: float) -> bool:
        self.serve()
        return timeout_s >= 0


class Scene:
    def __init__(self, folder: Path) -> None:
        self.bench = Workbench(folder)
        self.coverage: Coverage | None = WHOLE
        self.told = Told()
        self.watch = StateWatch(
            self.read,
            self.bench.cache,
            lambda: self.told,
            clock=self.bench.clock,
            metrics=self.bench.metrics,
            retailer="shop",
            label_delay_days=7,
        )
        self.engine = self.bench.make_engine(self.bench.clock, self.watch)

    def read(self) -> Coverage:
        if self.coverage is None:
            raise StoreUnavailableError
        return self.coverage

    def verdict(self, number: int, **changes: Any) -> list[str]:
        return verdict_of(score(self.engine, records([transaction(number, **changes)]))[0]).incomplete

    def metric(self, kind: str) -> float | None:
        labels = {"retailer": "shop", "kind": kind}
        return self.bench.metrics.registry.get_sample_value("tillguard_scoring_state_gap_info", labels)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_whole_state_is_nothing_to_tell(scene: Scene) -> None:
    scene.watch.take_turn()
    assert scene.verdict(1) == []
    scene.watch.take_turn()
    assert (scene.watch.warnings, scene.told.alarms) == ([], [])
    assert (scene.metric("risk"), scene.metric("windows")) == (0, 0)


def test_verdicts_metric_warning_and_alarm_name_what_is_missing_and_end_with_it(scene: Scene) -> None:
    scene.coverage = Coverage(NOW - DAY_MS)
    scene.watch.take_turn()
    assert scene.verdict(1) == ["risk", "windows"]
    scene.watch.take_turn()
    assert [gap.kind for gap in scene.watch.warnings] == ["risk", "windows"]
    assert (scene.metric("risk"), scene.metric("windows")) == (1, 1)
    assert [(alarm.subject, alarm.kind) for alarm in scene.told.alarms] == [
        ("risk", "state_incomplete"),
        ("windows", "state_incomplete"),
    ]
    assert "state_incomplete" in ALARMS
    assert "windows begin on 2026-11-01" in scene.told.alarms[1].text
    scene.coverage = WHOLE
    scene.watch.take_turn()
    assert scene.verdict(2) == []
    assert (scene.watch.warnings, scene.metric("risk")) == ([], 0)


def test_an_alarm_is_raised_once_and_again_only_where_nobody_confirmed_it(scene: Scene) -> None:
    scene.coverage, scene.told.away = Coverage(NOW - 60 * DAY_MS), True
    scene.verdict(1)
    scene.watch.take_turn()
    scene.watch.take_turn()
    scene.told.away = False
    scene.watch.take_turn()
    scene.watch.take_turn()
    assert len(scene.told.alarms) == 2
    assert len({alarm.alarm_id for alarm in scene.told.alarms}) == 1


def test_history_that_fills_windows_raises_no_alarm(scene: Scene) -> None:
    scene.coverage = Coverage(NOW - DAY_MS)
    scene.watch.take_turn()
    origin = msgspec.structs.replace(ORIGIN, phase="snapshot")
    assert scene.verdict(1, origin=origin) == ["risk", "windows"]
    scene.watch.take_turn()
    assert scene.told.alarms == []


def test_without_the_store_what_was_known_stands(scene: Scene) -> None:
    scene.coverage = None
    scene.watch.take_turn()
    assert scene.verdict(1) == []
    scene.coverage = Coverage()
    scene.watch.take_turn()
    scene.coverage = None
    scene.watch.take_turn()
    assert [gap.kind for gap in scene.watch.warnings] == ["risk", "windows"]
