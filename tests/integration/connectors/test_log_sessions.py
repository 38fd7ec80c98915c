"""Whatever a session sets on a real MySQL or MariaDB, and however its transactions end: no row is lost, doubled or made up."""

import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread
from typing import Any

import pymysql
import pytest

from connectors.ports import Checkpoint, Item, Position, Row, Rowless
from contract.errors import ConfigurationError, PositionDeadError
from support.connector_worlds import MysqlWorld
from support.mysql_stream import begin, ids, stream, unreadable

pytestmark = pytest.mark.integration
INSERT = "INSERT INTO orders (id, placed_at, total) VALUES ({0}, '2026-04-01 10:00:00', {0})"


def world(request: pytest.FixtureRequest, server: str, position_by: str) -> MysqlWorld:
    endpoint = (
        request.getfixturevalue("mysql_server").endpoint
        if server == "mysql"
        else request.getfixturevalue("stack").endpoints["mariadb"]
    )
    return MysqlWorld(endpoint, position_by=position_by)


@pytest.fixture(params=["mysql-gtid", "mysql-file", "mariadb-gtid", "mariadb-file"])
def place(request: pytest.FixtureRequest) -> Iterator[MysqlWorld]:
    """Both servers, with both kinds of positions."""
    server, _, position_by = request.param.partition("-")
    made = world(request, server, position_by)
    yield made
    made.close()


@pytest.fixture
def mysql(request: pytest.FixtureRequest) -> Iterator[MysqlWorld]:
    """MySQL with positions by GTID."""
    made = world(request, "mysql", "gtid")
    yield made
    made.close()


@contextmanager
def session(place: MysqlWorld, *settings: str) -> Iterator[Callable[[str], None]]:
    """A session of its own, under settings of its own."""
    source: Any = place.config().source
    connection = pymysql.connect(
        host=source.host,
        port=source.port,
        user=source.user,
        password=source.password.get_secret_value(),
        database=place.database,
        autocommit=True,
        local_infile=True,
    )

    def execute(statement: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement)

    with closing(connection):
        for setting in settings:
            execute(f"SET SESSION {setting}")
        yield execute


def lenient(place: MysqlWorld) -> None:
    """The connector file says to continue after what cannot be read."""
    place.text = place.text.replace("  database:", "  on_unreadable: dead_letter\n  database:")


def xa(execute: Callable[[str], None], name: str, *statements: str, end: str = "") -> None:
    for statement in (f"XA START '{name}'", *statements, f"XA END '{name}'", f"XA PREPARE '{name}'"):
        execute(statement)
    if end:
        execute(f"XA {end} '{name}'")


def test_distributed_transactions_come_when_they_are_committed_and_never_when_they_are_rolled_back(
    place: MysqlWorld,
) -> None:
    start = begin(place)
    with session(place) as one, session(place) as two:
        xa(one, "kept", INSERT.format(1), INSERT.format(2))
        place.write([3])
        xa(two, "dropped", INSERT.format(4), end="ROLLBACK")
        for statement in ("XA START 'at-once'", INSERT.format(5), "XA END 'at-once'", "XA COMMIT 'at-once' ONE PHASE"):
            two(statement)
    with session(place) as later:
        later("XA COMMIT 'kept'")
    found = stream(place, start)
    assert ids(found) == [3, 5, 1, 2]
    assert [item.why for item in found if isinstance(item, Rowless)] == ["rolled_back"]


def test_from_every_position_among_distributed_transactions_nothing_is_lost(place: MysqlWorld) -> None:
    start = begin(place)
    with session(place) as one, session(place) as two:
        xa(one, "slow", INSERT.format(1), INSERT.format(2))
        xa(two, "quick", INSERT.format(3), end="COMMIT")
        place.write([4])
    with session(place) as later:
        later("XA COMMIT 'slow'")
    place.write([5])
    found = stream(place, start)
    assert sorted(ids(found)) == [1, 2, 3, 4, 5]
    marks = [(number, item.position) for number, item in enumerate(found) if isinstance(item, Checkpoint)]
    assert len(marks) >= 4
    for number, position in marks:
        assert set(ids(found[:number])) | set(ids(stream(place, position))) == {1, 2, 3, 4, 5}


def test_a_transaction_prepared_before_the_snapshot_and_committed_after_it_comes(place: MysqlWorld) -> None:
    with session(place) as one:
        xa(one, "early", INSERT.format(1))
    place.execute("FLUSH BINARY LOGS")
    start = begin(place)
    with session(place) as later:
        later("XA COMMIT 'early'")
    place.write([2])
    assert ids(stream(place, start)) == [1, 2]


