"""A database is brought up to date once, whoever opens it at the same moment."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa

from runtime.database import Database

pytestmark = pytest.mark.integration
THREADS = 8


def opened(file: Path, barrier: threading.Barrier) -> list[str]:
    """Opens a registry's database as one of several threads; gives its tables."""
    database = Database(f"sqlite:///{file}", setting="x", what="the database")
    barrier.wait()
    database.upgrade("trainer.registry:migrations", lock="registry")
    with database.begin() as connection:
        found = sorted(sa.inspect(connection).get_table_names())
    database.close()
    return found


@pytest.mark.parametrize("shared", [True, False], ids=["one database", "a database each"])
def test_threads_of_one_process_may_open_databases_at_once(tmp_path: Path, shared: bool) -> None:
    barrier = threading.Barrier(THREADS)
    files = [tmp_path / ("one.db" if shared else f"{number}.db") for number in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        tables = list(pool.map(lambda file: opened(file, barrier), files))
    assert all("models" in names for names in tables)
    assert len({tuple(names) for names in tables}) == 1
