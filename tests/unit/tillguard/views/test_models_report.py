"""The registry as a table that can be copied from."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from support.tiny_model import NOW, linear_onnx, tiny_manifest
from tillguard.views.models_report import Standing, format_attempts, tabulate_models
from tillguard.views.printing import choose_width, show
from trainer.registry.registry import Entry, Promotion, Tried


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
