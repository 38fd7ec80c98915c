"""What a binary log brings besides rows: schema changes, large and rolled back transactions, silence, other tables."""

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from connectors.config.connector_file import parse
from connectors.mapping.mapper import Mapper
from connectors.mysql import server
from connectors.mysql.source import MysqlSource
from connectors.ports import Checkpoint, Extent, Item, Position, Row
from connectors.running.health import Vitals
from connectors.running.runner import Runner
from contract.clock import SystemClock
from contract.errors import ConfigurationError, TransientError
from contract.metrics import Metrics
from support.connector_parts import MemorySink, MemoryStore, admission, tokens
from support.connector_worlds import MysqlWorld

pytestmark = pytest.mark.integration


@pytest.fixture
def place(stack: Any) -> Iterator[MysqlWorld]:
    made = MysqlWorld(stack.endpoints["mariadb"])
    yield made
    made.close()


def run(place: MysqlWorld, sink: MemorySink, store: MemoryStore) -> None:
    """One run of the connector until it has caught up."""
    mapper = place.mapper()
    Runner(
        mapper=mapper,
        source=place.source(),
        sink=sink,
        store=store,
        clock=SystemClock(),
        metrics=Metrics(),
        vitals=Vitals(started_s=0.0),
        stop=threading.Event(),
    ).run(until_caught_up=True)


def keys(sink: MemorySink, kind: str) -> list[str]:
    return [message.key.decode() for message in sink.messages if message.topic == f"shop.{kind}.v1"]


def stream(place: MysqlWorld, start: Position) -> list[Item]:
    found: list[Item] = []
    source = place.source()
    items = source.read_stream(start)
    for item in items:
        found.append(item)
        if isinstance(item, Checkpoint) and item.idle:
            break
    items.close()  # type: ignore[attr-defined]
    source.close()
    return found


def begin(place: MysqlWorld) -> Position:
    source = place.source()
    last = list(source.read_snapshot(None))[-1]
    source.close()
    assert isinstance(last, Checkpoint)
    return last.position


def test_new_columns_change_nothing_and_a_retyped_one_sends_rows_to_dead_letters(place: MysqlWorld) -> None:
    sink, store = MemorySink(), MemoryStore()
    place.write([1])
    run(place, sink, store)
    place.execute("ALTER TABLE orders ADD COLUMN shoe_size INT FIRST")
    place.execute("INSERT INTO orders (id, placed_at, total) VALUES (2, '2026-04-01', 5)")
    run(place, sink, store)
    assert keys(sink, "transactions") == ["1", "2"]
    place.execute("ALTER TABLE orders MODIFY total VARCHAR(20)")
    place.execute("INSERT INTO orders (id, placed_at, total) VALUES (3, '2026-04-01', '5')")
    run(place, sink, store)
    place.execute("ALTER TABLE orders DROP COLUMN total")
    place.execute("INSERT INTO orders (id, placed_at) VALUES (4, '2026-04-01')")
    run(place, sink, store)
    assert keys(sink, "transactions") == ["1", "2"]
    assert [key.rsplit(":", 2)[1:] for key in keys(sink, "dead-letters")] == [
        ["3", "schema_changed"],
        ["4", "schema_changed"],
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE DATABASE {other} CHARACTER SET utf8mb4",
        "CREATE DATABASE {other}; ALTER DATABASE {other} CHARACTER SET latin1",
        "SET character_set_collations = 'utf8mb4=uca1400_ai_ci'; CREATE DATABASE {other}",
        "SET time_zone = '+02:00'; SET auto_increment_increment = 7; SET lc_time_names = 'de_DE'; CREATE DATABASE {other}",
    ],
)
def test_statements_in_other_databases_under_whatever_settings_stop_nothing(place: MysqlWorld, statement: str) -> None:
    start, other = begin(place), f"{place.database}_other"
    try:
        for part in statement.format(other=other).split("; "):
            place.execute(part)
        place.write([1])
        assert [item.values["id"] for item in stream(place, start) if isinstance(item, Row)] == [1]
    finally:
        place.execute(f"DROP DATABASE {other}")


