"""Nothing lost, nothing different, nothing invented: a storm of writers, definitions and kills, then table and topics are compared.

TILLGUARD_TEST_SEED=<number> repeats the acts and the moments of the kills.
"""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest
import yaml

from contract.settings import Settings, parse
from support.debian_mysql import DebianMysql, UnavailableError
from support.storm_plan import Flavour
from support.storm_run import Server, Storm
from tillguard import retailers

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


@pytest.fixture(params=["mysql", "mariadb"])
def server(request: pytest.FixtureRequest, own_stack: Any, tmp_path: Path) -> Iterator[Server]:
    if request.param == "mariadb":
        yield EmbeddedMariadb(own_stack)
        return
    try:
        made = RealMysql(tmp_path / "mysql")
    except UnavailableError as error:
        pytest.skip(str(error))
    made.start()
    try:
        yield made
    finally:
        made.kill()


def settings_in(folder: Path, stack: Any) -> Settings:
    retailers.create("storm", "EUR", folder, {name: stack.endpoints[name] for name in ("kafka", "redis")})
    file = folder / "settings.yaml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["rates"] = {"USD": 0.9}
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return parse(document, where=str(file))


def weather(storm: Storm, stack: Any, chance: random.Random, *, acts: int, kills: int) -> None:
    """The acts, with kills, purges and late decisions between them, each kind of kill at least once when there are three."""

    def strike(what: str) -> None:
        sys.stdout.write(f"kill {what} after row {storm.planner.written[-1:]}\n")
        if what == "connector":
            storm.program.kill()
        elif what == "server":
            storm.kill_server()
        else:
            stack.kill("kafka")

    def mend(what: str) -> None:
        if what == "connector":
            storm.program.start()
        elif what == "kafka":
            stack.restart("kafka")

    every = max(1, acts // (kills + 1))
    victims = (["connector", "server", "kafka"] * kills)[:kills]
    chance.shuffle(victims)
    storm.play(list(storm.planner.acts(every)))
    storm.program.start()
    for victim in victims:
        storm.play(list(storm.planner.acts(chance.randint(1, every))))
        strike(victim)
        if victim != "server":
            storm.play(list(storm.planner.acts(chance.randint(0, every))))
        mend(victim)
        storm.purge()
        if chance.random() < 0.5:
            storm.decide_left()
    storm.settle()


def survive(server: Server, stack: Any, folder: Path, chance: random.Random, *, acts: int, kills: int) -> None:
    position_by = chance.choice(("file", "gtid"))
    settings = settings_in(folder / "retailer", stack)
    from tillguard import topics

    topics.ensure(settings)
    with Storm(server, settings, folder / "retailer", chance, position_by=position_by) as storm:
        weather(storm, stack, chance, acts=acts, kills=kills)
        found = storm.faults()
    for kind, sentences in found._asdict().items():
        assert sentences == [], f"{len(sentences)} {kind}, among them {sentences[:5]}"


@pytest.mark.timeout(600)
def test_table_and_topics_agree_after_a_storm(
    server: Server, own_stack: Any, tmp_path: Path, chance: random.Random
) -> None:
    survive(server, own_stack, tmp_path, chance, acts=60, kills=3)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("run", range(10))
def test_they_agree_after_many_long_storms(
    server: Server, own_stack: Any, tmp_path: Path, chance: random.Random, run: int
) -> None:
    survive(server, own_stack, tmp_path, chance, acts=400, kills=12)
