"""Databases of both kinds: a SQLite file, and a real PostgreSQL that starts when first asked for."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.postgresql import PostgreSql, run_postgresql


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSql]:
    with run_postgresql(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLAlchemy's URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'backoffice.db'}"
    server: PostgreSql = request.getfixturevalue("postgresql")
    return server.create_database()
