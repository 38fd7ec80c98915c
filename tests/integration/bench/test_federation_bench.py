"""The federation's benchmarks work; figures of quick runs are judged by nobody but where they need no size."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]


def rows_of(section: str, file: Path) -> dict[str, dict[str, Any]]:
    """By measure, after a quick run that ended well and printed what it wrote."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.federation", section, "--quick", "--json", str(file)],
        cwd=ROOT, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr[-3000:]
    rows = json.loads(file.read_text())
    assert all(set(row) == {"measure", "value", "unit", "baseline", "ratio", "target", "holds"} for row in rows)
    assert rows[0]["measure"].split(",", maxsplit=1)[0] in done.stdout
    assert all(row["holds"] is not False for row in rows)
    return {row["measure"]: row for row in rows}


@pytest.mark.parametrize(
    ("section", "measure"),
    [
        ("privacy", "epsilon, sigma 4, 20 rounds of everyone"),
        ("membership", "epsilon spent by the coordinator's ledger"),
    ],
)
def test_what_needs_no_size_is_judged_in_quick_runs_as_well(section: str, measure: str, tmp_path: Path) -> None:
    assert rows_of(section, tmp_path / "rows.json")[measure]["holds"] is True


@pytest.mark.parametrize(
    "section",
    [
        "secagg",
        "tutorial",
        *(
            pytest.param(section, marks=pytest.mark.slow)
            for section in ("card", "compression", "faults", "byzantine", "handbook", "fraud-kinds")
        ),
    ],
)
def test_a_section_runs_prints_and_writes_its_rows(section: str, tmp_path: Path) -> None:
    assert rows_of(section, tmp_path / "rows.json")
