"""Locks in a database server: one holder at a time, whoever asks, for as long as its session lives, however quiet it is."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa

from contract.errors import FencedError
from federation.store import SqlStore
from runtime.locks import LockBusyError, take

pytestmark = pytest.mark.integration

OWNER = "participant/f/shop"


@pytest.fixture
def server(stack: Any) -> Iterator[Any]:
    """A connection to the suite's MariaDB, as its administrator."""
    where = stack.endpoints["mariadb"]
    connection = pymysql.connect(
        host=where.host, port=where.port, user=where.user, password=where.password, autocommit=True
    )
    yield connection
    connection.close()


@pytest.fixture
def database(stack: Any, server: Any, retailer_name: str) -> Iterator[str]:
    """The URL of a database of the test's own."""
    name = f"locks_{retailer_name}".replace("-", "_")
    ask(server, f"CREATE DATABASE {name}")
    yield f"{stack.endpoints['mariadb'].uri}/{name}"
    ask(server, f"DROP DATABASE {name}")


def ask(server: Any, statement: str) -> list[tuple[Any, ...]]:
    with server.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall())


def sessions(server: Any, database: str) -> list[int]:
    name = database.rsplit("/", 1)[1]
    return [row[0] for row in ask(server, f"SELECT id FROM information_schema.processlist WHERE db = '{name}'")]


@pytest.fixture
def engines(database: str) -> Iterator[Callable[..., sa.Engine]]:
    """Makes engines, each as of another process."""
    made: list[sa.Engine] = []

    def make(**options: Any) -> sa.Engine:
        made.append(sa.create_engine(database, **options))
        return made[-1]

    yield make
    for engine in made:
        engine.dispose()


def test_a_trainers_lock_on_a_server_has_one_holder_and_is_given_back(engines: Callable[..., sa.Engine]) -> None:
    one, two = engines(), engines()
    with take(one, "trainer-shop") as held:
        assert held.is_still_held()
        with pytest.raises(LockBusyError, match="connected to the same database"):
            take(two, "trainer-shop")
        with take(two, "trainer-other") as other:
            assert other.is_still_held()
    with take(two, "trainer-shop", wait_s=30) as held:
        assert held.is_still_held()
    held.release()


def test_a_trainers_lock_that_ended_with_its_session_is_held_no_more(
    engines: Callable[..., sa.Engine], server: Any, database: str
) -> None:
    held = take(engines(), "trainer-shop")
    for session in sessions(server, database):
        ask(server, f"KILL {session}")
    with take(engines(), "trainer-shop", wait_s=30) as successor:
        assert not held.is_still_held()
        assert not held.is_still_held(), "also where the driver has connected again"
        held.release()
        assert successor.is_still_held()


def test_a_participants_lock_on_a_server_has_one_holder_until_it_closes(database: str) -> None:
    one, two = (SqlStore(database, setting="test") for _ in range(2))
    one.hold(OWNER)
    with pytest.raises(FencedError, match="participant/f/shop runs already"):
        two.hold(OWNER)
    two.hold("participant/f/other")
    one.close()
    two.hold(OWNER)
    two.close()


def test_locks_outlast_the_time_after_which_a_server_ends_quiet_sessions(
    engines: Callable[..., sa.Engine], server: Any, database: str
) -> None:
    store = SqlStore(f"{database}?init_command=SET%20SESSION%20wait_timeout%3D1", setting="test")
    store.hold(OWNER)
    quiet = {"init_command": "SET SESSION wait_timeout = 1"}
    held = take(engines(connect_args=quiet), "training-shop")
    witness = engines(connect_args=quiet).connect()
    number = witness.scalar(sa.text("SELECT CONNECTION_ID()"))
    deadline_s = time.monotonic() + 60
    while number in sessions(server, database):
        assert time.monotonic() < deadline_s, "the server ends no quiet session"
        time.sleep(0.1)
    witness.invalidate()
    other = SqlStore(database, setting="test")
    with pytest.raises(FencedError):
        other.hold(OWNER)
    assert held.is_still_held()
    held.release()
    store.close()
    other.close()
