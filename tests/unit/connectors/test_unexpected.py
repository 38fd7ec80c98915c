"""No traceback reaches a user from a connector, and no value of a row: whatever any library raises at any call becomes a sentence."""

import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kafka.errors
import pyarrow as pa
import pymongo.errors
import pymysql.err
import pytest
import sqlalchemy.exc
import structlog.testing
from bson.errors import InvalidBSON

from connectors import assembly
from connectors.unexpected import guard
from contract.errors import TillguardError, UnexpectedError
from support.connector_parts import Bench, MemorySource, row
from tillguard import cli

SECRET = "Anna Schmidt"
ERRORS: list[Exception] = [
    ValueError(SECRET), KeyError(SECRET), TypeError(SECRET), IndexError(SECRET), AttributeError(SECRET), AssertionError(SECRET),
    OverflowError(SECRET), ZeroDivisionError(SECRET), RuntimeError(SECRET), StopIteration(SECRET), EOFError(SECRET), OSError(28, "No space left on device"),
    ConnectionResetError(104, "Connection reset by peer"), TimeoutError(SECRET), MemoryError(SECRET), RecursionError(SECRET),
    UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET), struct.error(SECRET), LookupError(SECRET), NotImplementedError(SECRET),
    InvalidBSON(SECRET), pymongo.errors.InvalidOperation(SECRET), pymongo.errors.AutoReconnect(SECRET),
    pymysql.err.InternalError(1, SECRET), pymysql.err.InterfaceError(0, SECRET), pymysql.err.DataError(SECRET),
    pa.ArrowInvalid(SECRET), pa.ArrowNotImplementedError(SECRET), pa.ArrowMemoryError(SECRET),
    kafka.errors.KafkaError(SECRET), kafka.errors.KafkaTimeoutError(SECRET), sqlalchemy.exc.InvalidRequestError(SECRET),
]  # fmt: skip
HISTORY = [row(number, change="read", phase="snapshot") for number in range(1, 6)]
STREAM = [row(number) for number in range(6, 12)]


