"""A retailer's whole pipeline as processes, struck by kill -9 while its shop continues selling, and brought back."""

import random
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import yaml
from confluent_kafka import Producer

from connectors.ports import Position
from connectors.running.positions import SqlOffsetStore
from contract.settings import Settings, parse
from contract.topics import DEAD_LETTERS, FEATURES, MODELS, TRANSACTIONS, VERDICTS
from embedded import retailers
from support import forked
from support.crash_log import GrowingLog
from support.crash_proof import left_held, letters_of, offsets_ran_ahead, position_ran_ahead, verdicts_of
from support.crash_shop import CONNECTOR, ROWS_BRISK_MAX, CrashShop, Traffic
from support.forked import ForkedProcess
from support.live_worker import until
from support.tiny_model import tiny_messages, tiny_package

RETAILER = "crash"
DEADLINE_S = 120.0
SERVERS = ("kafka", "redis")
WORKERS = ("worker-1", "worker-2")
PROGRAMS = ("connector", *WORKERS)
HOLD_S = 5.0
HISTORY_ROWS = 500
ROWS_PER_S = 20.0
STOPS_A_MINUTE = 5
"""So few that the breaker opens, and closes while everything is read again."""
WEIGHTS = {"amount": 0.03, "customer_count_30d": 0.05, "email_count_1h": 0.1, "device_distinct_card_1d": 0.1}
ENDINGS_MAX = 10


class Blow(NamedTuple):
    """Processes that are killed together."""

    victims: tuple[str, ...]
    after_rows: int
    """Rows sold since the blow before it was fixed."""
    down_rows: int
    """Rows sold until the victims are started again."""
    settled: bool
    """Waits until the system answers before it strikes, and until the outage shows; else it strikes whatever is continuing."""


def plan(chance: random.Random, more: int) -> list[Blow]:
    """Every kind of process once, in any order, and `more` blows at anything, several together among them."""
    kinds = [("connector",), (chance.choice(WORKERS),), WORKERS, ("redis",), ("kafka",)]
    chance.shuffle(kinds)
    blows = [Blow(kind, chance.randint(20, 150), chance.randint(10, 120), settled=True) for kind in kinds]
    for _ in range(more):
        victims = tuple(chance.sample((*SERVERS, *PROGRAMS), chance.choice((1, 2, 2, 3))))
        at = chance.randrange(len(blows) + 1)
        blows.insert(at, Blow(victims, chance.randint(1, 100), chance.randint(0, 80), settled=False))
    return blows


