"""A shop whose orders a crash test writes: seeded rows in a MariaDB table, each remembered with its place in the binary log."""

import random
import secrets
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pymysql

from connectors.mysql.position import BinlogPosition

CONNECTOR = "orders"
TABLE = """\
CREATE TABLE orders (
  id BIGINT PRIMARY KEY, placed_at DATETIME(3), total DECIMAL(12,2), currency CHAR(3), customer VARCHAR(200),
  card VARCHAR(40), device VARCHAR(40), ip VARCHAR(40), email VARCHAR(80), street VARCHAR(80), voucher VARCHAR(40),
  till VARCHAR(40), items INT)
"""
FILE = """\
name: {name}
source:
  {{kind: mysql, host: {host}, port: {port}, user: {user}, password: "{password}", database: {database}, heartbeat_s: 0.5}}
transactions:
  table: orders
  key: id
  fields:
    transaction_id: id
    event_time: placed_at
    amount: total
    currency: currency
    customer: customer
    card: {{column: card, tokenise: true}}
    device: device
    ip: {{column: ip, tokenise: true}}
    email: {{column: email, tokenise: true}}
    address: {{column: street, tokenise: true}}
    coupon: voucher
    terminal: till
    basket_items: items
"""
ROWS_BRISK_MAX = 4_000
"""Rows at the full rate. On a slow machine more of them would only make the proofs longer."""
TRICKLE_PER_S = 2.0
"""Rows a second from there on: whoever waits for a further verdict gets one."""
HISTORY_DAYS = 40.0
BAD_SHARE = 0.02


class Committed(NamedTuple):
    """One row of the table."""

    identity: str
    end: BinlogPosition
    """Where its transaction ends in the binary log, or anywhere behind that but before the next one."""
    fault: str | None
    """Reason of the dead letter that it must become; None for a good row."""


def bad_values(chance: random.Random) -> tuple[str, dict[str, object]]:
    """A reason, and the columns that cause it."""
    now = datetime.now(UTC).replace(tzinfo=None)
    faults: list[tuple[str, dict[str, object]]] = [
        ("amount_invalid", {"total": "-19.99"}),
        ("field_missing", {"total": None}),
        ("currency_unknown", {"currency": "XTS"}),
        ("time_future", {"placed_at": now + timedelta(days=2)}),
        ("time_too_old", {"placed_at": now - timedelta(days=12_000)}),
        ("field_invalid", {"customer": "x" * 200}),
    ]
    return chance.choice(faults)


class CrashShop:
    """Writes orders; used by one thread at a time. `committed` only grows and may be copied by other threads."""

    def __init__(self, endpoint: Any, chance: random.Random) -> None:
        """`endpoint` is a server where databases may be made."""
        self.committed: list[Committed] = []
        self._chance = chance
        self._last = datetime.now(UTC)
        self._where: dict[str, Any] = {
            "host": endpoint.host,
            "port": endpoint.port,
            "user": endpoint.user,
            "password": endpoint.password,
        }
        self._database = f"crash_{secrets.token_hex(4)}"
        self._connection = pymysql.connect(**self._where, autocommit=False)
        with self._connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {self._database}")
            cursor.execute(f"USE {self._database}")
            cursor.execute(TABLE)

    def connector_file(self) -> str:
        return FILE.format(name=CONNECTOR, database=self._database, **self._where)

    def stock(self, rows: int) -> None:
        """Commits history: rows of the last weeks, in no order of time."""
        self._commit([self._row(old=True) for _ in range(rows)])

    def sell(self) -> int:
        """Commits one transaction of a few orders; returns how many."""
        rows = [self._row(old=False) for _ in range(self._chance.choice((1, 1, 1, 2, 3, 5)))]
        self._commit(rows)
        return len(rows)

    def close(self) -> None:
        self._connection.close()

    def _commit(self, rows: list[tuple[dict[str, object], str | None]]) -> None:
        first = len(self.committed)
        values = [{"id": number, **columns} for number, (columns, _) in enumerate(rows, start=first)]
        names = list(values[0])
        statement = f"INSERT INTO orders ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
        with self._connection.cursor() as cursor:
            cursor.executemany(statement, [tuple(each.values()) for each in values])
            self._connection.commit()
            cursor.execute("SHOW MASTER STATUS")
            file, offset = cursor.fetchone()[:2]
            self._connection.commit()
        end = BinlogPosition(file=file, offset=offset)
        self.committed += [
            Committed(str(each["id"]), end, fault) for each, (_, fault) in zip(values, rows, strict=True)
        ]

    def _row(self, *, old: bool) -> tuple[dict[str, object], str | None]:
        columns = self._good(old=old)
        if self._chance.random() >= BAD_SHARE:
            return columns, None
        fault, changes = bad_values(self._chance)
        return {**columns, **changes}, fault

    def _good(self, *, old: bool) -> dict[str, object]:
        """Few customers, cards and devices, so that windows fill; ties and late events among the times."""
        chance = self._chance
        return {
            "placed_at": self._moment(old=old).replace(tzinfo=None),
            "total": f"{chance.lognormvariate(3.5, 1.0):.2f}",
            "currency": chance.choice(("EUR", "EUR", "EUR", "USD")),
            "customer": f"customer-{int(chance.triangular(0, 120, 0))}",
            "card": f"4{chance.randrange(90):015}",
            "device": self._some(f"device-{chance.randrange(60)}"),
            "ip": self._some(f"192.0.2.{chance.randrange(40)}"),
            "email": f"user{chance.randrange(80)}@mail.example",
            "street": self._some(f"Street {chance.randrange(50)}"),
            "voucher": f"SAVE{chance.randrange(4)}" if chance.random() < 0.2 else None,
            "till": f"till-{chance.randrange(5)}",
            "items": chance.randrange(1, 9),
        }

    def _some(self, value: str) -> str | None:
        return value if self._chance.random() < 0.8 else None

    def _moment(self, *, old: bool) -> datetime:
        now, draw = datetime.now(UTC), self._chance.random()
        if old:
            return now - timedelta(days=HISTORY_DAYS * draw)
        if draw < 0.7:
            self._last = now
        elif draw < 0.85:
            return now - timedelta(minutes=self._chance.uniform(0, 90))
        return self._last


class Traffic(threading.Thread):
    """Sells at a rate, from ROWS_BRISK_MAX rows on slowly, until told to stop; its failure is told by `check`."""

    def __init__(self, shop: CrashShop, rate: float) -> None:
        """`rate` is in rows a second."""
        super().__init__(name="traffic", daemon=True)
        self._shop = shop
        self._rate = rate
        self._ends = threading.Event()
        self._failure: Exception | None = None

    def run(self) -> None:
        due = time.monotonic()
        try:
            while not self._ends.wait(max(0.0, due - time.monotonic())):
                rate = self._rate if len(self._shop.committed) < ROWS_BRISK_MAX else TRICKLE_PER_S
                due += self._shop.sell() / rate
        except Exception as failure:  # noqa: BLE001 - told to the test's thread by check
            self._failure = failure

    def check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def end(self) -> None:
        self._ends.set()
        if self.is_alive():
            self.join(30.0)
        self.check()