class Raising:
    """Another object of which one method raises from its `after`-th call on; generators raise between their items."""

    def __init__(self, inner: Any, method: str, error: Exception, after: int) -> None:
        self._inner, self._method, self._error, self._left = inner, method, error, after

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method:
            return found
        return self._items if name in ("snapshot", "stream") else self._call(found)

    def _items(self, start: Any) -> Iterator[Any]:
        for item in getattr(self._inner, self._method)(start):
            self._count()
            yield item
        self._count()

    def _call(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self._count()
            return inner(*arguments)

        return call

    def _count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise self._error


PORTS = [
    ("source", "check"), ("source", "read_snapshot"), ("source", "read_stream"), ("source", "acknowledge"), ("source", "close"),
    ("sink", "send"), ("sink", "count_confirmed"), ("sink", "flush"), ("store", "load"), ("store", "save"),
]  # fmt: skip


def pairs_of_calls_and_errors() -> list[Any]:
    """Every call with every fourth error, so that each error meets two calls at least; the others are slow in their sum."""
    return [
        pytest.param(
            part,
            method,
            error,
            marks=[] if number % 4 == at % 4 else [pytest.mark.slow],
            id=f"{part}.{method}-{type(error).__name__}",
        )
        for at, (part, method) in enumerate(PORTS)
        for number, error in enumerate(ERRORS)
    ]


@pytest.mark.parametrize(("part", "method", "error"), pairs_of_calls_and_errors())
def test_whatever_a_port_raises_ends_the_run_with_a_sentence_and_saves_nothing_undelivered(
    part: str, method: str, error: Exception
) -> None:
    for after in (0, 3):
        bench = Bench(MemorySource(HISTORY, STREAM))
        setattr(bench, part, Raising(getattr(bench, part), method, error, after))
        try:
            bench.runner().run(until_caught_up=True)
        except TillguardError as ended:
            assert SECRET not in str(ended)  # noqa: PT017 - whether it ends depends on how often the method is called
            assert isinstance(ended, UnexpectedError)  # noqa: PT017
            assert "something unforeseen" in str(ended)  # noqa: PT017
            assert ended.__cause__ is None  # noqa: PT017
        position = bench.store.saved["orders"].position if "orders" in bench.store.saved else None
        if position is not None and position.stage == "stream":
            assert {str(number) for number in range(1, 6 + int(position.text))} <= set(bench.ids())


def test_the_log_has_the_frames_and_no_data() -> None:
    structlog.reset_defaults()  # another test's level would hide the lines
    with (
        structlog.testing.capture_logs() as lines,
        pytest.raises(UnexpectedError) as ended,
        guard("connector orders"),
    ):
        dict[str, int]()[SECRET]
    assert SECRET not in str(lines) + str(ended.value)
    assert any("test_unexpected.py" in frame for frame in lines[0]["frames"])
    assert lines[0]["log_level"] == "debug"


FILES = {
    "mysql": "name: orders\nsource: {kind: mysql, host: 127.0.0.1, port: 1, user: u, password: p, database: shop}\ntransactions:\n  table: orders\n",
    "mongodb": "name: orders\nsource: {kind: mongodb, host: 127.0.0.1, port: 1, database: shop}\ntransactions:\n  collection: orders\n",
    "file": "name: orders\nsource: {kind: file, path: orders.csv}\ntransactions:\n",
}
FIELDS = "  fields: {transaction_id: id, event_time: at, amount: total, currency: {constant: EUR}}\n"
CALLS = {"mysql": "pymysql.connect", "mongodb": "pymongo.MongoClient", "file": "csv.reader"}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A retailer's folder with one connector of each kind; the command line's streams are put back afterwards."""
    folder = tmp_path / "connectors"
    folder.mkdir()
    for kind, text in FILES.items():
        (folder / f"{kind}.yaml").write_text(text + FIELDS)
    (folder / "orders.csv").write_text("id,at,total\n1,2026-04-01T00:00:00,5\n")
    (tmp_path / "settings.yaml").write_text(
        f"retailer: shop\nconnectors: {{positions_url: 'sqlite:///{tmp_path / 'positions.db'}'}}\n"
    )
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    return tmp_path


def ended(shop: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["tillguard", *arguments, "--config", str(shop / "settings.yaml")])
    with pytest.raises(SystemExit) as code:
        cli.main()
    return int(code.value.code or 0)


@pytest.mark.parametrize("kind", FILES)
def test_every_error_of_a_library_is_a_sentence_on_the_command_line(
    kind: str, shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in ERRORS[::3]:

        def fail(*_: Any, error: Exception = error, **__: Any) -> Any:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(CALLS[kind], fail)
            code = ended(shop, patch, "connector", "check", str(shop / "connectors" / f"{kind}.yaml"))
        shown = capsys.readouterr()
        assert code in (1, 2), f"{error!r}: {shown}"
        assert "Traceback" not in shown.err
        assert shown.err.startswith("tillguard: ")
        if kind != "mysql":  # the server's own words on a refused connection help, and hold no row
            assert SECRET not in shown.err


@pytest.mark.parametrize("method", ["check", "sample", "close"])
@pytest.mark.parametrize("error", ERRORS[:8], ids=lambda error: type(error).__name__)
def test_an_odd_source_cannot_show_a_traceback_either(
    method: str, error: Exception, shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    source = Raising(MemorySource(HISTORY, STREAM), method, error, 0)
    monkeypatch.setattr(assembly, "build_source", lambda *_, **__: source)
    code = ended(shop, monkeypatch, "connector", "check", str(shop / "connectors" / "mysql.yaml"))
    shown = capsys.readouterr()
    assert code == 1
    assert SECRET not in shown.err
    assert type(error).__name__ in shown.err


def test_a_port_that_is_taken_and_a_position_that_is_broken_are_told(
    shop: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import socket
    import sqlite3

    file = str(shop / "connectors" / "file.yaml")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert ended(shop, monkeypatch, "connector", "run", file, "--web-port", port) == 2
    assert "cannot listen" in capsys.readouterr().err
    with sqlite3.connect(shop / "positions.db") as store:
        store.execute(
            "INSERT INTO connector_positions VALUES ('shop', 'orders', 'stream', '{}', 'no JSON', 'x', 0, 1, 'yesterday')"
        )
    assert ended(shop, monkeypatch, "connector", "positions", "show") == 1
    assert "Traceback" not in capsys.readouterr().err


def test_an_error_of_ours_passes_unchanged() -> None:
    with pytest.raises(TillguardError, match="as it is"), guard("x"):
        raise TillguardError("as it is")