def test_a_part_that_was_rolled_back_to_a_savepoint_never_comes(place: MysqlWorld) -> None:
    start = begin(place)
    with session(place) as one:
        for statement in (
            "BEGIN", INSERT.format(1), "SAVEPOINT `a b`", INSERT.format(2), "SAVEPOINT c", INSERT.format(3),
            "ROLLBACK TO c", INSERT.format(4), "RELEASE SAVEPOINT c", "ROLLBACK TO `a b`", INSERT.format(5), "COMMIT",
        ):  # fmt: skip
            one(statement)
    assert ids(stream(place, start)) == [1, 5]


def test_a_definition_within_a_transaction_commits_it(place: MysqlWorld) -> None:
    start = begin(place)
    with session(place) as one:
        for statement in ("BEGIN", INSERT.format(1), "CREATE TABLE another (x INT)", INSERT.format(2), "ROLLBACK"):
            one(statement)
    assert ids(stream(place, start)) == [1, 2]


def test_compressed_transactions_are_read(place: MysqlWorld) -> None:
    start = begin(place)
    if "binlog_transaction_compression" in variables(place):
        with session(place, "binlog_transaction_compression = ON") as one:
            one(INSERT.format(1))
            for statement in ("BEGIN", INSERT.format(2), "UPDATE orders SET is_fraud = 1", "COMMIT"):
                one(statement)
            xa(one, "packed", INSERT.format(3), end="COMMIT")
    else:
        place.execute("SET GLOBAL log_bin_compress_min_len = 10")
        place.execute("SET GLOBAL log_bin_compress = ON")
        try:
            with session(place) as one:
                one(INSERT.format(1))
                for statement in ("BEGIN", INSERT.format(2), "UPDATE orders SET is_fraud = 1", "COMMIT"):
                    one(statement)
                xa(one, "packed", INSERT.format(3), end="COMMIT")
                one("CREATE TABLE a_definition_that_is_long_enough_to_be_compressed (x INT)")
        finally:
            place.execute("SET GLOBAL log_bin_compress = OFF")
            place.execute("SET GLOBAL log_bin_compress_min_len = DEFAULT")
    rows = [
        (item.change, item.values["id"], item.values["is_fraud"])
        for item in stream(place, start)
        if isinstance(item, Row)
    ]
    assert rows == [("insert", 1, None), ("insert", 2, None), ("update", 1, 1), ("update", 2, 1), ("insert", 3, None)]


def variables(place: MysqlWorld) -> set[str]:
    with place.connection.cursor() as cursor:
        cursor.execute("SHOW SESSION VARIABLES LIKE 'binlog%'")
        return {str(name) for name, _ in cursor.fetchall()}


@pytest.mark.parametrize("form", ["STATEMENT", "MIXED"])
def test_rows_that_a_session_logs_as_text_stop_the_connector_before_them(place: MysqlWorld, form: str) -> None:
    start = begin(place)
    place.write([1])
    with session(place, f"binlog_format = {form}") as one:
        one(INSERT.format(2))
    place.write([3])
    found: list[Item] = []
    source = place.source()
    items = source.read_stream(start)
    assert isinstance(items, Generator)
    with pytest.raises(ConfigurationError, match=r"binlog_format=STATEMENT") as told, closing(items):
        found.extend(items)
    assert ids(found) == [1]
    assert "on_unreadable: dead_letter" in str(told.value)
    lenient(place)
    found = stream(place, start)
    assert ids(found) == [1, 3]
    assert [(item.table, item.reason) for item in unreadable(found)] == [("orders", "unseen")]


def test_statements_as_text_that_write_to_other_databases_stop_nothing(place: MysqlWorld) -> None:
    other = f"{place.database}_other"
    place.execute(f"CREATE DATABASE {other}")
    try:
        place.execute(f"CREATE TABLE {other}.notes (id INT PRIMARY KEY, x INT)")
        start = begin(place)
        with session(place, "binlog_format = STATEMENT") as one:
            one(f"INSERT INTO {other}.notes VALUES (1, 1)")
            one(f"REPLACE INTO {other}.notes SELECT id, 5 FROM orders")
            one(f"UPDATE `{other}`.`notes` SET x = 2 WHERE id = 1")
            one(f"DELETE FROM {other}.notes WHERE id = 1")
        place.write([1])
        assert ids(stream(place, start)) == [1]
    finally:
        place.execute(f"DROP DATABASE {other}")


