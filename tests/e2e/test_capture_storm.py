"""Nothing lost, nothing different, nothing invented: a storm of writers, definitions and kills, then table and topics are compared.

TILLGUARD_TEST_SEED=<number> repeats the acts and the moments of the kills.
"""

import contextlib
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import yaml

from contract.settings import Settings, parse
from embedded import retailers
from runtime.kafka import topics
from support.debian_mysql import DebianMysql, UnavailableError
from support.storm_plan import Flavour
from support.storm_run import Server, Storm

pytestmark = pytest.mark.e2e


class RealMysql:
    """The real MySQL server of Debian's packages."""

    flavour: Flavour = "mysql"

    def __init__(self, folder: Path) -> None:
        self.server = DebianMysql(folder)
        self.connect, self.kill, self.start = self.server.connect, self.server.kill, self.server.start


class EmbeddedMariadb:
    """The MariaDB server of the test's own stack."""

    flavour: Flavour = "mariadb"

    def __init__(self, stack: Any) -> None:
        self._stack = stack
        self.start()

    def connect(self, **options: Any) -> Any:
        where = self._endpoint
        given = {"host": where.host, "port": where.port, "user": where.user, "password": where.password}
        return pymysql.connect(**{**given, "autocommit": True, "charset": "utf8mb4", **options})

    def kill(self) -> None:
        self._stack.kill("mariadb")

    def start(self) -> None:
        self._endpoint = (
            self._stack.endpoints["mariadb"] if not hasattr(self, "_endpoint") else self._stack.restart("mariadb")
        )


@pytest.fixture
def servers(own_stack: Any, tmp_path: Path) -> Iterator[list[Server]]:
    """MariaDB, and the real MySQL wherever Debian's packages can be had."""
    made: list[Server] = [EmbeddedMariadb(own_stack)]
    try:
        mysql = RealMysql(tmp_path / "mysql")
    except UnavailableError as error:
        sys.stdout.write(f"without MySQL: {error}\n")
        yield made
        return
    mysql.start()
    try:
        yield [*made, mysql]
    finally:
        mysql.kill()


def settings_in(folder: Path, stack: Any) -> Settings:
    retailers.create("storm", "EUR", folder, {name: stack.endpoints[name] for name in ("kafka", "redis")})
    file = folder / "settings.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["rates"] = {"USD": 0.9}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return parse(document, where=str(file))


def weather(storms: list[Storm], stack: Any, chance: random.Random, *, acts: int, kills: int) -> None:
    """The acts, with kills, purges and late decisions between them, each kind of kill at least once when there are three."""
    every = max(1, acts // (kills + 1))
    victims = (["connector", "server", "kafka"] * kills)[:kills]
    chance.shuffle(victims)
    play(storms, every)
    for storm in storms:
        storm.program.start()
    for victim in victims:
        play(storms, chance.randint(1, every))
        sys.stdout.write(f"kill {victim} after rows {[storm.planner.written[-1:] for storm in storms]}\n")
        strike(victim, storms, stack)
        play(storms, 0 if victim == "server" else chance.randint(0, every))
        mend(victim, storms, stack)
        for storm in storms:
            storm.purge()
            if chance.random() < 0.5:
                storm.decide_left()
    for storm in storms:
        storm.settle()


def play(storms: list[Storm], acts: int) -> None:
    for storm in storms:
        storm.play(list(storm.planner.acts(acts)))


def strike(victim: str, storms: list[Storm], stack: Any) -> None:
    if victim == "kafka":
        stack.kill("kafka")
        return
    for storm in storms:
        storm.program.kill() if victim == "connector" else storm.kill_server()


def mend(victim: str, storms: list[Storm], stack: Any) -> None:
    if victim == "kafka":
        stack.restart("kafka")
    elif victim == "connector":
        for storm in storms:
            storm.program.start()


def survive(servers: list[Server], stack: Any, folder: Path, chance: random.Random, *, acts: int, kills: int) -> None:
    settings = settings_in(folder / "retailer", stack)
    topics.ensure(settings)
    with contextlib.ExitStack() as ends:
        storms = [
            ends.enter_context(
                Storm(server, settings, folder / "retailer", chance, position_by=chance.choice(("file", "gtid")))
            )
            for server in servers
        ]
        weather(storms, stack, chance, acts=acts, kills=kills)
        found = {storm.name: storm.faults() for storm in storms}
    for name, faults in found.items():
        for kind, sentences in faults._asdict().items():
            assert sentences == [], f"{name}: {len(sentences)} {kind}, among them {sentences[:5]}"


@pytest.mark.timeout(600)
def test_table_and_topics_agree_after_a_storm(servers: list[Server], own_stack: Any, tmp_path: Path) -> None:
    chance = random.Random(
        int(os.environ.get("TILLGUARD_TEST_SEED") or 1)
    )  # the same storm every time, unless asked for
    survive(servers, own_stack, tmp_path, chance, acts=30, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("run", range(10))
def test_they_agree_after_many_long_storms(
    servers: list[Server], own_stack: Any, tmp_path: Path, chance: random.Random, run: int
) -> None:
    survive(servers, own_stack, tmp_path, chance, acts=400, kills=12)
