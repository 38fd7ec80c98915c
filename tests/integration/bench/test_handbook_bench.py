"""The benchmark of detection quality works, on a small world of its own; its figures are judged by nobody here."""

import json
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from contract.errors import ConfigurationError

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
FIRST = datetime(2019, 3, 1)  # noqa: DTZ001 - the file's times have no zone
FOLD = FIRST + timedelta(days=15)
DAYS = 43
"""Two weeks of history, and two folds."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Customers who pay twice a day, mostly little; frauds are large, and some terminals are compromised."""
    chance = np.random.default_rng(5)
    rows = 200 * DAYS
    seconds = np.sort(chance.integers(0, DAYS * 86_400, rows))
    terminal = chance.integers(0, 80, rows)
    amount = chance.gamma(2.0, 20.0, rows).round(2)
    large = chance.random(rows) < 0.01
    amount[large] += 220
    compromised = (terminal % 20 == (seconds // 86_400) // 10) & (chance.random(rows) < 0.8)
    scenario = np.where(large, 1, np.where(compromised, 2, 0))
    file = tmp_path_factory.mktemp("world") / "payments.parquet"
    table = {
        "TX_DATETIME": [FIRST + timedelta(seconds=int(second)) for second in seconds],
        "CUSTOMER_ID": chance.integers(0, 300, rows),
        "TERMINAL_ID": terminal,
        "TX_AMOUNT": amount,
        "TX_FRAUD": (scenario > 0).astype(np.int64),
        "TX_FRAUD_SCENARIO": scenario,
    }
    parquet.write_table(pa.table(table), file)
    return file


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench.handbook", "--quick", "--threads", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def test_the_benchmark_runs_on_any_weeks_and_writes_its_rows(world: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = run("--data", str(world), "--first-fold", f"{FOLD:%Y-%m-%d}", "--json", str(file))
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {row["measure"]: row for row in json.loads(file.read_text())}
    for model in ("network", "XGBoost"):
        for history in ("7 days", "all history"):
            for measure in ("AUC ROC", "average precision", "card precision@100"):
                assert 0 <= rows[f"{model}, {history}, {measure}"]["value"] <= 1
            assert rows[f"{model}, {history}, average precision, amount above 220"]["value"] > 0.2
    best = rows["network, all history, average precision"]
    assert best["baseline"] == rows["XGBoost, all history, average precision"]["value"]
    assert best["holds"] is None
    assert "neural network, published" in done.stdout


@pytest.mark.slow
def test_learning_week_after_week_runs_beside_learning_anew(world: Path, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    done = run("--incremental", "--data", str(world), "--first-fold", f"{FOLD:%Y-%m-%d}", "--json", str(file))
    assert done.returncode == 0, done.stderr[-3000:]
    rows = {row["measure"]: row for row in json.loads(file.read_text())}
    assert rows["incremental, average precision, mean of the later folds"]["target"] == ">= again - 0.005"
    assert rows["incremental, training"]["ratio"] > 0


def refusal(*arguments: str) -> str:
    """Asked in this process: TensorFlow takes its time to begin, and is here already."""
    from bench.handbook.__main__ import parse_options, prepare

    with pytest.raises(ConfigurationError) as refused:
        prepare(parse_options(["--quick", *arguments]))
    return str(refused.value)


def test_weeks_that_the_file_does_not_hold_and_files_of_another_kind_are_refused(world: Path, tmp_path: Path) -> None:
    assert "fold 2019-05-01" in refusal("--data", str(world), "--first-fold", "2019-05-01")
    assert "its training week holds no fraud" in refusal("--data", str(world), "--first-fold", "2018-05-01")
    assert "ends before its test week" in refusal(
        "--data", str(world), "--first-fold", f"{FIRST + timedelta(25):%Y-%m-%d}"
    )
    assert "does not exist" in refusal("--data", str(tmp_path / "absent.parquet"))
    other = tmp_path / "other.parquet"
    parquet.write_table(pa.table({"a": [1]}), other)
    assert "TX_DATETIME" in refusal("--data", str(other))
    table = parquet.read_table(world)
    holes = table.set_column(1, "CUSTOMER_ID", pa.array([None] * len(table), pa.int64()))
    parquet.write_table(holes, other)
    assert "CUSTOMER_ID" in refusal("--data", str(other))


def test_data_that_is_not_the_books_is_refused_where_the_books_is_expected(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "handbook.parquet").write_bytes(world.read_bytes())
    monkeypatch.setenv("TILLGUARD_DATA", str(tmp_path))
    assert "instead of 67,240 and 598" in refusal()