def test_a_partial_update_of_a_document_that_nobody_maps_leaves_the_label_readable(mysql: MysqlWorld) -> None:
    mysql.execute("ALTER TABLE orders ADD COLUMN notes JSON")
    mysql.execute(
        "INSERT INTO orders (id, placed_at, total, notes) VALUES (1, NOW(), 5, JSON_OBJECT('long', REPEAT('n', 60), 'n', 1))"
    )
    start = begin(mysql)
    with session(mysql, "binlog_row_value_options = PARTIAL_JSON") as one:
        one("UPDATE orders SET is_fraud = 1, notes = JSON_SET(notes, '$.n', 2) WHERE id = 1")
    (row,) = [item for item in stream(mysql, start) if isinstance(item, Row)]
    assert (row.change, row.values["is_fraud"]) == ("update", 1)


def test_columns_that_a_session_leaves_out_of_the_log_are_read_from_the_table(place: MysqlWorld) -> None:
    place.execute(
        "ALTER TABLE orders MODIFY currency CHAR(3) DEFAULT 'EUR', MODIFY email VARCHAR(80) DEFAULT 'a@b.example'"
    )
    start = begin(place)
    with session(place, "binlog_row_image = MINIMAL") as one:
        one(INSERT.format(1))
        one("UPDATE orders SET is_fraud = 1 WHERE id = 1")
    with session(place, "binlog_row_image = NOBLOB") as one:
        one(INSERT.format(2))
    rows = [item for item in stream(place, start) if isinstance(item, Row)]
    assert [(row.values["id"], row.values["email"], row.values["is_fraud"]) for row in rows] == [
        (1, "a@b.example", 1), (1, "a@b.example", 1), (2, "a@b.example", None),
    ]  # fmt: skip
    assert rows[1].touched == frozenset({"is_fraud"})


def test_a_row_whose_left_out_columns_are_gone_with_it_keeps_its_key(place: MysqlWorld) -> None:
    start = begin(place)
    with session(place, "binlog_row_image = MINIMAL") as one:
        one(INSERT.format(1))
        one("DELETE FROM orders WHERE id = 1")
    (row,) = [item for item in stream(place, start) if isinstance(item, Row)]
    (letter,) = place.mapper().map_row(row, row.changed_at)  # type: ignore[arg-type]
    assert letter.key == "1"  # type: ignore[union-attr]


@contextmanager
def metadata(place: MysqlWorld, value: str) -> Iterator[None]:
    """Column names are left out of the log for a while."""
    place.execute(f"SET GLOBAL binlog_row_metadata = '{value}'")
    try:
        yield
    finally:
        place.execute("SET GLOBAL binlog_row_metadata = 'FULL'")


@pytest.mark.parametrize("known", [True, False])
def test_rows_without_names_of_columns_are_read_where_the_names_can_be_proved(place: MysqlWorld, known: bool) -> None:
    start = begin(place)
    if known:
        place.write([1])
    with metadata(place, "MINIMAL"), session(place) as one:
        one("INSERT INTO orders (id, placed_at, total, email) VALUES (2, NOW(), 2, 'ä@b.example')")
    with session(place) as one:
        one(INSERT.format(3))
    rows = [item for item in stream(place, start) if isinstance(item, Row)]
    assert [row.values["id"] for row in rows][-2:] == [2, 3]
    assert rows[-2].values["email"] == "ä@b.example"


def test_rows_without_names_of_a_table_that_has_changed_since_are_dead_letters_with_their_key(
    place: MysqlWorld,
) -> None:
    start = begin(place)
    with metadata(place, "MINIMAL"), session(place) as one:
        one(INSERT.format(2))
    place.execute("ALTER TABLE orders MODIFY total VARCHAR(20)")
    found = unreadable(stream(place, start))
    assert [(item.known, item.reason) for item in found] == [({"id": 2}, "malformed")]


def test_tagged_transactions_are_read_once_and_counted_as_known(mysql: MysqlWorld) -> None:
    with session(mysql) as one:
        one("SET gtid_next = 'AUTOMATIC:till'")
        one(INSERT.format(1))
    start = begin(mysql)
    assert ":till:" in json.loads(start.text)["gtid"]
    with session(mysql) as one:
        one("SET gtid_next = 'AUTOMATIC:other'")
        one(INSERT.format(2))
        one(INSERT.format(3))
    found = stream(mysql, start)
    assert ids(found) == [2, 3]
    last = found[-1]
    assert isinstance(last, Checkpoint)
    mysql.execute("FLUSH BINARY LOGS")
    mysql.write([4])
    with mysql.connection.cursor() as cursor:
        cursor.execute("SHOW BINARY LOGS")
        newest = cursor.fetchall()[-1][0]
    mysql.execute(f"PURGE BINARY LOGS TO '{newest}'")
    assert ids(stream(mysql, last.position)) == [4]


