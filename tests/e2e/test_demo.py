"""The demonstration as a user starts it, small; and what is left of it afterwards."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from demo.federation.adversary import ATTACKS
from demo.telling.comparison import LABEL_CAUSES
from simulator.sales import KINDS
from support import forked

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1_000)]

DATA = Path(os.environ.get("TILLGUARD_DATA", "../shared/data"))
REQUIRED = (
    "transactions_in", "verdicts", "dead_letters", "unaccounted", "disagreeing_redeliveries", "latency_ms", "decisions",
    "recall_by_kind",
)  # fmt: skip


def start(state: Path, *arguments: str) -> subprocess.Popen[str]:
    """`tillguard demo`, small, in a state folder of its own; Ctrl-C reaches it even where the tests run in a shell's background."""
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "tillguard", "demo", *arguments],
        env={**os.environ, "TILLGUARD_STATE": str(state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def processes_of(state: Path) -> list[str]:
    """Command lines of running processes that name the state folder or carry it in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            command, environment = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if command and str(state).encode() in command + environment:
            found.append(command.replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state folder; its servers are stopped even when the test fails."""
    folder = tmp_path / "state"
    yield folder
    from embedded.stack import Stack

    Stack(folder).stop()


def the_new_fraud_was_learned(act: dict[str, Any]) -> None:
    assert act["unaccounted"] == act["dead_letters"] == 0
    assert act["transactions_in"] == act["verdicts"] >= 1_400
    assert act["recall"]["before"]["frauds"] == 105
    assert act["labels"] > act["labels_of_new_fraud"] >= 105
    assert act["gate"]["outcome"] == "published", act["gate"]
    assert "average precision" in act["gate"]["sentence"]
    assert act["models"]["new"] not in {None, act["models"]["first"]}
    assert act["recall"]["after"]["frauds"] >= 100
    assert act["recall"]["after"]["share"] > act["recall"]["before"]["share"] + 0.2
    assert act["seconds_from_labels_to_publication"] > 0


def somebody_learned_from_others_and_the_bad_member_changed_nothing(act: dict[str, Any]) -> None:
    assert set(act["retailers"]) == {"cedar", "dogwood", "elm"}
    assert [line["outcome"] for line in act["rounds"]] == [f"model {number}" for number in range(1, 5)]
    for line in act["rounds"]:
        assert line["participants"] == 3
        assert line["milliseconds"] == line["learning_ms"] + line["combining_ms"] > 0
        # a masked update has four bytes a number, whatever is in it
        assert all(700_000 < size < 1_000_000 for size in line["bytes_up"].values())
        assert line["bytes_down_each"] > 700_000
    assert [line["privacy"]["level"] for line in act["rounds"]] == ["none", "none", "none", "client"]
    assert 4 < act["privacy"]["epsilon"] < 5
    assert act["retailers"]["elm"]["newcomer"]
    for each in act["retailers"].values():
        assert not set(each["seen"]) & set(each["never_seen"])
        assert each["recall"]["never_seen"]["frauds"] > 20
        assert each["choices"]["4"] == "local", "a model drowned in noise is taken by nobody"
        if set(each["choices"].values()) == {"local"}:
            assert each["models"]["before"] == each["models"]["after"]
            assert each["recall"]["never_seen"]["before"] == each["recall"]["never_seen"]["after"]
        else:
            assert each["models"]["before"] != each["models"]["after"]
    gains = [
        each["recall"]["never_seen"]["after"] - each["recall"]["never_seen"]["before"]
        for each in act["retailers"].values()
    ]
    assert max(gains) > 0.1, gains
    assert set(act["bad_member"]["sent"]) == set(ATTACKS)
    assert all(count >= 4 for count in act["bad_member"]["sent"].values()), "in every round"
    assert act["dropped_in_all"] >= act["bad_member"]["sent_in_all"]
    assert {"unsigned", "oversized", "time", "malformed", "refused", "unknown_sender"} <= set(act["dropped"])
    assert act["bad_member"]["rounds_that_counted_it"] == 0
    assert act["ledger"]["holds"]
    assert act["ledger"]["records_of_others"] == 0


def test_a_small_demo_accounts_for_every_transaction_and_leaves_no_process_behind(state: Path, tmp_path: Path) -> None:
    summary, report = tmp_path / "summary.json", tmp_path / "report.html"
    demo = start(
        state, "--acts", "3", "--history", "3000", "--transactions", "600", "--rate", "60", "--seed", "11",
        "--json", str(summary), "--report", str(report),
    )  # fmt: skip
    output, _ = demo.communicate(timeout=960)
    assert demo.returncode == 0, output
    figures = msgspec.json.decode(summary.read_bytes())
    assert set(REQUIRED) <= set(figures)
    assert figures["transactions_in"] == 600
    assert figures["verdicts"] + figures["dead_letters"] == 600
    assert figures["unaccounted"] == figures["disagreeing_redeliveries"] == figures["strangers"] == 0
    assert figures["history"] == {"transactions_in": 6000, "verdicts": 6000, "dead_letters": 0, "unaccounted": 0}
    assert figures["redeliveries"] > 0
    assert sum(figures["decisions"].values()) == figures["verdicts"]
    assert set(figures["recall_by_kind"]) == set(KINDS)
    assert figures["latency_ms"]["p50"] > 0
    assert figures["late"] == 0
    assert figures["replayed"]["compared"] == figures["verdicts"]
    assert figures["replayed"]["different"] == 0, figures["replayed"]
    # two of the shops' faults per kind, at the least one of each
    assert figures["dead_letters"] >= 13
    assert {"amount_invalid", "currency_unknown", "time_future", "oversized"} <= set(figures["dead_letters_by_reason"])
    the_new_fraud_was_learned(figures["second_act"])
    somebody_learned_from_others_and_the_bad_member_changed_nothing(figures["third_act"])
    assert "every signature and link holds" in re.sub(r"\s+", " ", output)
    assert not re.findall(r"https?://", report.read_text(encoding="utf-8"))
    assert "Every transaction is accounted for" in re.sub(r"\s+", " ", output)
    assert processes_of(state) == []
    assert (state / "retailers" / "alder" / "connectors" / "alder-orders.yaml").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_an_interrupted_demo_stops_everything_that_it_started(state: Path, number: signal.Signals) -> None:
    demo = start(state, "--history", "3000")  # no training ends before the signal comes, so soon does it come
    connector_log = state / "logs" / "demo" / "birch-train.log"
    deadline = time.monotonic() + 240
    while not connector_log.exists() and demo.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert connector_log.exists(), demo.communicate(timeout=60)[0]
    demo.send_signal(number)
    output, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130, output
    assert "everything that was started has been stopped" in re.sub(r"\s+", " ", output)
    assert processes_of(state) == []


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--data", "nowhere.parquet"], "does not exist"),
        (["--data", "README.md"], "--data expects"),
        (["--rows", "5000"], "--data FILE"),
        (["--seconds", "5", "--transactions", "100"], "give one of the two"),
        (["--json", "README.md/summary.json"], "cannot be written"),
    ],
)
def test_a_wrong_wish_is_answered_in_one_sentence_before_anything_starts(
    state: Path, arguments: list[str], fault: str
) -> None:
    demo = forked.tillguard("demo", *arguments, environment={"TILLGUARD_STATE": str(state)})
    output = demo.stdout + demo.stderr
    assert demo.returncode == 2
    assert output.startswith("tillguard: ")
    assert fault in output
    assert len(output.strip().splitlines()) == 1
    assert not (state / "stack.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["handbook.parquet", "ecommerce-2024.parquet"])
def test_a_real_file_is_accounted_for_as_well(state: Path, tmp_path: Path, name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not there")
    summary = tmp_path / "summary.json"
    demo = start(state, "--data", str(DATA / name), "--rows", "12000", "--transactions", "2000", "--json", str(summary))
    output, _ = demo.communicate(timeout=580)
    assert demo.returncode == 0, output
    figures = msgspec.json.decode(summary.read_bytes())
    assert figures["transactions_in"] == 2000
    assert figures["unaccounted"] == figures["history"]["unaccounted"] == figures["disagreeing_redeliveries"] == 0
    assert figures["late"] == figures["verdicts"]
    replayed = figures["replayed"]
    assert replayed["compared"] == figures["verdicts"]
    assert set(replayed["causes"]) <= set(LABEL_CAUSES), "what differs is on its way from a label to the workers"
    assert replayed["different"] < replayed["compared"] / 10
    assert replayed["average_precision_served"] > replayed["average_precision_replayed"] - 0.03
    assert "second_act" not in figures
    assert "third_act" not in figures
    assert processes_of(state) == []
