"""The same table of orders in every kind of source, for tests that hold for all of them."""

import csv
import json
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pymongo
import pymysql

from connectors.assembly import build_source
from connectors.config.connector_file import ConnectorConfig, parse
from connectors.mapping.mapper import Mapper
from connectors.ports import Position, Source
from support.connector_parts import NOW, MemorySource, admission, naive, order, row, tokens
from support.live_worker import until

FIELDS = """\
  fields:
    transaction_id: id
    event_time: placed_at
    amount: total
    currency: {constant: EUR}
    customer: customer_id
    email: {column: email, tokenise: true}
"""


class World(Protocol):
    """A place that holds orders and can be read by a connector."""

    live: bool
    """Rows can be written while a source reads."""

    def write(self, numbers: Iterable[int]) -> None:
        """Commits orders, each on its own."""
        ...

    def source(self) -> Source:
        """A fresh source, as a new process would make it."""
        ...

    def mapper(self) -> Mapper:
        """The mapping of its rows."""
        ...

    def dead_position(self, good: Position) -> Position | None:
        """A position that the source cannot continue from; None where the server at hand cannot tell."""
        ...

    def close(self) -> None:
        """Removes everything."""
        ...


class MemoryWorld:
    """Lists."""

    live = False

    def __init__(self) -> None:
        self._rows: list[Any] = []
        self._config = parse(
            "name: orders\nsource: {kind: mysql, user: u, database: d}\ntransactions:\n  table: orders\n" + FIELDS,
            "m.yaml",
        )

    def write(self, numbers: Iterable[int]) -> None:
        self._rows += [row(number, change="read", phase="snapshot", placed_at=naive(2026, 4, 1)) for number in numbers]

    def source(self) -> Source:
        return MemorySource(self._rows, [])

    def mapper(self) -> Mapper:
        return Mapper(self._config, admission(), tokens())

    def dead_position(self, good: Position) -> Position | None:
        return None

    def close(self) -> None:
        self._rows.clear()


class FileWorld:
    """A CSV or JSON lines file."""

    live = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._config = parse(f"name: orders\nsource: {{kind: file, path: {path}}}\ntransactions:\n" + FIELDS, "f.yaml")

    def write(self, numbers: Iterable[int]) -> None:
        rows = [order(number) | {"placed_at": f"2026-04-01T{23 - number % 24:02}:00:00"} for number in numbers]
        with self._path.open("a", newline="", encoding="utf-8") as file:
            if self._path.suffix == ".csv":
                writer = csv.DictWriter(file, list(order(0)))
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerows(rows)
            else:
                file.writelines(json.dumps(each) + "\n" for each in rows)

    def source(self) -> Source:
        return build_source(self._config, self.mapper(), self._path.parent, {}, lambda _: False)

    def mapper(self) -> Mapper:
        return Mapper(self._config, admission(), tokens())

    def dead_position(self, good: Position) -> Position | None:
        self.write([10**6])
        return good

    def close(self) -> None:
        self._path.unlink(missing_ok=True)


