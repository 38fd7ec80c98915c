"""Names in other letters than the server's: the same table where the server ignores case, another one where it does not."""

from collections.abc import Iterator
from typing import Any

import pytest

from connectors.ports import Checkpoint, Item, Row
from contract.errors import ConfigurationError
from support.connector_worlds import MysqlWorld
from support.debian_mysql import FOLDED_NAMES, DebianMysql, UnavailableError, started
from support.mysql_stream import begin, ids, stream

pytestmark = pytest.mark.integration
INSERT = "INSERT INTO {} (id, placed_at, total) VALUES ({}, '2026-04-01 10:00:00', 5)"


@pytest.fixture(scope="module")
def folding(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DebianMysql]:
    """A MySQL server that keeps names of tables in small letters."""
    try:
        with started(tmp_path_factory.mktemp("folding") / "data", FOLDED_NAMES) as server:
            yield server
    except UnavailableError as error:
        pytest.skip(str(error))


def written(place: MysqlWorld, database: str, table: str) -> None:
    """Writes the connector file's names in other letters."""
    place.text = place.text.replace(f"database: {place.database}", f"database: {database}")
    place.text = place.text.replace("table: orders", f"table: {table}")


def history(place: MysqlWorld) -> tuple[list[str], list[Item]]:
    """What the check says, and the snapshot."""
    source = place.source()
    faults, found = source.check(), list(source.read_snapshot(None))
    source.close()
    return faults, found


def test_where_the_server_ignores_case_every_spelling_is_the_same_table(folding: DebianMysql) -> None:
    place = MysqlWorld(folding.endpoint, position_by="gtid")
    written(place, place.database.upper(), "Orders")
    place.write([1])
    faults, found = history(place)
    assert (faults, ids(found)) == ([], [1])
    assert isinstance(found[-1], Checkpoint)
    for number, table in enumerate(("orders", "ORDERS", f"{place.database.capitalize()}.oRDERS"), 2):
        place.execute(INSERT.format(table, number))
    place.execute("SET SESSION binlog_row_image = MINIMAL")
    place.execute(INSERT.format("OrDeRs", 5))
    place.execute("CREATE TABLE _ORDERS_gho LIKE Orders")
    place.execute("RENAME TABLE ORDERS TO _Orders_del, _Orders_gho TO Orders")
    place.execute(INSERT.format("orders", 6))
    rows = [item for item in stream(place, found[-1].position) if isinstance(item, Row)]
    assert [(row.table, row.values["id"]) for row in rows] == [("Orders", number) for number in (2, 3, 4, 5, 6)]
    source = place.source()
    again = source.fetch("Orders", "6")
    assert again is not None
    assert again.values["id"] == 6
    source.close()
    place.close()


def test_rows_that_a_table_brings_along_in_other_letters_stop_the_connector(folding: DebianMysql) -> None:
    place = MysqlWorld(folding.endpoint, position_by="file")
    written(place, place.database, "Orders")
    place.execute("CREATE TABLE Staged LIKE orders")
    start = begin(place)
    place.execute("RENAME TABLE ORDERS TO before_, STAGED TO ORDERS")
    with pytest.raises(ConfigurationError, match="STAGED was renamed to ORDERS"):
        stream(place, start)
    place.close()


def test_one_table_in_two_spellings_is_refused_by_check_and_stream(folding: DebianMysql) -> None:
    place = MysqlWorld(folding.endpoint)
    start = begin(place)
    place.text = place.text.replace(
        "labels:\n  - column: is_fraud", "labels:\n  - table: ORDERS\n    fields: {transaction_id: id, fraud: is_fraud}"
    )
    source = place.source()
    assert ["orders and ORDERS are one table" in fault for fault in source.check()] == [True]
    source.close()
    with pytest.raises(ConfigurationError, match="orders and ORDERS are one table"):
        stream(place, start)
    place.close()


def test_letters_outside_the_alphabet_of_english_are_compared_as_the_server_does(folding: DebianMysql) -> None:
    place = MysqlWorld(folding.endpoint)
    place.execute("CREATE TABLE `SATIŞ_ΣΑΣ_İ` LIKE orders")
    written(place, place.database, "SATIŞ_ΣΑΣ_İ")
    faults, found = history(place)
    assert faults == []
    assert isinstance(found[-1], Checkpoint)
    place.execute(INSERT.format("`satiş_\u03c3\u03b1\u03c3_i`", 1))
    assert ids(stream(place, found[-1].position)) == [1]
    place.close()


@pytest.mark.parametrize("server", ["mysql", "mariadb"])
def test_where_the_server_minds_case_two_spellings_are_two_tables(
    server: str, request: pytest.FixtureRequest, stack: Any
) -> None:
    endpoint = request.getfixturevalue("mysql_server").endpoint if server == "mysql" else stack.endpoints["mariadb"]
    place = MysqlWorld(endpoint)
    place.execute("CREATE TABLE Orders (ID INT, number BIGINT PRIMARY KEY, is_fraud VARCHAR(5))")
    place.text = place.text.replace(
        "labels:\n  - column: is_fraud",
        "labels:\n  - table: Orders\n    key: number\n    fields: {transaction_id: number, fraud: is_fraud}",
    )
    faults, found = history(place)
    assert faults == []
    assert isinstance(found[-1], Checkpoint)
    place.write([1])
    place.execute("INSERT INTO Orders VALUES (9, 1, 'yes')")
    place.execute("SET SESSION binlog_row_image = MINIMAL")
    place.execute("UPDATE Orders SET is_fraud = 'no' WHERE number = 1")
    rows = [item for item in stream(place, found[-1].position) if isinstance(item, Row)]
    assert [(row.table, row.values.get("number"), row.values.get("is_fraud")) for row in rows] == [
        ("orders", None, None), ("Orders", 1, "yes"), ("Orders", 1, "no"),
    ]  # fmt: skip
    place.execute("RENAME TABLE Orders TO x, orders TO Orders, x TO orders")
    with pytest.raises(ConfigurationError, match="was renamed to"):
        stream(place, found[-1].position)
    place.close()
