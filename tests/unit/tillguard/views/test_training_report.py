"""A finished training as a person reads it."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contract.settings import parse
from support.tiny_model import linear_onnx, tiny_manifest
from tillguard.views.training_report import render
from trainer.learning.material import Read
from trainer.learning.training_attempt import Attempt
from trainer.registry.tables import Entry

SETTINGS = parse({"retailer": "shop"}, where="test")
METRICS = {
    "decided_allow": 0.9, "decided_flag": 0.05, "decided_hold": 0.03, "decided_block": 0.02, "recall_flag": 0.9, "recall_hold": 0.7, "recall_block": 0.5,
    "precision_block": 0.75, "transactions_per_day": 1_000.0, "cost_per_day": 12.5, "cost_per_day_serving": 20.0, "auc_roc": 0.95, "average_precision": 0.6,
    "brier": 0.01, "calibration_error": 0.002, "frauds": 10.0, "transactions": 1_000.0,
}  # fmt: skip
READ = Read(5_000, {"without a label": 1_200, "of other shops": 0}, ("three rows were doubled",))


def made(outcome: Any = "published", **changes: Any) -> Attempt:
    manifest = tiny_manifest(linear_onnx({}), "m-1", metrics=METRICS, parameters=changes.pop("parameters", {}))
    fields: dict[str, Any] = {
        "counts": {"train": (700, 70), "validation": (150, 15), "test": (150, 15)}, "seconds": {"read": 2.0, "fit": 3.0, "total": 6.0},
        "registered": Entry(manifest, "0" * 64, 2_048, Path("m.package.zip")), "read": READ,
    }  # fmt: skip
    return Attempt(outcome, "better in 99% of resamplings", **(fields | changes))


def page(attempt: Attempt) -> str:
    output = io.StringIO()
    console = Console(file=output, width=240)
    for part in render(SETTINGS, attempt):
        console.print(part)
    return output.getvalue()


def test_a_report_tells_what_was_learned_from_how_well_and_what_it_costs() -> None:
    told = page(made(live="The workers' windows took it.", parameters={"cut_short_after_s": 60}))
    for words in (
        "shop: model m-1", "Learned from 100 labelled transactions, 10 of them frauds (10.00%)", "Left out: 1,200 without a label.",
        "Note: three rows were doubled.", "Note: learning was stopped after 60 s", "the figures below; never learned from", "AUC 0.950, average precision 0.600 (guessing gives 0.010)",
        "75.0%", "none caught", "12.50", "the model in service when it was made", "Registered: m.package.zip (2 KiB).", "In service: better in 99% of resamplings.",
        "The workers' windows took it.", "Took 6.0 s: reading 2.0 s, learning 3.0 s (2,500 transactions/s read).",
    ):  # fmt: skip
        assert words in told
    assert "of other shops" not in told


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (
            "registered",
            "Not in service, as asked; the gate says: better in 99% of resamplings. `tillguard models promote m-1` puts it there.",
        ),
        (
            "refused",
            "Not put in service: better in 99% of resamplings. `tillguard models promote m-1` does so all the same.",
        ),
    ],
)
def test_a_model_that_does_not_serve_is_told_with_the_remedy(outcome: str, words: str) -> None:
    assert words in page(made(outcome))


def test_what_was_not_measured_is_left_out() -> None:
    told = page(made(read=Read(0, {}), seconds={"total": 1.0}))
    assert "Left out" not in told
    assert "Took 1.0 s:  (0 transactions/s read)." in told
    assert "Note" not in told


@pytest.mark.parametrize("missing", ["registered", "read"])
def test_an_attempt_without_a_model_has_no_report(missing: str) -> None:
    with pytest.raises(ValueError, match="no report"):
        render(SETTINGS, made(**{missing: None}))
