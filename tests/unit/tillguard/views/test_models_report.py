"""The registry as a table that can be copied from."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from contract.models import Thresholds
from contract.package import THRESHOLD_NEVER
from support.tiny_model import NOW, linear_onnx, tiny_manifest
from tillguard.views.models_report import (
    Standing,
    as_json,
    describe_service,
    format_attempts,
    render_model_page,
    tabulate_models,
)
from tillguard.views.printing import choose_width, show
from trainer.registry.registry import Entry, Promotion, Tried
from trainer.registry.tables import Attachment, Challenge, Pin


def entry(version: str) -> Entry:
    return Entry(tiny_manifest(linear_onnx({}), version), "0" * 64, 1, Path("m.package.zip"))


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_model_can_be_copied_whole_however_narrow_the_terminal(columns: int) -> None:
    versions = [f"{name}-20261123-140812-0123abcd" for name in ("alder", "a-retailer-with-a-long-name")]
    output = io.StringIO()
    promotion = Promotion(versions[0], NOW, "ann", confirmed=True)
    table = tabulate_models([entry(each) for each in versions], Standing([promotion]))
    Console(file=output, width=choose_width(table, columns)).print(table)
    for version in versions:
        assert any(version in line.split() for line in output.getvalue().splitlines())
    assert "2026-11-01" in output.getvalue()


def test_an_attempt_is_a_line_with_its_whole_version_source_and_reason(capsys: pytest.CaptureFixture[str]) -> None:
    version, reason = "a-retailer-with-a-long-name-20261123-140812-0123abcd", "average precision 0.5 " * 15
    show(*format_attempts([Tried(NOW, "refused", reason, version, None, {}, "history.parquet")]))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.rstrip() == f"2026-11-01 00:00 UTC  refused  {version}  from history.parquet: {reason}".rstrip()


def test_a_damaged_file_is_told_beside_its_model() -> None:
    output = io.StringIO()
    table = tabulate_models([entry("m-1"), entry("m-2")], Standing([]), {"m-2"})
    Console(file=output, width=choose_width(table, None)).print(table)
    assert ["damaged" in line for line in output.getvalue().splitlines()] == [False, False, True]


SERVING = Promotion("m-1", NOW, "ann", confirmed=True, kind="manual", reason="better by far")


def page(standing: Standing, damage: str | None = None, **changes: Any) -> str:
    output = io.StringIO()
    manifest = tiny_manifest(linear_onnx({}), "m-1", **changes)
    one = Entry(manifest, "ab" * 32, 2_048, Path("m.package.zip"))
    attached = [Attachment("keras", "cd" * 32, 10_240, Path("m.keras"))]
    Console(file=output, width=200).print(render_model_page(one, attached, standing, "EUR", damage))
    return output.getvalue()


def test_a_page_tells_all_that_is_known_of_a_model() -> None:
    told = page(Standing([SERVING, Promotion("m-1", NOW, "bob", confirmed=False)]), parameters={"seed": 7, "rate": 0.5})
    assert "shop: model m-1" in told
    assert "since 2026-11-01 00:00 (manual, ann)" in told
    assert "10 frauds, 90 genuine" in told
    assert "none: trained from scratch" in told
    assert "m.package.zip (2 KiB)" in told
    assert "keras (10 KiB)" in told
    assert "better by far" in told
    assert "manual, not confirmed" in told
    assert "damage" not in told
    assert "Thresholds from costs" not in told


def test_decisions_and_costs_are_shown_where_they_were_measured() -> None:
    metrics = {f"decided_{name}": 0.25 for name in ("allow", "flag", "hold", "block")}
    metrics |= {f"recall_{name}": 0.5 for name in ("flag", "hold", "block")} | {"precision_flag": 0.125}
    metrics |= {
        "transactions_per_day": 1_000.0,
        "cost_per_day": 12.5,
        "reviews_per_day": 3.0,
        "cost_per_day_nothing": 99.0,
    }
    told = page(
        Standing([]),
        "the file is gone",
        metrics=metrics,
        thresholds=Thresholds(flag=0.5, hold=0.75, block=THRESHOLD_NEVER),
    )
    assert "Thresholds from costs in EUR" in told
    for words in (
        "0.5000",
        "never",
        "12.5%",
        "none caught",
        "Expected at 1,000 transactions a day",
        "no decision but allow",
        "99.00",
    ):
        assert words in told
    assert "the model in service when it was made" not in told
    assert "the file is gone; `tillguard models publish VERSION`" in told


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing([]), "never"),
        (Standing([SERVING._replace(confirmed=False)]), "not confirmed: promote it again"),
        (Standing([SERVING], pin=Pin("m-1", NOW, "ann", "sale")), "since 2026-11-01 00:00 (manual, ann), pinned"),
        (Standing([SERVING._replace(model_version="m-2"), SERVING]), "before"),
        (Standing([], [Challenge("m-1", "canary", 0.05, NOW, "ann", confirmed=True)]), "canary, 5.0% of customers"),
        (Standing([], [Challenge("m-1", "shadow", 0.0, NOW, "ann", confirmed=True)]), "shadow"),
        (Standing([], [Challenge("m-2", "shadow", 0.0, NOW, "ann", confirmed=True)]), "never"),
    ],
)
def test_what_a_model_is_to_the_workers_is_told_in_a_few_words(standing: Standing, words: str) -> None:
    assert describe_service("m-1", standing) == words


def test_a_program_gets_the_manifest_and_what_the_registry_knows_of_it() -> None:
    other = SERVING._replace(model_version="m-2")
    found = as_json(
        entry("m-1"), [Attachment("keras", "cd" * 32, 5, Path("m.keras"))], Standing([SERVING, other]), "torn"
    )
    assert (found["model_version"], found["package_sha256"], found["damage"], found["package_bytes"]) == (
        "m-1",
        "0" * 64,
        "torn",
        1,
    )
    assert found["attachments"] == {"keras": {"bytes": 5, "sha256": "cd" * 32}}
    assert found["examples"] == {"fraud": 10, "genuine": 90}
    assert (found["serves"], found["pin"], len(found["promotions"]), found["challenges"]) == (True, None, 1, [])
    pinned = as_json(entry("m-1"), [], Standing([other], pin=Pin("m-2", NOW, "ann", "sale")))
    assert (pinned["serves"], pinned["pin"]["pinned_by"], pinned["promotions"]) == (False, "ann", [])
