"""The benchmark of the read model works; its figures are judged by nobody here."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.api import projection

pytestmark = pytest.mark.integration


def test_the_projection_benchmark_runs_and_writes_its_rows(
    stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "QUICK_CASES", 60)
    monkeypatch.setattr(projection, "CALLS", 1)
    stack.endpoints["kafka"]
    projection.main(["--quick", "--stack", str(stack.folder), "--json", str(tmp_path / "rows.json")])
    rows = {row["measure"]: row["value"] for row in json.loads((tmp_path / "rows.json").read_text())}
    assert "queue of 60: first page by loss" in rows
    assert all(value > 0 for value in rows.values())
