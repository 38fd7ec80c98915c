"""Drift as a person and a program read it."""

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from contract.alarms import Alarm
from contract.clock import from_epoch_ms
from scoring.engine.coverage import Gap
from tillguard.views.drift_report import TOP, as_json, render
from trainer.drift.cbpe import Estimate
from trainer.drift.check import Checked
from trainer.drift.findings import FeatureDrift, Findings, Performance
from trainer.drift.score_drift import ScoreDrift

FIRST_MS, LAST_MS = 1_790_000_000_000, 1_790_600_000_000
FOUND = Findings(
    model_version="m-1", rows=12_345, scored=12_000, first_ms=FIRST_MS, last_ms=LAST_MS,
    features=[
        FeatureDrift("amount", 0.5, 0.01, 0.2, judged=True),
        FeatureDrift("hour", 0.4, 0.0, 0.0, judged=False),
        *(FeatureDrift(f"calm_{number}", 0.01, 0.0, 0.0, judged=True) for number in range(TOP)),
    ],
    score=ScoreDrift(True, LAST_MS, 0.02, 0.03),
    performance=[Performance("precision_block", 0.7, Estimate(0.6, 0.5, 0.65))],
    notes=["little of it is new"],
)  # fmt: skip
ALARM = Alarm(
    alarm_id="a-1", retailer="shop", kind="drift", severity="critical", raised_at=from_epoch_ms(LAST_MS), part="trainer",
    subject="m-1", text="amounts have moved", remedy="train again", values={},
)  # fmt: skip
GAP = Gap("history", "the state reaches back a day", "load the history")  # type: ignore[arg-type]


def page(checked: Checked, *gaps: Gap) -> str:
    output = io.StringIO()
    Console(file=output, width=240).print(render(checked, gaps))
    return output.getvalue()


def of(**changes: Any) -> Checked:
    return Checked(replace(FOUND, **changes), [], None)


def test_a_look_is_told_from_the_window_to_the_alarms() -> None:
    told = page(Checked(FOUND, [ALARM], None), GAP)
    assert "Model m-1 and what it sees now" in told
    assert "12,345 transactions, 2026-09-21 14:13 UTC to 2026-09-28 12:53 UTC, 12,000 of them answered by it" in told
    rows = {line.split("│")[1].strip(): line for line in told.splitlines() if line.count("│") == 6}
    assert "look at it" in rows["amount"]
    assert "20.0%" in rows["amount"]
    assert "no whole week" in rows["hour"]
    assert "as it was" in rows["calm_0"]
    assert f"calm_{TOP - 2}" not in told, "only the first are shown"
    assert f"{TOP} of {TOP + 2} features are as they were" in told
    assert (
        "Scores changed (ADWIN), since 2026-09-28 12:53 UTC: the mean is 0.0300, at training it was 0.0200 (+50%)."
        in told
    )
    assert "precision block" in told
    assert "0.500 to 0.650" in told
    assert "Note: little of it is new." in told
    assert "Attention: the state reaches back a day. To do: load the history." in told
    assert "drift (critical): amounts have moved\n  do: train again." in told
    assert "Nothing to raise an alarm about" not in told


def test_what_says_nothing_is_left_out() -> None:
    told = page(of(first_ms=None, features=[], score=None, performance=[], notes=[]))
    assert "The feature log holds no transaction of the window." in told
    assert "Nothing to raise an alarm about." in told
    assert "Scores" not in told
    assert "Scores" not in page(of(score=None)), "with features to show"
    calm = page(of(score=ScoreDrift(False, None, 0.02, 0.02)))
    assert "no change that chance could not explain" in calm
    assert "since before the window" in page(of(score=ScoreDrift(True, None, 0.02, 0.03)))


def test_without_a_profile_there_is_a_sentence() -> None:
    nothing = Checked(None, [], "no model serves yet")
    assert page(nothing).strip() == "no model serves yet"
    assert as_json(nothing) == {"unknown": "no model serves yet", "alarms": []}


def test_a_program_gets_every_feature() -> None:
    told = as_json(Checked(FOUND, [ALARM], None), [GAP])
    assert (told["model_version"], told["rows"], told["scored"]) == ("m-1", 12_345, 12_000)
    assert (told["first"], told["last"]) == (from_epoch_ms(FIRST_MS), from_epoch_ms(LAST_MS))
    assert len(told["features"]) == TOP + 2
    assert told["score"] == {
        "changed": True, "since": from_epoch_ms(LAST_MS), "mean_before": 0.02, "mean_now": 0.03,
    }  # fmt: skip
    assert told["performance"] == [{"name": "precision_block", "before": 0.7, "value": 0.6, "low": 0.5, "high": 0.65}]
    assert (told["notes"], told["alarms"], told["state"][0]["remedy"]) == (
        ["little of it is new"],
        [ALARM],
        "load the history",
    )
    empty = as_json(of(first_ms=None, last_ms=None, score=None))
    assert (empty["first"], empty["last"], empty["score"]) == (None, None, None)
    assert as_json(of(score=ScoreDrift(False, None, 0.1, 0.1)))["score"]["since"] is None
