"""What rows with awkward columns become: the same messages by snapshot and by stream, and one dead letter for one row."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import asdict, replace

from connectors.config.connector_file import ConnectorConfig, parse
from connectors.mapping.mapper import Mapper
from connectors.mysql.source import MysqlSource
from connectors.ports import Row
from contract.dead_letters import DeadLetter
from contract.events import Label, Transaction
from support.column_values import Place, streamed
from support.connector_parts import NOW, admission

pytestmark = pytest.mark.integration
FIELDS = """
transactions:
  table: sales
  key: id
  fields:
    transaction_id: {column: id, format: uuid}
    event_time: at
    amount: price
    currency: {column: currency, default: EUR}
    customer: who
    customer_since: {column: since, optional: true}
    device: details.reading
    payment_method: paid
    terminal: year
labels:
  - column: fraud
    fields: {source: {constant: review}}
"""
JSON_CHANGES = (
    "JSON_SET(j, '$.a', JSON_ARRAY(1, 2))",
    "JSON_REPLACE(j, '$.b[2].c', 'longer text é')",
    "JSON_REMOVE(j, '$.b[0]')",
    "JSON_SET(j, '$.\"a blank\"', CAST(12.30 AS DECIMAL(8,2)), '$.day', CAST('2026-11-30' AS DATE))",
    "JSON_ARRAY_INSERT(j, '$.b[1]', 'new')",
    "JSON_SET(j, '$.b[9]', NULL)",
    "NULL",
)


@dataclass
class Shop:
    """A database and the connector that reads it."""

    place: Place
    config: ConnectorConfig

    def source(self) -> MysqlSource:
        """As a new process would make it."""
        server = self.config.source
        assert server.kind == "mysql"
        return MysqlSource(self.config, server, server.read_secret({}), self.mapper().list_columns)

    def mapper(self) -> Mapper:
        """The mapping of its rows."""
        return Mapper(self.config, admission(), None)


@pytest.fixture(params=["mariadb", "mysql"])
def shop(request: pytest.FixtureRequest) -> Iterator[Shop]:
    endpoint: Any = (
        request.getfixturevalue("mysql_server").endpoint
        if request.param == "mysql"
        else request.getfixturevalue("stack").endpoints["mariadb"]
    )
    place = Place(endpoint)
    source = place.config(["sales"]).source
    assert source.kind == "mysql"
    head = (
        f"name: sales\nsource: {{kind: mysql, host: {endpoint.host}, port: {endpoint.port}, user: {endpoint.user}, "
        f"password: {endpoint.password}, database: {place.database}, heartbeat_s: 0.2}}"
    )
    place.execute(
        "CREATE TABLE sales (id BINARY(16) PRIMARY KEY, note VARCHAR(40) CHARACTER SET utf32, at DATETIME(3), price FLOAT, "
        "currency CHAR(3) DEFAULT 'USD', who VARCHAR(20) CHARACTER SET utf16, since TIMESTAMP NULL, details JSON, "
        "paid SET('card', 'gift'), year YEAR, fraud BIT(1))"
    )
    yield Shop(place, parse(head + FIELDS, "sales.yaml"))
    place.close()


def sell(shop: Shop, number: int, **changes: str) -> None:
    """One row, with some columns as SQL says."""
    values = {
        "id": f"UNHEX(LPAD('{number}00', 32, '6c'))", "note": "'x'", "at": "'2026-04-01 10:00:00.5'", "price": "123456.78",
        "who": "'Anna'", "since": "'0000-00-00 00:00:00'", "details": """'{"reading": 12.5}'""", "paid": "'card,gift'",
        "year": "0", "fraud": "b'1'",
    } | changes  # fmt: skip
    shop.place.execute(f"INSERT INTO sales ({', '.join(values)}) VALUES ({', '.join(values.values())})")


def told(shop: Shop, row: Row) -> list[object]:
    """What a row becomes, without where and when it was read."""
    found: list[object] = []
    for outcome in shop.mapper().map_row(row, NOW):
        if isinstance(outcome, Label):
            found.append(("label", outcome.transaction_id, outcome.fraud))
        elif isinstance(outcome, Transaction):
            found.append({name: value for name, value in asdict(outcome).items() if name != "origin"})
        else:
            assert isinstance(outcome, DeadLetter)
            found.append(replace(outcome, position="anywhere"))
    return found


def test_a_row_becomes_the_same_messages_by_snapshot_by_stream_and_by_its_key(shop: Shop) -> None:
    start = shop.place.end(shop.source())
    sell(shop, 11)
    sell(shop, 12, fraud="b'0'", price="2.675", since="'2020-01-02'", year="2026", paid="''")
    sell(shop, 13, at="'0000-00-00 00:00:00'")
    by_stream = [told(shop, item) for item in streamed(shop.source(), start) if isinstance(item, Row)]
    by_snapshot = [told(shop, item) for item in shop.source().read_snapshot(None) if isinstance(item, Row)]
    assert by_stream == by_snapshot == [told(shop, row) for row in shop.source().sample("sales", 9)]
    (first, label), (second, other), (letter,) = by_stream
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    name = first["transaction_id"]
    assert (name[:8], name[-6:], len(name)) == ("6c6c6c6c", "6c1100", 36)
    assert (first["amount_minor"], first["customer"], first["customer_since"]) == (12345678, "Anna", None)
    assert (first["payment_method"], first["terminal"], first["device"]) == ("card,gift", "0", "12.5")
    assert (label, other) == (("label", name, True), ("label", second["transaction_id"], False))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == "field_missing"
    assert letter.key is not None
    found = shop.source().fetch("sales", letter.key)
    assert found is not None
    assert told(shop, found) == [letter]


def test_columns_that_a_session_leaves_out_of_the_log_are_not_taken_for_null(shop: Shop) -> None:
    start = shop.place.end(shop.source())
    shop.place.execute("SET SESSION binlog_row_image = MINIMAL")
    sell(shop, 11)
    shop.place.execute("SET SESSION binlog_row_image = FULL")
    sell(shop, 12)
    found = [told(shop, item)[0] for item in streamed(shop.source(), start) if isinstance(item, Row)]
    # the reader asks the table for what the log does not tell
    assert [each["currency"] for each in found if isinstance(each, dict)] == ["USD", "USD"]


def test_a_bad_value_costs_its_own_row_and_one_that_nobody_maps_costs_nothing(shop: Shop) -> None:
    start = shop.place.end(shop.source())
    shop.place.execute(
        "ALTER TABLE sales MODIFY paid VARCHAR(20) CHARACTER SET greek, MODIFY note VARCHAR(20) CHARACTER SET greek"
    )
    shop.place.execute(
        "INSERT INTO sales (id, at, price, paid, note) VALUES (REPEAT('a', 16), '2026-04-01', 1, 'x', 0x63D2), "
        "(REPEAT('b', 16), '2026-04-01', 2, 0x63D2, 'x'), (REPEAT('c', 16), '2026-04-01', 3, 'x', NULL)"
    )
    found = [told(shop, item)[0] for item in streamed(shop.source(), start) if isinstance(item, Row)]
    assert [type(each).__name__ for each in found] == ["dict", "DeadLetter", "dict"]
    letter = found[1]
    assert isinstance(letter, DeadLetter)
    assert (letter.reason, letter.key) == ("encoding", "b" * 16)


def test_json_that_a_session_logs_by_its_changes_is_what_select_shows(mysql_server: Any) -> None:
    place = Place(mysql_server.endpoint)
    place.execute("CREATE TABLE sales (id INT PRIMARY KEY, u JSON, at INT, j JSON)")
    start = place.end(place.source(["sales"]))
    place.execute("SET SESSION binlog_row_value_options = PARTIAL_JSON")
    document = '{"a": 1, "b": [1, 2.50, {"c": "d"}], "long": "' + "y" * 300 + '"}'
    place.execute(f"""INSERT INTO sales VALUES (1, '{{"z": 0}}', 0, '{document}')""")
    shown = []
    for number, change in enumerate(JSON_CHANGES):
        place.execute(f"UPDATE sales SET j = {change}, u = JSON_SET(u, '$.z', {number})")
        shown += place.execute("SELECT CAST(j AS CHAR), CAST(u AS CHAR) FROM sales")
    _, *updates = (item.values for item in streamed(place.source(["sales"]), start) if isinstance(item, Row))
    place.close()
    assert [(values["j"], values["u"]) for values in updates] == shown
