"""What a storm does to a retailer's database: seeded acts, each a session with settings of its own and statements. Pure.

An act says what becomes of the rows it writes, so that the end can be proved: they stand in the table or they never did, and the log
tells them as rows, or in a way that a reader can only announce.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

Flavour = Literal["mysql", "mariadb"]
Ending = Literal["commit", "rollback", "xa commit", "xa rollback", "xa left"]
TABLE = """\
CREATE TABLE orders (
  id BIGINT PRIMARY KEY, placed_at TIMESTAMP(3) NULL, total DECIMAL(12,2), currency CHAR(3), customer VARCHAR(60) CHARACTER SET utf8mb4,
  device VARCHAR(60) CHARACTER SET latin1, items INT, is_fraud TINYINT NULL, note LONGTEXT, details JSON, spare INT DEFAULT 7)
"""
BYSTANDERS = "CREATE TABLE bystanders (id BIGINT AUTO_INCREMENT PRIMARY KEY, x VARCHAR(40))"
COLUMNS = ("id", "placed_at", "total", "currency", "customer", "device", "items", "note", "details")
FIRST_ID: dict[Flavour, int] = {"mysql": 1, "mariadb": 1_000_001}
"""Both may write to the topics of one retailer."""
LARGE_BYTES = 3_000_000
CHARSETS = ("utf8mb4", "latin1")
ZONES = ("+00:00", "-08:00", "+05:45")
MODES = ("", "ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "STRICT_ALL_TABLES")
SETTINGS: dict[Flavour, tuple[tuple[str, tuple[str, ...], float], ...]] = {
    "mysql": (
        ("SESSION binlog_transaction_compression", ("ON",), 0.25),
        ("SESSION binlog_format", ("STATEMENT", "MIXED"), 0.1),
        ("SESSION binlog_row_image", ("MINIMAL", "NOBLOB"), 0.15),
        ("SESSION binlog_row_value_options", ("PARTIAL_JSON",), 0.2),
    ),
    "mariadb": (
        ("GLOBAL log_bin_compress", ("1", "0"), 0.2),
        ("SESSION binlog_format", ("STATEMENT", "MIXED"), 0.1),
        ("SESSION binlog_row_image", ("MINIMAL", "NOBLOB"), 0.15),
    ),
}
"""(variable, values, share of the sessions that set it)."""
ALTERATIONS = (
    ("ALTER TABLE orders ADD COLUMN extra VARCHAR(20) DEFAULT 'x'", "ALTER TABLE orders DROP COLUMN extra"),
    ("ALTER TABLE orders MODIFY note LONGTEXT CHARACTER SET utf8mb4", "ALTER TABLE orders MODIFY note LONGTEXT"),
    ("CREATE INDEX by_customer ON orders (customer)", "DROP INDEX by_customer ON orders"),
    ("RENAME TABLE orders TO orders_aside", "RENAME TABLE orders_aside TO orders"),
    ("ALTER TABLE orders ADD COLUMN fast INT, ALGORITHM=INPLACE, LOCK=NONE", "ALTER TABLE orders DROP COLUMN fast"),
    ("TRUNCATE TABLE bystanders", "INSERT INTO bystanders (x) VALUES ('again')"),
)


@dataclass
class Act:
    """One session from its settings to its end."""

    settings: dict[str, str]
    charset: str
    statements: list[tuple[str, tuple[object, ...]]] = field(default_factory=list)
    ending: Ending = "commit"
    ids: list[int] = field(default_factory=list)
    """Rows that the session's end keeps or drops; those of a savepoint that is rolled back are in `undone`."""
    undone: list[int] = field(default_factory=list)
    file_rows: list[str] = field(default_factory=list)
    """Lines for LOAD DATA."""
    alone: bool = False
    """Definitions of tables, rotation and the like: no transaction around it."""

    @property
    def as_text(self) -> bool:
        """Whether the log may hold statements instead of rows, which a reader can only announce."""
        return self.settings.get("SESSION binlog_format") in ("STATEMENT", "MIXED")

    @property
    def kept(self) -> list[int]:
        """Rows that stand in the table afterwards; those of an XA transaction that is left are decided later."""
        return self.ids if self.ending in ("commit", "xa commit") else []


