import stat
from pathlib import Path

import pytest

from embedded import ledger, logs
from embedded.errors import StackError
from embedded.ledger import Endpoint, Ledger, Record
from runtime.processes import Identity


def test_a_ledger_reads_as_it_was_written_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    endpoint = Endpoint("127.0.0.1", 6379, "redis://:secret@127.0.0.1:6379/0", password="secret")
    written = Ledger({"redis": Record(endpoint, Identity(7, 123, "boot", ("redis-server", "conf")), "redis.log")})
    ledger.write(file, written)
    assert ledger.read(file) == written
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["stack.json"]


def test_no_ledger_is_an_empty_one(tmp_path: Path) -> None:
    assert ledger.read(tmp_path / "stack.json") == Ledger()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"services": {"redis": {"endpoint": {"host": 1}}}}'])
def test_a_damaged_ledger_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "stack.json").write_text(text)
    with pytest.raises(StackError, match="delete it"):
        ledger.read(tmp_path / "stack.json")


def test_large_logs_move_aside_and_only_a_few_are_kept(tmp_path: Path) -> None:
    log = tmp_path / "redis.log"
    for generation in range(logs.GENERATIONS + 2):
        log.write_bytes(b"%d" % generation * logs.LOG_BYTES_MAX)
        logs.rotate(log)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["redis.log.1", "redis.log.2", "redis.log.3"]
    assert (tmp_path / "redis.log.1").read_bytes()[:1] == b"4"


def test_small_logs_stay(tmp_path: Path) -> None:
    log = tmp_path / "redis.log"
    log.write_text("one line\n")
    logs.rotate(log)
    assert log.exists()


def test_the_tail_quotes_the_last_lines_of_each_current_log(tmp_path: Path) -> None:
    (tmp_path / "kafka.log").write_text("".join(f"line {number}\n" for number in range(100)))
    (tmp_path / "kafka-server.log").write_text("the reason\n")
    (tmp_path / "redis.log").write_text("somebody else\n")
    quoted = logs.read_tail(tmp_path, "kafka")
    assert "kafka.log: line 99" in quoted
    assert "kafka-server.log: the reason" in quoted
    assert "line 10\n" not in quoted
    assert "somebody else" not in quoted
