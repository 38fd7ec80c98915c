"""A storm on a real server while a connector reads it: acts are played, and server, connector and Kafka are killed between them."""

import contextlib
import random
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import msgspec
import pymysql

from connectors.config.connector_file import MysqlServer
from connectors.mysql.position import parse_stream
from connectors.ports import Position
from connectors.running.positions import SqlOffsetStore
from contract.dead_letters import DeadLetter
from contract.events import Label, Transaction
from contract.settings import Settings
from support.crash_log import Entry, GrowingLog
from support.crash_run import Program
from support.live_worker import until
from support.storm_plan import BYSTANDERS, TABLE, Act, Flavour, Planner
from support.storm_proof import Faults, TableRow, faults, unproved

M = TypeVar("M", bound=msgspec.Struct)
CONNECTOR = """\
name: {name}
source:
  {{kind: mysql, host: {host}, port: {port}, user: {user}, password: "{password}", database: {database}, heartbeat_s: 0.5,
    position_by: {position_by}{policy}}}
transactions:
  table: orders
  key: id
  fields: {{transaction_id: id, event_time: placed_at, amount: total, currency: currency, customer: customer, device: device, basket_items: items}}
labels:
  - column: is_fraud
limits: {{dead_letters_in_a_row: 100000, dead_letter_ratio: 1}}
"""
REFUSALS = (
    pymysql.err.OperationalError,
    pymysql.err.ProgrammingError,
    pymysql.err.InternalError,
    pymysql.err.DataError,
)
AWAY = (2003, 2006, 2013)
"""Codes of a connection to a server that was killed."""


class Server(Protocol):
    """A database server that may be killed."""

    flavour: Flavour

    def connect(self, **options: Any) -> Any: ...

    def kill(self) -> None: ...

    def start(self) -> None: ...


