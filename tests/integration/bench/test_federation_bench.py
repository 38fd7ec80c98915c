"""The federation's benchmarks work; figures of quick runs are judged by nobody but where they need no size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("section", "measure"),
    [
        ("privacy", "epsilon, sigma 4, 20 rounds of everyone"),
        ("membership", "epsilon spent by the coordinator's ledger"),
    ],
)
def test_a_section_runs_prints_and_writes_its_rows(section: str, measure: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"

    done = subprocess.run(
        [sys.executable, "-m", "bench.federation", section, "--quick", "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(file.read_text())
    assert all(set(row) == {"measure", "value", "unit", "baseline", "ratio", "target", "holds"} for row in rows)
    by_name = {row["measure"]: row for row in rows}
    assert by_name[measure]["holds"] is True
    assert measure.split(",", maxsplit=1)[0] in done.stdout