class MysqlWorld:
    """A database of its own on a MariaDB server."""

    live = True

    def __init__(self, endpoint: Any, *, position_by: str = "file") -> None:
        self.database = f"b_{secrets.token_hex(5)}"
        self.connection = pymysql.connect(
            host=endpoint.host, port=endpoint.port, user=endpoint.user, password=endpoint.password, autocommit=True
        )
        self._gtid = position_by == "gtid"
        self.execute(f"CREATE DATABASE {self.database}")
        self.execute(f"USE {self.database}")
        self.execute(
            "CREATE TABLE orders (id BIGINT PRIMARY KEY, placed_at DATETIME(3) NULL, total DECIMAL(12,2) NULL, "
            "currency CHAR(3) NULL, customer_id VARCHAR(40) NULL, email VARCHAR(80) NULL, is_fraud TINYINT NULL)"
        )
        self.execute("CREATE TABLE bystanders (id BIGINT AUTO_INCREMENT PRIMARY KEY, x VARCHAR(20))")
        self.text = (
            f"name: orders\nsource:\n  kind: mysql\n  host: {endpoint.host}\n  port: {endpoint.port}\n"
            f"  user: {endpoint.user}\n  password: {endpoint.password}\n  database: {self.database}\n"
            f"  heartbeat_s: 0.2\n  silent_after_s: 20\n  position_by: {position_by}\n"
            f"transactions:\n  table: orders\n  key: id\n{FIELDS}labels:\n  - column: is_fraud\n"
        )

    def execute(self, statement: str, values: object = None) -> None:
        """One statement, committed."""
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)

    def write(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.execute(
                "INSERT INTO orders VALUES (%s, %s, %s, 'EUR', %s, %s, NULL)",
                (number, naive(2026, 4, 1, number % 24), "12.30", f"c{number % 7}", f"u{number}@mail.example"),
            )

    def let_writes_be_past(self) -> None:
        """They are: a place in the log is exact."""

    def config(self) -> ConnectorConfig:
        """The connector file."""
        return parse(self.text, "mysql.yaml")

    def source(self) -> Source:
        return build_source(self.config(), self.mapper(), Path(), {}, lambda _: False)

    def mapper(self) -> Mapper:
        return Mapper(self.config(), admission(), tokens())

    def dead_position(self, good: Position) -> Position | None:
        document = json.loads(good.text)
        document["file"] = "binlog.000000"
        document["gtid"] = "0-1-999999999" if self._gtid else None
        return good._replace(text=json.dumps(document))

    def close(self) -> None:
        self.execute(f"DROP DATABASE {self.database}")
        self.connection.close()


class MongoWorld:
    """A database of its own on a server that speaks MongoDB's protocol."""

    live = True

    def __init__(self, endpoint: Any) -> None:
        self.database = f"b_{secrets.token_hex(5)}"
        self.client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(endpoint.uri, tz_aware=True)
        self.orders = self.client[self.database]["orders"]
        self.client[self.database].create_collection("orders")
        self.text = (
            f"name: orders\nsource:\n  kind: mongodb\n  host: {endpoint.host}\n  port: {endpoint.port}\n"
            f"  database: {self.database}\n  direct: true\n  heartbeat_s: 0.2\n"
            f"transactions:\n  collection: orders\n{FIELDS}labels:\n  - column: is_fraud\n"
        ).replace("transaction_id: id", "transaction_id: _id")

    def write(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            document = order(number) | {"_id": number, "placed_at": NOW}
            del document["id"]
            self.orders.insert_one(document)

    def let_writes_be_past(self) -> None:
        """A stream that begins after this shows nothing that was written before: the server tells its time in whole seconds."""
        last = self._now()
        until(lambda: self._now() > last, "the next second of the server")

    def _now(self) -> datetime:
        moment: datetime = self.client[self.database].command("isMaster")["localTime"]
        return moment.replace(microsecond=0)

    def config(self) -> ConnectorConfig:
        """The connector file."""
        return parse(self.text, "mongodb.yaml")

    def source(self) -> Source:
        return build_source(self.config(), self.mapper(), Path(), {}, lambda _: False)

    def mapper(self) -> Mapper:
        return Mapper(self.config(), admission(), tokens())

    def dead_position(self, good: Position) -> Position | None:
        # the stand-in server has no code for a dead token; the codes themselves are tested without a server
        return None

    def close(self) -> None:
        self.client.drop_database(self.database)
        self.client.close()


@contextmanager
def world(kind: str, endpoints: Any, folder: Path) -> Iterator[World]:
    """A world of `kind`: memory, csv, jsonl, mysql, mysql-gtid or mongodb; its server is started if need be."""
    made: World
    if kind == "memory":
        made = MemoryWorld()
    elif kind in ("csv", "jsonl"):
        made = FileWorld(folder / f"orders.{kind}")
    elif kind == "mongodb":
        made = MongoWorld(endpoints["mongodb"])
    else:
        made = MysqlWorld(endpoints["mariadb"], position_by="gtid" if kind == "mysql-gtid" else "file")
    try:
        yield made
    finally:
        made.close()