class Planner:
    """Draws acts for one server; `written` are rows that stand in the table, as far as the planner can know."""

    def __init__(self, flavour: Flavour, chance: random.Random) -> None:
        self._flavour = flavour
        self._chance = chance
        self._next_id = FIRST_ID[flavour]
        self.written: list[int] = []

    def acts(self, count: int) -> Iterator[Act]:
        """`count` acts, every kind among them when there are enough."""
        kinds: list[tuple[Callable[[], Act], int]] = [
            (self._few, 8), (self._bulk, 3), (self._savepoints, 3), (self._xa, 3), (self._load, 1), (self._labels, 4),
            (self._json, 2), (self._large, 1), (self._deletion, 1), (self._definition, 2), (self._rotation, 2), (self._metadata, 1),
        ]  # fmt: skip
        makers = [maker for maker, weight in kinds for _ in range(weight)]
        order: list[Callable[[], Act]] = []
        while len(order) < count:
            self._chance.shuffle(makers)
            order += makers
        for make in order[:count]:
            act = make()
            self.written += act.kept
            yield act

    def sentinel(self) -> Act:
        """One plain row: when it has arrived, so has everything before it."""
        act = Act({}, "utf8mb4")
        act.statements.append(self._insert(act, 1, act.ids))
        return act

    def _session(self) -> Act:
        drawn = {}
        for variable, values, share in SETTINGS[self._flavour]:
            if self._chance.random() < share:
                drawn[variable] = self._chance.choice(values)
        drawn["SESSION time_zone"] = self._chance.choice(ZONES)
        drawn["SESSION sql_mode"] = self._chance.choice(MODES)
        return Act(drawn, self._chance.choice(CHARSETS))

    def _insert(self, act: Act, rows: int, into: list[int], note: str | None = None) -> tuple[str, tuple[object, ...]]:
        values: list[object] = []
        for _ in range(rows):
            identity, self._next_id = self._next_id, self._next_id + 1
            into.append(identity)
            values += self._row(identity, act.charset, note)
        one = f"({', '.join(['%s'] * len(COLUMNS))})"
        return f"INSERT INTO orders ({', '.join(COLUMNS)}) VALUES {', '.join([one] * rows)}", tuple(values)

    def _row(self, identity: int, charset: str, note: str | None) -> list[object]:
        chance = self._chance
        moment = datetime.now(UTC) - timedelta(seconds=chance.uniform(3600, 86_400 * 20))
        name = chance.choice(
            ("Anna", "José Núñez", "Zoë", "Łukasz 😀" if charset == "utf8mb4" else "Ægir", "O'Neill \\ Co")
        )
        return [
            identity,
            moment.replace(tzinfo=None, microsecond=moment.microsecond // 1000 * 1000),
            f"{chance.lognormvariate(3.5, 1.0):.2f}",
            chance.choice(("EUR", "USD")),
            f"{name} {chance.randrange(50)}",
            f"Gerät-{chance.randrange(30)}",
            chance.randrange(1, 9),
            note,
            f'{{"seen": {chance.randrange(9)}, "words": "{"w" * chance.randrange(40)}"}}',
        ]

    def _few(self) -> Act:
        act = self._session()
        for _ in range(self._chance.choice((1, 1, 2, 4))):
            act.statements.append(self._insert(act, self._chance.choice((1, 1, 3)), act.ids))
        act.ending = self._chance.choice(("commit", "commit", "commit", "rollback"))
        return act

    def _bulk(self) -> Act:
        act = self._session()
        act.statements.append(self._insert(act, self._chance.randint(50, 250), act.ids))
        return act

    def _savepoints(self) -> Act:
        act = self._session()
        act.statements += [self._insert(act, 2, act.ids), ("SAVEPOINT a", ())]
        act.statements += [self._insert(act, 2, act.undone), ("ROLLBACK TO SAVEPOINT a", ())]
        act.statements.append(self._insert(act, 1, act.ids))
        return act

    def _xa(self) -> Act:
        act = self._session()
        for _ in range(self._chance.choice((1, 2, 6))):
            act.statements.append(self._insert(act, self._chance.choice((1, 30)), act.ids))
        act.ending = self._chance.choice(("xa commit", "xa rollback", "xa left"))
        return act

    def _load(self) -> Act:
        act = self._session()
        act.charset = "utf8mb4"
        act.settings["SESSION time_zone"] = "+00:00"
        for _ in range(40):
            identity, self._next_id = self._next_id, self._next_id + 1
            act.ids.append(identity)
            row = self._row(identity, "latin1", "loaded")
            act.file_rows.append("\t".join(str(value).replace("\\", "\\\\") for value in row))
        return act

    def _labels(self) -> Act:
        act = self._session()
        for identity in self._some(3):
            act.statements.append(
                ("UPDATE orders SET is_fraud = %s WHERE id = %s", (self._chance.randrange(2), identity))
            )
        return act

    def _json(self) -> Act:
        act = self._session()
        for identity in self._some(2):
            change = "UPDATE orders SET details = JSON_SET(details, '$.seen', %s), is_fraud = %s WHERE id = %s"
            act.statements.append((change, (self._chance.randrange(99), self._chance.randrange(2), identity)))
        return act

    def _large(self) -> Act:
        act = self._session()
        act.statements.append(self._insert(act, 1, act.ids, note="n" * self._chance.randint(100_000, LARGE_BYTES)))
        act.statements.append(self._insert(act, 1, act.ids))
        return act

    def _deletion(self) -> Act:
        act = self._session()
        gone = self._some(2)
        self.written = [identity for identity in self.written if identity not in gone]
        act.statements += [("DELETE FROM orders WHERE id = %s", (identity,)) for identity in gone]
        return act

    def _definition(self) -> Act:
        act = Act({"SESSION lock_wait_timeout": "3"}, "utf8mb4", alone=True)
        there, back = self._chance.choice(ALTERATIONS)
        act.statements = [(there, ())]
        if "orders TO" not in there and "TRUNCATE" not in there:
            act.statements.append(self._insert(act, 3, act.ids))
        act.statements.append((back, ()))
        return act

    def _rotation(self) -> Act:
        return Act({}, "utf8mb4", [("FLUSH BINARY LOGS", ())], alone=True)

    def _metadata(self) -> Act:
        """The names leave the log for a moment: what is written then may be announced only."""
        act = Act({"SESSION binlog_format": "MIXED"}, "utf8mb4", alone=True)
        act.settings.clear()
        act.statements = [
            ("SET GLOBAL binlog_row_metadata = MINIMAL", ()),
            ("INSERT INTO bystanders (x) VALUES ('unnamed')", ()),
            ("SET GLOBAL binlog_row_metadata = FULL", ()),
        ]
        return act

    def _some(self, count: int) -> list[int]:
        return self._chance.sample(self.written, min(count, len(self.written)))