def began_again(place: MysqlWorld) -> None:
    """The log begins again under its first name, and grows beyond where it was."""
    place.execute("DELETE FROM orders")
    statement = (
        "RESET BINARY LOGS AND GTIDS" if "binlog_transaction_compression" in variables(place) else "RESET MASTER"
    )
    place.execute(statement)
    place.write(range(100, 130))


def test_a_log_that_began_again_is_another_log_although_its_offsets_fit(place: MysqlWorld) -> None:
    began_again(place)
    place.write([1])
    start = begin(place)
    last = stream(place, start)[-1]
    assert isinstance(last, Checkpoint)
    older = json.loads(last.position.text)
    older["born"] -= 1  # files that were created within one second look alike
    began_again(place)
    source = place.source()
    for text in (json.dumps(older), json.dumps(older | {"file": "binlog.000900"})):
        with pytest.raises(PositionDeadError, match="began again"):
            next(iter(source.read_stream(Position("stream", text))))
    source.close()


def test_positions_of_earlier_versions_still_hold(place: MysqlWorld) -> None:
    start = begin(place)
    place.write([1])
    older = json.loads(start.text)
    del older["born"]
    assert ids(stream(place, start._replace(text=json.dumps(older)))) == [1]


def test_rows_that_come_into_a_mapped_table_without_events_stop_the_connector(place: MysqlWorld) -> None:
    place.execute("CREATE TABLE staged LIKE orders")
    place.execute("INSERT INTO staged (id, placed_at, total) VALUES (7, NOW(), 7)")
    start = begin(place)
    place.execute("RENAME TABLE orders TO orders_before, staged TO orders")
    source = place.source()
    with pytest.raises(ConfigurationError, match="staged was renamed to orders"):
        list(source.read_stream(start))
    source.close()


def test_a_snapshot_begins_while_transactions_are_always_open_and_loses_nothing(place: MysqlWorld) -> None:
    stop, written = Event(), list[int]()

    def write(first: int) -> None:
        with session(place) as one:
            number = first
            while not stop.is_set() and number < first + 400:
                for statement in ("BEGIN", INSERT.format(number), INSERT.format(number + 200_000), "COMMIT"):
                    one(statement)
                written.extend((number, number + 200_000))
                number += 1

    with session(place) as forgotten:
        forgotten("BEGIN")
        forgotten(INSERT.format(999_999))
        writers = [Thread(target=write, args=(first,)) for first in (1000, 2000, 3000)]
        for writer in writers:
            writer.start()
        try:
            source = place.source()
            assert source.check() == []
            found = list(source.read_snapshot(None))
            source.close()
        finally:
            stop.set()
            for writer in writers:
                writer.join()
        forgotten("COMMIT")
    last = found[-1]
    assert isinstance(last, Checkpoint)
    found += stream(place, last.position)
    assert set(ids(found)) == {*written, 999_999}


@pytest.mark.parametrize(
    "columns",
    [
        "",
        """ADD COLUMN since TIMESTAMP(6) GENERATED ALWAYS AS ROW START, ADD COLUMN `the end` TIMESTAMP(6) GENERATED ALWAYS AS ROW END,
        ADD PERIOD FOR SYSTEM_TIME(since, `the end`),""",
    ],
)
def test_rows_of_the_past_that_a_versioned_table_keeps_are_no_news(
    request: pytest.FixtureRequest, columns: str
) -> None:
    place = world(request, "mariadb", "gtid")
    place.execute(f"ALTER TABLE orders {columns} ADD SYSTEM VERSIONING")
    start = begin(place)
    with session(place) as one:
        one("INSERT INTO orders (id, placed_at, total, is_fraud) VALUES (1, '2026-04-01 10:00:00', 1, 0)")
        one("UPDATE orders SET is_fraud = 1")
        one("SET SESSION binlog_row_image = MINIMAL")
        one("UPDATE orders SET total = 2")
        one("DELETE FROM orders")
        one(INSERT.format(2))
    rows = [item for item in stream(place, start) if isinstance(item, Row)]
    assert [(row.change, row.values["id"]) for row in rows] == [
        ("insert", 1),
        ("update", 1),
        ("update", 1),
        ("insert", 2),
    ]
    assert [row.values["is_fraud"] for row in rows[:2]] == [0, 1]
    assert set(rows[1].values) == set(rows[1].before or ()) == place.mapper().list_columns("orders")
    place.close()


def test_a_view_or_a_table_written_otherwise_is_refused_by_check(place: MysqlWorld) -> None:
    place.execute("CREATE VIEW seen AS SELECT * FROM orders")
    for name, word in (("seen", "view"), ("Orders", "no table Orders")):
        given = place.text
        place.text = given.replace("table: orders", f"table: {name}")
        source = place.source()
        assert any(word in fault for fault in source.check())
        source.close()
        place.text = given
