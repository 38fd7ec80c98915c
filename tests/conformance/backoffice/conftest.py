"""Both kinds of database that the backoffice promises: SQLite files, and a real PostgreSQL that starts once for a run."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.postgresql import PostgreSql, run_postgresql

if TYPE_CHECKING:
    from backoffice.projection.store import ReadModelStore


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSql]:
    """Starts when a test first asks. Take a database of your own: `create_database`."""
    with run_postgresql() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLAlchemy's, of a new and empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'backoffice.db'}"
    server: PostgreSql = request.getfixturevalue("postgresql")
    return server.create_database()


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def shared_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["ReadModelStore"]:
    """One read model of each kind for the run, since its tables take a second to make."""
    from backoffice.projection.store import ReadModelStore

    file = tmp_path_factory.mktemp("read-model") / "read-model.db"
    sqlite = request.param == "sqlite"
    opened = ReadModelStore(f"sqlite:///{file}" if sqlite else request.getfixturevalue("postgresql").create_database())
    yield opened
    opened.close()


@pytest.fixture
def store(shared_store: "ReadModelStore") -> "ReadModelStore":
    """Without a row of the retailers that tests are about."""
    from support.read_model import RETAILER

    for retailer in (RETAILER, "other"):
        shared_store.clear(retailer)
    return shared_store
