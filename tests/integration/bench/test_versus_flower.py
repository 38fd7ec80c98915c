"""Flower's side runs in an environment of its own; installing it needs the network."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.slow]
ROOT = Path(__file__).parents[3]


@pytest.mark.timeout(2_400)
def test_flower_runs_the_same_banks_and_sends_more_bytes(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"

    done = subprocess.run(
        [sys.executable, "-m", "bench.federation", "versus-flower", "--quick", "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=2_300, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    rows = {row["measure"]: row for row in json.loads(file.read_text())}
    same = rows["single updates, average precision; baseline: Flower, FedAvg"]
    assert same["value"] == pytest.approx(same["baseline"], abs=1e-3)
    masked = rows["masked, average precision; baseline: Flower, SecAgg+"]
    assert masked["value"] == pytest.approx(masked["baseline"], abs=5e-3)
    sent = next(row for name, row in rows.items() if name.endswith("bytes up of one; baseline: Flower, SecAgg+"))
    assert sent["holds"] is True
    assert sent["baseline"] > 8 * 20_000  # SecAgg+ sends eight bytes a number
