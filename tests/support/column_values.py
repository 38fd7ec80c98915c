"""Every type of MySQL and MariaDB with values at its edges, and a source that reads all of a database's columns."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pymysql

from connectors.config.connector_file import ConnectorConfig, parse
from connectors.mysql.source import MysqlSource
from connectors.ports import Checkpoint, Item, Position, Row


class Case(NamedTuple):
    """One type and what is written into it, as SQL; `texts` are what some of the values mean, where that is worth saying."""

    type: str
    literals: Sequence[str]
    texts: Mapping[int, object] = {}


_SECONDS = ("'2026-11-30 10:00:00.123456'", "'2026-11-30 10:00:00'", "'0000-00-00 00:00:00'", "'2038-01-19 03:14:07'")
_DAYS = ("'2026-00-30 10:00:00'", "'9999-12-31 23:59:59'")
_TIMES = ("'10:00:00.123456'", "'-838:59:59'", "'838:59:59'", "'-00:00:00.999999'", "'-01:02:03.5'", "'00:00:00'")
NUMBERS = (
    Case("TINYINT", ("-128", "127", "0", "NULL")),
    Case("TINYINT UNSIGNED", ("255",)),
    Case("BOOL", ("TRUE", "FALSE"), {0: 1}),
    Case("SMALLINT", ("-32768", "32767")),
    Case("YEAR", ("0", "1901", "2155", "2026"), {0: 0, 1: 1901}),
    Case("SMALLINT UNSIGNED", ("65535",)),
    Case("MEDIUMINT", ("-8388608", "8388607")),
    Case("MEDIUMINT UNSIGNED", ("16777215",)),
    Case("INT", ("-2147483648", "2147483647")),
    Case("INT UNSIGNED ZEROFILL", ("4294967295", "1"), {1: 1}),
    Case("BIGINT", ("-9223372036854775808", "9223372036854775807")),
    Case("BIGINT UNSIGNED", ("18446744073709551615",)),
    Case("DECIMAL(12,2)", ("12.30", "-0.01", "0", "-9999999999.99", "-0.00")),
    Case("DECIMAL(65,30)", ("-12345678901234567890123456789012345.123456789012345678901234567890",)),
    Case("DECIMAL(5,5)", ("0.00001", "-0.99999")),
    Case("DECIMAL(9,0)", ("-1", "999999999")),
    Case("DECIMAL(19,10) UNSIGNED", ("123456789.0123456789",)),
    Case(
        "FLOAT", ("123456.78", "9.995", "2.675", "-0e0", "3.4028234e38", "1e-40", "16777217"), {0: 123456.78, 1: 9.995}
    ),
    Case("FLOAT(7,4)", ("999.0001",), {0: 999.0001}),
    Case("DOUBLE", ("0.1", "1.7976931348623157e308", "5e-324", "123456789.123456789", "-0e0"), {0: 0.1}),
    Case("DOUBLE(20,2)", ("123456789012345678.91", "1.15"), {1: 1.15}),
    Case("BIT(1)", ("b'1'", "b'0'"), {0: 1, 1: 0}),
    Case("BIT(8)", ("b'01000001'",), {0: 65}),
    Case("BIT(10)", ("b'1000000001'",), {0: 513}),
    Case("BIT(64)", (f"b'{'1' * 64}'",), {0: 2**64 - 1}),
)
MOMENTS = (
    Case("DATE", ("'2026-11-30'", "'0000-00-00'", "'2026-11-00'", "'9999-12-31'", "'0001-01-01'"), {1: None, 2: None}),
    *(Case(f"DATETIME({digits})", (*_SECONDS, *_DAYS), {2: None, 4: None}) for digits in range(7)),
    *(Case(f"TIMESTAMP({digits}) NULL", _SECONDS, {2: None}) for digits in range(7)),
    *(Case(f"TIME({digits})", _TIMES) for digits in range(7)),
)
TEXTS = (
    Case("CHAR(10)", ("'ab  '", "'grün'", "''"), {0: "ab", 1: "grün"}),
    Case("CHAR(255) CHARACTER SET utf8mb4", ("REPEAT('é', 255)",)),
    Case("VARCHAR(20) COLLATE utf8mb4_bin", ("'ab  '", "' a'"), {0: "ab", 1: " a"}),
    Case("VARCHAR(300)", ("REPEAT('é', 300)", "'x'")),
    Case("TINYTEXT", ("'a'",)),
    Case("TEXT", ("'aé'",)),
    Case("MEDIUMTEXT", ("'a'",)),
    Case("LONGTEXT", ("REPEAT('a', 70000)",)),
    Case("BINARY(8)", ("'AB'", r"'AB \0'", "X'FF00'"), {0: b"AB" + bytes(6)}),
    Case("BINARY(255)", ("'x'",)),
    Case("VARBINARY(20)", (r"'AB\0'", "X'FF'"), {0: b"AB\x00"}),
    Case("VARBINARY(300)", ("REPEAT('x', 300)",)),
    Case("TINYBLOB", ("'a'",)),
    Case("BLOB", ("X'00FF'",), {0: b"\x00\xff"}),
    Case("MEDIUMBLOB", ("'a'",)),
    Case("LONGBLOB", ("'a'",)),
    Case("ENUM('a', 'é', 'c d')", ("'a'", "'é'", "'none of them'", "NULL"), {1: "é", 2: ""}),
    Case("ENUM(" + ", ".join(f"'e{number}'" for number in range(300)) + ")", ("'e299'",), {0: "e299"}),
    Case("ENUM('a', 'é') CHARACTER SET utf16", ("'é'",), {0: "é"}),
    Case("SET('card', 'paypal', 'gift')", ("'card'", "'card,gift'", "''"), {1: "card,gift", 2: ""}),
    Case("SET(" + ", ".join(f"'e{number}'" for number in range(64)) + ")", ("'e0,e63,e33'",), {0: "e0,e33,e63"}),
    Case("SET('a', 'é') CHARACTER SET utf32", ("'a,é'",), {0: "a,é"}),
    Case("CHAR(5) CHARACTER SET utf16", ("'Anna'", "'ab '"), {0: "Anna", 1: "ab"}),
    Case("POINT", ("ST_GeomFromText('POINT(1 2)')",)),
    Case("GEOMETRY", ("ST_GeomFromText('LINESTRING(1 2, 3 4)')",)),
    Case("JSON", ("""'{"a": [1, 2.5, null, true, "é\\\\n"]}'""",)),
)
ONLY_MYSQL = (
    Case("VECTOR(3)", ("STRING_TO_VECTOR('[1,2,3]')",)),
    Case("GEOMETRYCOLLECTION", ("ST_GeomFromText('GEOMETRYCOLLECTION(POINT(1 2))')",)),
    Case("VARCHAR(20) COLLATE utf8mb4_0900_ai_ci", ("'A '",), {0: "A "}),
    Case(
        "JSON",
        (
            "JSON_OBJECT('r', CAST(12.30 AS DECIMAL(8,2)))",
            "JSON_ARRAY(TIMESTAMP'2026-11-30 10:00:00', DATE'2026-11-30', TIME'-10:11:12.5', CAST('810:11:12' AS TIME))",
            "JSON_ARRAY(1e20, 1e0, 0.1, 1e-5, 1e15, 1e16, 123456789012345.6, -0e0, 1e-14, 1.5e-15, 5e-324, 1.7976931348623157e308)",
            "JSON_ARRAY(18446744073709551615, -9223372036854775808, 4294967295, -2147483648, 65535, -32768, 65536, 32768)",
            "JSON_OBJECT('short', X'CAFE', 'long', CAST(REPEAT('z', 100) AS BINARY), 'bits', b'1010', 'year', CAST(2026 AS YEAR))",
            "JSON_ARRAY(REPEAT('x', 70000), 1, 70000, -70000, JSON_OBJECT('k', NULL), JSON_ARRAY(), JSON_OBJECT())",
            r"""CAST('{"k\\u0001\\b/": "\\u001f\\u007f\\\\\\""}' AS JSON)""",
            "CAST('null' AS JSON)",
            """CAST('"s"' AS JSON)""",
        ),
        {0: '{"r": 12.30}'},
    ),
)
ONLY_MARIADB = (
    Case("UUID", ("'6ccd780c-baba-1026-9564-5b8c656024db'", "'00000000-0000-0000-0000-000000000000'")),
    Case("INET4", ("'1.2.3.0'",), {0: "1.2.3.0"}),
    Case("INET6", ("'::ffff:1.2.3.4'", "'2001:db8::1'", "'1:2:3:4:5:6:7:0'"), {0: "::ffff:1.2.3.4"}),
    Case("VARCHAR(300) COMPRESSED", ("REPEAT('ab', 140)", "'s'", "''"), {1: "s", 2: ""}),
    Case("VARCHAR(60) COMPRESSED CHARACTER SET utf16", ("REPEAT('é', 50)",), {0: "é" * 50}),
    Case("TEXT COMPRESSED", ("REPEAT('é', 1000)",)),
    Case("BLOB COMPRESSED", ("REPEAT('x', 1000)", "X'00FF'")),
)


class Place:
    """A database of its own, read by a connector that maps every column of its tables."""

    def __init__(self, endpoint: Any) -> None:
        self.database = f"v_{secrets.token_hex(5)}"
        self.connection = pymysql.connect(
            host=endpoint.host, port=endpoint.port, user=endpoint.user, password=endpoint.password, autocommit=True
        )
        self._endpoint = endpoint
        self.execute(f"CREATE DATABASE {self.database} CHARACTER SET utf8mb4")
        self.execute(f"USE {self.database}")
        self.execute("SET SESSION sql_mode = '', time_zone = '+00:00'")

    def execute(self, statement: str) -> list[tuple[Any, ...]]:
        """One statement, committed."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())

    def config(self, tables: Sequence[str], key: str = "id") -> ConnectorConfig:
        """A connector file."""
        first, *others = tables
        labels = "".join(
            f"  - {{table: {name}, key: id, fields: {{transaction_id: id, fraud: {{constant: true}}}}}}\n"
            for name in others
        )
        return parse(
            f"name: values\nsource: {{kind: mysql, host: {self._endpoint.host}, port: {self._endpoint.port}, "
            f"user: {self._endpoint.user}, password: {self._endpoint.password}, database: {self.database}, heartbeat_s: 0.2}}\n"
            f"transactions:\n  table: {first}\n  key: {key}\n  fields: {{transaction_id: {key}, event_time: at, amount: id, "
            "currency: {constant: EUR}}\n" + (f"labels:\n{labels}" if labels else ""),
            "values.yaml",
        )

    def source(self, tables: Sequence[str], *, key: str = "id") -> MysqlSource:
        """Reads all columns of `tables`."""
        config = self.config(tables, key)
        server = config.source
        assert server.kind == "mysql"
        return MysqlSource(config, server, server.read_secret({}), lambda table: set(self.columns(table)))

    def columns(self, table: str) -> list[str]:
        """Names of a table's columns."""
        return [name for name, *_ in self.execute(f"SHOW COLUMNS FROM {table}")]

    def end(self, source: MysqlSource) -> Position:
        """Where a snapshot of now lets the stream begin."""
        last = list(source.read_snapshot(None))[-1]
        assert isinstance(last, Checkpoint)
        return last.position

    def close(self) -> None:
        """Removes everything."""
        self.execute(f"DROP DATABASE {self.database}")
        self.connection.close()


