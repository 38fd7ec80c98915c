import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from runtime import processes
from runtime.processes import Identity

WAITING = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(3)); print('ready', flush=True); signal.pause()"


@dataclass
class Started:
    identity: Identity
    log: Path


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    command = [sys.executable, "-c", WAITING, str(tmp_path / "marker")]
    log = tmp_path / "out.log"
    identity = processes.spawn(command, dict(os.environ), log, tmp_path, die_with_parent=True)
    yield Started(identity, log)
    processes.send(identity, signal.SIGKILL)
    assert processes.wait(identity, 30)


def test_a_started_process_is_recognised_until_it_ends(started: Started) -> None:
    assert processes.is_alive(started.identity)
    assert not processes.wait(started.identity, 0.05)
    processes.send(started.identity, signal.SIGKILL)
    assert processes.wait(started.identity, 30)
    assert not processes.is_alive(started.identity)


@pytest.mark.parametrize("change", [{"started_ticks": 1}, {"boot_id": "another boot"}, {"command": ("other",)}])
def test_another_process_under_the_same_pid_is_not_ours(started: Started, change: dict[str, object]) -> None:
    assert not processes.is_alive(msgspec.structs.replace(started.identity, **change))


@pytest.mark.parametrize("change", [{"started_ticks": 1}, {"boot_id": "another boot"}])
def test_another_process_under_the_same_pid_is_not_signalled(started: Started, change: dict[str, object]) -> None:
    stranger = msgspec.structs.replace(started.identity, **change)
    processes.send(stranger, signal.SIGKILL)
    assert processes.wait(stranger, 0)
    assert processes.is_alive(started.identity)


def test_a_process_is_found_by_an_argument_that_only_it_carries(started: Started, tmp_path: Path) -> None:
    assert [found.pid for found in processes.find(str(tmp_path / "marker"))] == [started.identity.pid]
    assert processes.find(str(tmp_path / "mark")) == []


def test_a_program_that_ends_at_once_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "fails"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o700)
    with pytest.raises(OSError, match="ended at once"):
        processes.spawn([str(script)], {}, tmp_path / "log", tmp_path, die_with_parent=False)


def test_a_program_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        processes.spawn([str(tmp_path / "none")], {}, tmp_path / "log", tmp_path, die_with_parent=False)


def test_a_finished_child_that_nobody_waited_for_is_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    seen = processes.identify(child.pid)
    assert seen is not None
    assert child.stdin is not None
    child.stdin.close()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not processes.is_alive(seen)
    child.wait()


def test_a_pid_that_never_was_has_no_identity() -> None:
    assert processes.identify(2**22 + 1) is None