def test_every_row_is_read_by_the_columns_its_table_had_then(place: MysqlWorld) -> None:
    start = begin(place)
    insert = "INSERT INTO orders (id, placed_at, total, customer_id) VALUES ({0}, '2026-04-01', {0}, 'c{0}')"
    changes = [
        "SELECT 1",
        "ALTER TABLE orders ADD COLUMN shoe_size INT FIRST",
        "FLUSH TABLES",
        "FLUSH BINARY LOGS",
        "ALTER TABLE orders MODIFY total DECIMAL(20,4) AFTER shoe_size",
        "ALTER TABLE orders MODIFY customer_id VARCHAR(80) FIRST, ALGORITHM=COPY",
        "CREATE TABLE _orders_new (total INT, customer_id TEXT, id BIGINT PRIMARY KEY, placed_at DATETIME)",
        "RENAME TABLE orders TO _orders_old, _orders_new TO orders",
        "INSERT INTO _orders_old (id, total) VALUES (99, 99)",
        "DROP TABLE orders",
        "CREATE TABLE orders (placed_at DATETIME, id INT PRIMARY KEY, customer_id CHAR(9), total FLOAT)",
        "TRUNCATE orders",
    ]
    expected = []
    for number, change in enumerate(changes, start=1):
        place.execute(change)
        if number in (7, 10):  # the table is not there, or not yet the new one
            continue
        place.execute(insert.format(number))
        expected.append((number, number, f"c{number}"))
    rows = [item.values for item in stream(place, start) if isinstance(item, Row)]
    assert [(row["id"], row["total"], row["customer_id"]) for row in rows] == expected


def test_rows_after_a_crash_of_the_server_are_not_taken_for_those_of_another_table(own_stack: Any) -> None:
    place = MysqlWorld(own_stack.endpoints["mariadb"])
    start = begin(place)
    place.write([1])
    for number in range(20):
        place.execute(f"CREATE TABLE other_{number} LIKE orders")
    own_stack.kill("mariadb")
    again = own_stack.restart("mariadb")
    place.connection = pymysql.connect(
        host=again.host,
        port=again.port,
        user=again.user,
        password=again.password,
        database=place.database,
        autocommit=True,
    )
    for number in range(20):  # one of them gets the number that the log knew the orders by
        place.execute(f"INSERT INTO other_{number} (id) VALUES (7)")
    place.write([2])
    assert [item.values["id"] for item in stream(place, start) if isinstance(item, Row)] == [1, 2]
    place.close()


def test_rows_of_a_transaction_that_was_rolled_back_never_come(place: MysqlWorld) -> None:
    start = begin(place)
    place.execute("BEGIN")
    place.write([1, 2])
    place.execute("ROLLBACK")
    place.execute("BEGIN")
    place.write([3])
    place.execute("SAVEPOINT here")
    place.write([4])
    place.execute("ROLLBACK TO here")
    place.write([5])
    place.execute("COMMIT")
    assert [item.values["id"] for item in stream(place, start) if isinstance(item, Row)] == [3, 5]


def test_positions_lie_between_transactions_only(place: MysqlWorld) -> None:
    start = begin(place)
    place.execute("BEGIN")
    place.write(range(100))
    place.execute("COMMIT")
    place.write([100])
    found = stream(place, start)
    first = next(i for i, item in enumerate(found) if isinstance(item, Row))
    inside = found[first : first + 100]
    assert all(not isinstance(item, Checkpoint) for item in inside)
    for number, item in enumerate(found):
        if isinstance(item, Checkpoint):
            rest = {each.values["id"] for each in stream(place, item.position) if isinstance(each, Row)}
            seen = {each.values["id"] for each in found[:number] if isinstance(each, Row)}
            assert seen | rest == set(range(101))


def test_the_position_moves_on_while_only_other_tables_are_written(place: MysqlWorld) -> None:
    start = begin(place)
    for _ in range(3):
        place.execute("INSERT INTO bystanders (x) VALUES ('y')")
    last = stream(place, start)[-1]
    assert isinstance(last, Checkpoint)
    assert last.position != start