class Storm:
    """One server, its database, a connector on it, and what is known of every row. A context manager."""

    def __init__(
        self, server: Server, settings: Settings, folder: Path, chance: random.Random, *, position_by: str
    ) -> None:
        self._server = server
        self._settings = settings
        self._chance = chance
        self._folder = folder
        self._database = f"storm_{secrets.token_hex(4)}"
        self.planner = Planner(server.flavour, chance)
        self.announced: set[str] = set()
        self.deleted: set[str] = set()
        self.late_labels: set[str] = set()
        self._left: list[tuple[str, Act]] = []
        self._logs = {
            kind: GrowingLog(settings.kafka, f"{settings.retailer}.{kind}.v1", "storm")
            for kind in ("transactions", "labels", "dead-letters")
        }
        self._execute(f"CREATE DATABASE {self._database}", database=None)
        for statement in (TABLE, BYSTANDERS):
            self._execute(statement)
        self.name = f"storm-{server.flavour}"
        file = folder / "connectors" / f"{self.name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self._connector_file(position_by), encoding="utf-8")
        config = ["--config", str(folder / "settings.yaml")]
        self.program = Program(self.name, folder, ["connector", "run", str(file), *config])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.program.kill()
        for log in self._logs.values():
            log.close()
        sys.stdout.write(f"--- {self.name}\n{self.program.tail()}\n")

    def play(self, acts: Sequence[Act]) -> None:
        """Every act to its end; what the server refuses as a whole is rolled back and forgotten."""
        for act in acts:
            if act.alone:
                self.decide_left()
            self._play(act)
            self.program.tend()

    def kill_server(self) -> None:
        """SIGKILL and a new start; prepared XA transactions live on."""
        self._server.kill()
        self._server.start()

    def decide_left(self) -> None:
        """Commits or rolls back every XA transaction that its session left prepared."""
        for name, act in self._left:
            commits = self._chance.random() < 0.5
            with contextlib.closing(self._connect()) as connection, connection.cursor() as cursor:
                for variable, value in act.settings.items():
                    if variable.startswith("SESSION binlog"):
                        with contextlib.suppress(*REFUSALS):
                            cursor.execute(f"SET {variable} = '{value}'")
                cursor.execute(f"XA {'COMMIT' if commits else 'ROLLBACK'} '{name}'")
            if commits:
                self._note_kept(act)
        self._left.clear()

    def purge(self) -> None:
        """Deletes the logs that the connector has left behind."""
        store = SqlOffsetStore(self._settings.connectors.positions_url.get_secret_value(), self._settings.retailer)
        try:
            saved = store.load(self.name)
        finally:
            store.close()
        if saved is None or saved.position.stage != "stream":
            return
        file = parse_stream(Position("stream", saved.position.text)).file
        with contextlib.suppress(*REFUSALS):
            self._execute(f"PURGE BINARY LOGS TO '{file}'")
        # whoever commits these now commits what the log may not hold any more: a reader can only announce it
        for _, act in self._left:
            self.announced |= {str(identity) for identity in act.ids}

    def settle(self) -> None:
        """Waits until a last row has come through; everything before it has then been read."""
        self.decide_left()
        last = self.planner.sentinel()
        self._play(last)
        wanted = str(last.ids[0])

        def arrived() -> bool:
            self.program.tend()
            return any(each.key == wanted for each in self._read("transactions"))

        until(arrived, "the last row arrives")
        assert self.program.terminate() == 0, self.program.tail()

    def faults(self) -> Faults:
        """What the table and the topics say of each other."""
        with contextlib.closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION time_zone = '+00:00'")
            cursor.execute("SELECT id, placed_at, total, currency, customer, device, items, is_fraud FROM orders")
            table = [TableRow(*row)._replace(placed_at=row[1].replace(tzinfo=UTC)) for row in cursor.fetchall()]
        transactions = [each for each in self._told("transactions", Transaction) if each.origin.connector == self.name]
        labels = [each for each in self._told("labels", Label) if each.origin and each.origin.connector == self.name]
        letters = [each for each in self._told("dead-letters", DeadLetter) if each.part == f"connector:{self.name}"]
        announced = {letter.key for letter in letters if letter.key}
        if any(letter.key is None for letter in letters):
            announced |= self.announced
        sys.stdout.write(
            f"{self._server.flavour}: {len(table)} rows, {len(transactions)} transactions, {len(labels)} labels, {len(letters)} letters, "
            f"{len(self.announced)} rows written as statements, {len(self.deleted)} deleted\n"
        )
        assert not (why := unproved(table, transactions, self.announced)), why
        return faults(
            table, transactions, labels, announced=announced, deleted=self.deleted, late_labels=self.late_labels
        )

    def _play(self, act: Act) -> None:
        name = f"x{secrets.token_hex(6)}"
        try:
            with contextlib.closing(self._connect(charset=act.charset, local_infile=True)) as connection:
                self._session(connection, act, name)
        except REFUSALS as error:
            if error.args[0] in AWAY:
                raise
            sys.stdout.write(f"refused: {error} {act.settings} {[s for s, _ in act.statements][:2]}\n"[:300])
            if act.alone:
                self._restore(act)
            return
        if act.ending == "xa left":
            self._left.append((name, act))
        else:
            self._note_kept(act)

    def _session(self, connection: Any, act: Act, name: str) -> None:
        with connection.cursor() as cursor:
            for variable, value in act.settings.items():
                with contextlib.suppress(*REFUSALS):
                    cursor.execute(
                        f"SET {variable} = '{value}'" if not value.isdigit() else f"SET {variable} = {value}"
                    )
            if act.alone:
                for statement, values in act.statements:
                    cursor.execute(statement, values or None)
                return
            cursor.execute(f"XA START '{name}'" if act.ending.startswith("xa") else "START TRANSACTION")
            for statement, values in act.statements:
                cursor.execute(statement, values or None)
            if act.file_rows:
                self._load(cursor, act)
            for closing in _closing(act, name):
                cursor.execute(closing)

    def _load(self, cursor: Any, act: Act) -> None:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self._folder, suffix=".tsv") as file:
            file.write("\n".join(act.file_rows) + "\n")
            file.flush()
            escaped = (
                "" if "NO_BACKSLASH" not in act.settings.get("SESSION sql_mode", "") else " FIELDS ESCAPED BY '\\'"
            )
            cursor.execute(
                f"LOAD DATA LOCAL INFILE '{file.name}' INTO TABLE orders CHARACTER SET utf8mb4{escaped} "
                "(id, placed_at, total, currency, customer, device, items, note, details)"
            )

    def _note_kept(self, act: Act) -> None:
        kept = set() if act.ending in {"rollback", "xa rollback"} else {str(identity) for identity in act.ids}
        touched = {str(values[-1]) for statement, values in act.statements if statement.startswith("UPDATE")}
        if act.as_text:
            self.announced |= kept
            self.late_labels |= touched
        self.deleted |= {str(values[-1]) for statement, values in act.statements if statement.startswith("DELETE")}
        if act.ending == "xa left":
            self.planner.written += act.ids

    def _restore(self, act: Act) -> None:
        """The way back of a definition that the server refused half-way."""
        with contextlib.suppress(*REFUSALS):
            self._execute(act.statements[-1][0])

    def _told(self, kind: str, message: type[M]) -> list[M]:
        return [msgspec.json.decode(entry.value, type=message) for entry in self._read(kind)]

    def _read(self, kind: str) -> list[Entry]:
        return self._logs[kind].read()

    def _execute(self, statement: str, database: str | None = "") -> None:
        with contextlib.closing(self._connect(database=database)) as connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def _connect(self, *, database: str | None = "", **options: Any) -> Any:
        # prepared XA transactions hold their locks until somebody decides them
        options = {"init_command": "SET lock_wait_timeout = 3, innodb_lock_wait_timeout = 3", **options}
        return self._server.connect(database=self._database if database == "" else database, **options)

    def _connector_file(self, position_by: str) -> str:
        with contextlib.closing(self._connect()) as connection:
            where = {"host": connection.host, "port": connection.port, "user": connection.user.decode()}
            where["password"] = connection.password.decode()
        policy = ", on_unreadable: dead_letter" if "on_unreadable" in MysqlServer.model_fields else ""
        return CONNECTOR.format(
            name=self.name, database=self._database, position_by=position_by, policy=policy, **where
        )


def _closing(act: Act, name: str) -> Iterator[str]:
    if not act.ending.startswith("xa"):
        yield act.ending.upper()
        return
    yield f"XA END '{name}'"
    yield f"XA PREPARE '{name}'"
    if act.ending != "xa left":
        yield f"XA {act.ending.removeprefix('xa ').upper()} '{name}'"