class Program:
    """One `tillguard` command that is started again and again."""

    def __init__(self, name: str, folder: Path, arguments: Sequence[str]) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._command = ["-m", "tillguard", *arguments]
        self._process: ForkedProcess | None = None
        self._endings = 0

    def start(self) -> None:
        self._process = forked.start(self._command, log=self.log)

    def kill(self) -> None:
        """It has ended on return."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> int | None:
        """Its exit code after SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        code = self._process.wait(DEADLINE_S)
        self._process = None
        return code

    def tend(self) -> None:
        """Starts it again, as a supervisor does, when it ended because something else is away (exit code 1)."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return
        self._endings += 1
        assert code == 1, f"{self.name} ended by itself with {code}:\n{self.tail()}"
        assert self._endings <= ENDINGS_MAX, f"{self.name} ends again and again:\n{self.tail()}"
        sys.stdout.write(f"{self.name} ended by itself; its last words:\n{self.tail()[-300:]}\n")
        self.start()

    def tail(self) -> str:
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""


class CrashRun:
    """A context manager: leaving it ends every process that it started; the stack is its owner's to stop."""

    def __init__(self, stack: Any, folder: Path, chance: random.Random) -> None:
        """`stack` may be broken at will."""
        self._stack = stack
        self._chance = chance
        endpoints = {name: stack.endpoints[name] for name in ("kafka", "redis", "mariadb")}
        self.settings = _settings(folder / "retailer", endpoints)
        self.shop = CrashShop(endpoints["mariadb"], random.Random(chance.random()))
        self.traffic = Traffic(self.shop, ROWS_PER_S)
        file = folder / "orders.yaml"
        file.write_text(self.shop.connector_file(), encoding="utf-8")
        config = ["--config", str(folder / "retailer" / "settings.yaml")]
        self._config = config
        self.programs = {"connector": Program("connector", folder, ["connector", "run", str(file), *config])}
        self.programs |= {
            name: Program(name, folder, ["score", "--retailer", RETAILER, *config, "--web-port", "0"])
            for name in WORKERS
        }
        self.logs = {
            topic.kind: GrowingLog(self.settings.kafka, topic.name(RETAILER), f"{RETAILER}.scoring")
            for topic in (TRANSACTIONS, VERDICTS, FEATURES, DEAD_LETTERS)
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        for program in self.programs.values():
            program.kill()
        try:
            self.traffic.end()
        finally:
            self.shop.close()
            for log in self.logs.values():
                log.close()
            for program in self.programs.values():
                sys.stdout.write(f"--- {program.name}\n{program.tail()}")

    def begin(self) -> None:
        """History in the table, a model, and everything running."""
        self.publish("first")
        self.shop.stock(HISTORY_ROWS)
        for program in self.programs.values():
            program.start()
        self.traffic.start()

    def publish(self, version: str) -> None:
        """A new model, whose scores depend on windows too: an event counted twice would show in them."""
        weights = {name: weight * self._chance.uniform(0.5, 1.5) for name, weight in WEIGHTS.items()}
        package = tiny_package(version, RETAILER, weights, bias=-4.0)
        producer = Producer(self.settings.kafka.to_librdkafka())
        for key, value in tiny_messages(package, version):
            producer.produce(MODELS.name(RETAILER), value, key)
        assert producer.flush(30) == 0

    def endure(self, blow: Blow) -> None:
        """One blow, from waiting for its moment to everything being started again."""
        if blow.settled:
            self._await_more("a full verdict", lambda: len(self.logs["features"].read()))
        self._await_rows(blow.after_rows)
        for name in blow.victims:
            self._kill(name)
        if blow.settled and blow.victims == ("redis",):
            self._await_more("a degraded verdict", self._degraded)
        self._await_rows(blow.down_rows)
        for name in SERVERS:
            if name in blow.victims:
                self._stack.restart(name)
        self.prove_nothing_ran_ahead(blow.victims)
        programs = [name for name in blow.victims if name in self.programs]
        self._chance.shuffle(programs)
        for name in programs:
            self.programs[name].start()

    def prove_nothing_ran_ahead(self, victims: Sequence[str]) -> None:
        """Whatever the dead would not read again is there already. They must not have been started again yet."""
        if "connector" in victims and (position := self.position()) is not None:
            rows = list(self.shop.committed)
            assert position_ran_ahead(position, rows, self.delivered()) == []
        if any(name in WORKERS for name in victims):
            committed = self.logs["transactions"].committed()
            answered = {entry.key for entry in self.logs["features"].read()} & self._fully_answered()
            assert offsets_ran_ahead(committed, self.logs["transactions"].read(), answered) == []

    def position(self) -> Position | None:
        """Where the connector would start."""
        store = SqlOffsetStore(self.settings.connectors.positions_url.get_secret_value(), RETAILER)
        try:
            saved = store.load(CONNECTOR)
        finally:
            store.close()
        return None if saved is None or not saved.position.text else saved.position

    def delivered(self) -> set[str]:
        """Rows that are on the transactions topic or among the dead letters."""
        transactions = {entry.key for entry in self.logs["transactions"].read()}
        return transactions | letters_of(self.logs["dead-letters"].read()).keys()

    def read_everything_again(self) -> None:
        """An operator forgets the connector's position: every row comes once more."""
        assert self.programs["connector"].terminate() == 0
        forked.tillguard(
            "connector", "positions", "reset", CONNECTOR, *self._config, within_s=DEADLINE_S
        ).check_returncode()
        self.programs["connector"].start()

    def settle(self) -> None:
        """Waits until nothing is left to do: the table is read, every offset committed, every hold ended."""
        last = self.shop.committed[-1]
        self._await("the connector reaches the end of the log", lambda: self._has_read_to(last))
        transactions = self.logs["transactions"]
        self._await("all offsets are committed", lambda: transactions.committed() == _used(transactions.ends()))
        self._await("all holds have ended", lambda: not left_held(verdicts_of(self.logs["verdicts"].read())))

    def stop(self) -> None:
        """Asks every process to end, which each does without a complaint."""
        assert {name: program.terminate() for name, program in self.programs.items()} == dict.fromkeys(PROGRAMS, 0)

    def _has_read_to(self, last: Any) -> bool:
        position = self.position()
        return position is not None and position.stage == "stream" and position_ran_ahead(position, [last], set()) != []

    def _kill(self, name: str) -> None:
        if name in self.programs:
            self.programs[name].kill()
        else:
            self._stack.kill(name)

    def _fully_answered(self) -> set[str]:
        found = verdicts_of(self.logs["verdicts"].read())
        return {identity for identity, given in found.items() if any(verdict.revision >= 1 for verdict in given)}

    def _degraded(self) -> int:
        return sum(entry.value.count(b'"revision":0') for entry in self.logs["verdicts"].read())

    def _await_rows(self, rows: int) -> None:
        wanted = len(self.shop.committed) + rows
        self._await(f"row {wanted} is sold", lambda: len(self.shop.committed) >= min(wanted, ROWS_BRISK_MAX))

    def _await_more(self, what: str, count: Callable[[], int]) -> None:
        before = count()
        self._await(what, lambda: count() > before)

    def _await(self, what: str, condition: Callable[[], bool]) -> None:
        def holds() -> bool:
            self.traffic.check()
            for program in self.programs.values():
                program.tend()
            return condition()

        until(holds, what)


def _used(ends: dict[int, int]) -> dict[int, int]:
    """Partitions without a record have no offset to commit."""
    return {number: end for number, end in ends.items() if end}


def _settings(folder: Path, endpoints: dict[str, Any]) -> Settings:
    """As `tillguard init` writes them, with holds that end within the test."""
    retailers.create(RETAILER, "EUR", folder, endpoints)
    file = folder / "settings.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["rates"] = {"USD": 0.9}
    document["scoring"]["hold"] = {"expires_after_s": HOLD_S, "on_expiry": "block"}
    document["scoring"]["breaker"] = {"per_minute_max": STOPS_A_MINUTE}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return parse(document, where=str(file))