def test_a_character_that_is_none_refuses_its_row_only(place: MysqlWorld) -> None:
    sink, store = MemorySink(), MemoryStore()
    place.execute("ALTER TABLE orders MODIFY customer_id VARCHAR(40) CHARACTER SET greek")
    run(place, sink, store)
    place.write([1])
    place.execute("INSERT INTO orders (id, placed_at, total, customer_id) VALUES (2, '2026-04-01', 5, 0x63D2)")
    place.write([3])
    run(place, sink, store)
    assert keys(sink, "transactions") == ["1", "3"]
    assert keys(sink, "dead-letters")[0].endswith(":2:encoding")


def test_labels_and_updates_follow_their_rules_from_the_log(place: MysqlWorld) -> None:
    sink, store = MemorySink(), MemoryStore()
    place.write([1, 2])
    run(place, sink, store)
    place.execute("UPDATE orders SET total = 99 WHERE id = 1")
    place.execute("UPDATE orders SET is_fraud = 0")
    place.execute("UPDATE orders SET is_fraud = 1 WHERE id = 2")
    run(place, sink, store)
    assert keys(sink, "transactions") == ["1", "2"]
    assert keys(sink, "labels") == ["1", "2", "2"]


class Proxy:
    """Passes bytes between a client and a server until it is told to fall silent."""

    def __init__(self, port: int) -> None:
        self._server = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.silent = threading.Event()
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        for each in self._sockets:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
            finally:
                each.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._server))
            self._sockets += [client, server]
            for source, target in ((client, server), (server, client)):
                thread = threading.Thread(target=self._pass, args=(source, target))
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                if not self.silent.is_set():
                    target.sendall(data)
        except OSError:
            return


def test_a_server_that_falls_silent_is_noticed(place: MysqlWorld, stack: Any) -> None:
    port = stack.endpoints["mariadb"].port
    proxy = Proxy(port)
    text = place.text.replace(f"port: {port}", f"port: {proxy.port}").replace("silent_after_s: 20", "silent_after_s: 1")
    config = parse(text, "proxy.yaml")
    mapper = Mapper(config, admission(), tokens())
    assert config.source.kind == "mysql"
    assert config.source.password is not None
    source = MysqlSource(config, config.source, config.source.password.get_secret_value(), mapper.list_columns)
    try:
        items = source.read_stream(begin(place))
        assert isinstance(next(items), Checkpoint)
        proxy.silent.set()
        began = time.monotonic()
        with pytest.raises(TransientError, match="silent for too long"):
            list(items)
        assert time.monotonic() - began < 30
    finally:
        source.close()
        proxy.close()


def test_a_user_without_rights_is_told_which_it_needs(place: MysqlWorld, stack: Any) -> None:
    user = f"u{place.database}"
    place.execute(f"CREATE USER {user}@'%' IDENTIFIED BY 'p'")
    place.execute(f"CREATE USER {user}@'127.0.0.1' IDENTIFIED BY 'p'")
    place.execute(f"GRANT SELECT ON {place.database}.* TO {user}@'127.0.0.1'")
    source_line = next(line for line in place.text.splitlines() if "password:" in line)
    user_line = next(line for line in place.text.splitlines() if " user:" in line)
    text = place.text.replace(source_line, "  password: p").replace(user_line, f"  user: {user}")
    config = parse(text, "poor.yaml")
    assert config.source.kind == "mysql"
    mapper = Mapper(config, admission(), tokens())
    source = MysqlSource(config, config.source, "p", mapper.list_columns)
    try:
        with pytest.raises(ConfigurationError, match="GRANT SELECT ON"):
            source.check()
    finally:
        place.execute(f"DROP USER {user}@'127.0.0.1'")
        place.execute(f"DROP USER {user}@'%'")


def test_a_table_that_takes_long_to_count_is_estimated_by_the_server_and_a_failure_fails_nothing(
    place: MysqlWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    def extents() -> list[Extent]:
        source = place.source()
        found = list(source.read_snapshot(None))
        source.close()
        assert sum(isinstance(item, Row) for item in found) == 30
        return [item for item in found if isinstance(item, Extent)]

    place.write(range(30))
    place.execute("ANALYZE TABLE orders")
    monkeypatch.setattr(server, "COUNTED_ROWS_MAX", 10)
    (estimated,) = extents()
    assert estimated.rows is not None
    assert 10 <= estimated.rows <= 60
    monkeypatch.setattr(server, "COUNTED_ROWS_MAX", "no number")
    assert [extent.rows for extent in extents()] == [None]
