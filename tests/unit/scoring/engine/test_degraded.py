"""When the store or the model fails or is late: a degraded answer in time, the full one later, nothing twice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from contract.clock import SystemClock, to_epoch_ms
from contract.package import build_package
from scoring.ports import EventResult, ModelFailedError, RawEvent
from support.tiny_model import slow_onnx, tiny_manifest, tiny_package
from support.workbench import Workbench, features_of, records, score, transaction, verdict_of


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    return Workbench(tmp_path)


def degraded(outcome: EventResult) -> tuple[str, str | None]:
    """Decision and cause of an outcome that must be a degraded one."""
    verdict = verdict_of(outcome)
    assert (verdict.revision, verdict.degraded, verdict.score, verdict.model_version) == (0, True, None, None)
    assert (outcome.complete, outcome.features, outcome.dead_letter) == (False, None, None)
    return verdict.decision, verdict.cause


@pytest.mark.parametrize("failure", ["broken", "silent", "deaf"])
def test_without_the_store_the_fallback_answers_and_the_full_answer_follows(bench: Workbench, failure: str) -> None:
    small, large = transaction(1), transaction(2, amount_minor=20_000)
    setattr(bench.store, failure, True)
    assert [degraded(outcome) for outcome in bench.score(small, large)] == [
        ("flag", "state_unavailable"),
        ("hold", "state_unavailable"),
    ]
    assert bench.engine.retry(records([small, large])) == [
        EventResult(b"t-1", complete=False),
        EventResult(b"t-2", complete=False),
    ]
    setattr(bench.store, failure, False)
    outcomes = bench.engine.retry(records([small, large]))
    assert [verdict_of(outcome).revision for outcome in outcomes] == [1, 1]
    assert [features_of(outcome).applied_seq for outcome in outcomes] == [1, 2]
    assert all(outcome.complete for outcome in outcomes)
    assert bench.count("tillguard_scoring_verdicts_total", decision="flag", degraded="true") == 1
    assert bench.count("tillguard_scoring_events_total") == 2


def fresh(bench: Workbench, number: int) -> list[RawEvent]:
    """Appended this moment."""
    return [event._replace(appended_ms=to_epoch_ms(bench.clock.now())) for event in records([transaction(number)])]


def test_a_store_that_takes_the_whole_budget_is_late(bench: Workbench) -> None:
    bench.store.silent = True
    bench.store.on_wait = bench.clock.advance
    assert degraded(bench.score_events(fresh(bench, 1))[0]) == ("flag", "state_late")
    assert bench.store.timeouts_s == [pytest.approx(0.05)]


def test_the_second_of_two_open_batches_has_only_what_the_first_left_of_the_budget(bench: Workbench) -> None:
    first, second = (bench.engine.submit(fresh(bench, number)) for number in (1, 2))
    bench.store.on_wait = lambda _timeout_s: bench.clock.advance(0.04)
    bench.engine.collect(first)
    bench.engine.collect(second)
    assert bench.store.timeouts_s == [pytest.approx(0.05), pytest.approx(0.01)]


def test_where_nobody_waits_the_store_gets_more_time(bench: Workbench) -> None:
    bench.clock.advance(3600)
    bench.score(transaction(1))
    bench.engine.retry(records([transaction(2)]))
    assert bench.store.timeouts_s == [pytest.approx(1.0), pytest.approx(1.0)]


def test_a_till_that_has_given_up_is_not_hurried_for(bench: Workbench) -> None:
    events = fresh(bench, 1)
    bench.clock.advance(15)
    bench.score_events(events)
    assert bench.store.timeouts_s == [pytest.approx(1.0)]


def test_without_a_model_nothing_is_pinned_and_the_first_model_gives_the_full_answer(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, model=None)
    assert degraded(bench.score(transaction())[0]) == ("flag", "model_unavailable")
    assert bench.store.sights == {}
    bench.promote(tiny_package("late-1"), "late-1")
    assert verdict_of(bench.engine.retry(records([transaction()]))[0]).model_version == "late-1"


@pytest.mark.parametrize("output", [np.nan, 7.0, -1.0])
def test_a_score_that_is_no_probability_is_a_failed_model(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch, output: float
) -> None:
    serving = bench.cache.serving
    assert serving is not None
    monkeypatch.setattr(serving, "_run", lambda rows, _options: np.full(len(rows), output, dtype=np.float32))
    assert degraded(bench.score(transaction())[0]) == ("flag", "model_unavailable")


def test_a_model_that_takes_too_long_is_stopped_and_the_next_batch_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoring.models.onnx_model.check_graph", lambda _: None)  # a graph that got past the check
    onnx = slow_onnx(10**9)
    package = build_package(tiny_manifest(onnx), onnx)
    bench = Workbench(tmp_path, model=package, document={"scoring": {"budget_ms": 100}})
    now, clock = SystemClock().now(), SystemClock()
    engine = bench.make_engine(clock)
    slow = transaction(1, event_time=now, amount_minor=60_000)
    started_s = clock.monotonic_s()
    assert degraded(score(engine, records([slow]))[0]) == ("hold", "model_late")
    assert clock.monotonic_s() - started_s < 30  # without a limit it takes minutes
    assert verdict_of(score(engine, records([transaction(2, event_time=now)]))[0]).score == pytest.approx(0.05)


def test_a_verdict_that_cannot_be_put_on_record_is_degraded_and_the_rest_of_the_batch_is_not(bench: Workbench) -> None:
    bench.cases.broken = True
    harmless, held = transaction(1), transaction(2, amount_minor=40_000)
    one, two = bench.score(harmless, held)
    assert verdict_of(one).revision == 1
    assert degraded(two) == ("hold", "state_unavailable")
    bench.cases.broken = False
    (full,) = bench.engine.retry(records([held]))
    assert (verdict_of(full).decision, verdict_of(full).revision) == ("hold", 1)
    assert bench.cases.newest["t-2"].verdict == full.verdict


def test_a_degraded_answer_is_the_same_after_a_crash_whatever_the_cause(bench: Workbench) -> None:
    bench.store.broken = True
    first = verdict_of(bench.score(transaction())[0])
    bench.store.broken, bench.model = False, None
    bench.restart()
    second = verdict_of(bench.score(transaction())[0])
    assert (second.revision, second.decision, second.score) == (first.revision, first.decision, first.score)
    assert (first.cause, second.cause) == ("state_unavailable", "model_unavailable")


def test_explanations_that_fail_cost_only_the_explanation(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    serving = bench.cache.serving
    assert serving is not None
    score_all = serving.score

    def one_row_only(rows: Any, timeout_s: float) -> Any:
        if len(rows) > 1:
            raise ModelFailedError("told to fail")
        return score_all(rows, timeout_s)

    monkeypatch.setattr(serving, "score", one_row_only)
    verdict = bench.verdict(transaction(amount_minor=70_000))
    assert verdict.decision == "block"
    assert [reason.code for reason in verdict.reasons] == ["policy:score"]


def test_the_configured_fallback_is_used(tmp_path: Path) -> None:
    bench = Workbench(tmp_path, document={"scoring": {"fallback": {"decision": "block", "hold_from": 0}}})
    bench.store.broken = True
    assert degraded(bench.score(transaction())[0])[0] == "block"


def test_a_conflict_found_when_trying_again_ends_the_event_with_a_dead_letter(bench: Workbench) -> None:
    bench.score(transaction(1))
    bench.store.broken = True
    changed = transaction(1, amount_minor=1)
    bench.score(changed)
    bench.store.broken = False
    (outcome,) = bench.engine.retry(records([changed]))
    assert (outcome.complete, outcome.verdict) == (True, None)
    assert outcome.dead_letter is not None
