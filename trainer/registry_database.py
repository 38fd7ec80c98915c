"""The model registry's database: opened, brought up to date under a lock, its failures told without its password."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from contract.errors import ConfigurationError, TransientError
from trainer import package_files

LOCK_WAIT_S = 60
_MYSQL = (f"SELECT GET_LOCK('tillguard_registry', {LOCK_WAIT_S})", "SELECT RELEASE_LOCK('tillguard_registry')")
_LOCKS = {
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "postgresql": ("SELECT pg_advisory_lock(7420318)", "SELECT pg_advisory_unlock(7420318)"),
}


class Database:
    """Used by one thread, by any number of processes."""

    def __init__(self, url: str) -> None:
        """`url` is SQLAlchemy's; raises ConfigurationError where it cannot be used, TillguardError for its folder."""
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError):
            raise ConfigurationError(["trainer.registry_url: not a SQLAlchemy URL with an installed driver"]) from None
        if self._engine.dialect.name == "sqlite" and self._engine.url.database:
            with package_files.disk_faults():
                Path(self._engine.url.database).absolute().parent.mkdir(parents=True, exist_ok=True)

    def upgrade(self) -> None:
        """Brings the tables up to date; raises TransientError where the database does not answer."""
        with _faults(), self._engine.connect() as connection, _migration_lock(connection), connection.begin():
            config = Config()
            config.set_main_option("script_location", "trainer:migrations")
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back by an exception; raises TransientError."""
        with _faults(), self._engine.begin() as connection:
            yield connection


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except sa.exc.DBAPIError as error:
        # The driver's own text may repeat the URL; its class says enough.
        raise TransientError(f"the model registry's database failed: {type(error.orig).__name__}") from None


@contextmanager
def _migration_lock(connection: sa.Connection) -> Iterator[None]:
    """Two processes that start at once must not both create the tables: DDL is not transactional everywhere.

    Held until after the migration's commit; on entry `connection` has no transaction open.
    """
    dialect, database = connection.dialect.name, connection.engine.url.database
    if dialect == "sqlite" and database:
        with Path(f"{database}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    elif dialect in _LOCKS:
        take, give = _LOCKS[dialect]
        if connection.scalar(sa.text(take)) == 0:
            raise TransientError(f"another process has been migrating the model registry for {LOCK_WAIT_S} s")
        connection.commit()
        try:
            yield
        finally:
            connection.execute(sa.text(give))
            connection.commit()
    else:
        yield