def fill(place: Place, table: str, cases: Sequence[Case]) -> None:
    """Makes a table with a column for each case; row n holds the n-th value of each, or its first."""
    names = [f"c{number}" for number in range(len(cases))]
    columns = ", ".join(f"{name} {case.type}" for name, case in zip(names, cases, strict=True))
    place.execute(f"CREATE TABLE {table} (id INT PRIMARY KEY, {columns})")
    for row in range(max(len(case.literals) for case in cases)):
        values = ", ".join(case.literals[row if row < len(case.literals) else 0] for case in cases)
        place.execute(f"INSERT INTO {table} VALUES ({row}, {values})")
    place.execute(f"INSERT INTO {table} (id) VALUES (1000)")


def streamed(source: MysqlSource, start: Position) -> list[Item]:
    """Everything from `start` on, until the source has caught up."""
    found: list[Item] = []
    items = source.read_stream(start)
    for item in items:
        found.append(item)
        if isinstance(item, Checkpoint) and item.idle:
            break
    items.close()  # type: ignore[attr-defined]
    source.close()
    return found


def rows(items: Sequence[Item]) -> dict[tuple[str, object], Mapping[str, object]]:
    """Values by table and id."""
    return {(item.table, item.values["id"]): item.values for item in items if isinstance(item, Row)}
