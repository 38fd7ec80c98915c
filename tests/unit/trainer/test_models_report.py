"""The registry as a table that can be copied from."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from support.tiny_model import NOW, linear_onnx, tiny_manifest
from tillguard.models_report import Standing, models_table, width_for
from trainer.registry import Entry, Promotion


def entry(version: str) -> Entry:
    return Entry(tiny_manifest(linear_onnx({}), version), "0" * 64, 1, Path("m.package.zip"))


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_model_can_be_copied_whole_however_narrow_the_terminal(columns: int) -> None:
    versions = [f"{name}-20261123-140812-0123abcd" for name in ("alder", "a-retailer-with-a-long-name")]
    output = io.StringIO()
    promotion = Promotion(versions[0], NOW, "ann", confirmed=True)
    table = models_table([entry(each) for each in versions], Standing([promotion]))
    Console(file=output, width=width_for(table, columns)).print(table)
    for version in versions:
        assert any(version in line.split() for line in output.getvalue().splitlines())
    assert "2026-11-01" in output.getvalue()
