"""The scoring benchmark works; its figures are judged by nobody here."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]


def test_the_scoring_benchmark_runs_and_writes_its_rows(stack: Any, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"

    done = subprocess.run(
        [sys.executable, "-m", "bench.scoring", "--tiny", "--stack", str(stack.folder), "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(file.read_text())
    assert all(
        set(row) == {"measure", "value", "unit", "baseline", "ratio", "target", "holds"} and row["value"] >= 0
        for row in rows
        if not row["measure"].endswith("rest")  # a difference of clocks
    )
    by_name = {row["measure"]: row for row in rows}
    for feed, target in (("librdkafka feed", ">= 0.7 x"), ("agent feed", ">= 0.8 x")):
        row = by_name[f"throughput, {feed}"]
        assert row["target"] == target
        assert row["ratio"] == pytest.approx(row["value"] / row["baseline"])
        assert row["holds"] is (row["ratio"] >= float(target.split()[1]))
    assert by_name["latency at 50/s, p50"]["target"] == "<= 1.5 x"
    assert {f"engine, batches of {batch}" for batch in (1, 16, 256)} <= by_name.keys()
    assert "throughput" in done.stdout
