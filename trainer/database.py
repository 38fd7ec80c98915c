"""A database of the trainer: opened, brought up to date under a lock, its failures told without its password.

Shared by the registry and the examples store; knows neither's tables.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from contract.errors import ConfigurationError, TransientError
from trainer import package_files
from trainer.held_lock import HeldLock, take

LOCK_WAIT_S = 60
EXAMPLES_VERSION_TABLE = "examples_version"
"""Where Alembic notes the version of the examples store, so that it and the registry may share a database."""
_DURABLE = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000")
"""SQLite: readers beside the writer, every commit on disk before it returns, patience with another process."""


class Database:
    """Used by one thread, by any number of processes."""

    def __init__(
        self, url: str, *, setting: str, what: str, location: str, lock: str, read_while_written: bool = False
    ) -> None:
        """Opens nothing yet, but makes the folder of a SQLite file.

        Args:
            url: SQLAlchemy's.
            setting: where it comes from.
            what: the database in words, for messages.
            location: of the migrations, `package:folder`.
            lock: name of the lock that migrations take.
            read_while_written: SQLite in WAL mode, for a database that is read for long while another process writes.

        Raises ConfigurationError where the URL cannot be used, TillguardError where the folder cannot be made.
        """
        self._what, self._location, self._lock = what, location, lock
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError):
            raise ConfigurationError([f"{setting}: not a SQLAlchemy URL with an installed driver"]) from None
        if self._engine.dialect.name == "sqlite":
            if self._engine.url.database:
                with package_files.disk_faults():
                    Path(self._engine.url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
            if read_while_written:
                sa.event.listen(self._engine, "connect", _make_durable)

    def upgrade(self) -> None:
        """Brings the tables up to date; raises TransientError where the database does not answer."""
        # Two processes that start at once must not both create the tables: DDL is not transactional everywhere.
        with self.hold(f"{self._lock}-migration", wait_s=LOCK_WAIT_S), self.connection() as connection:
            config = Config()
            config.set_main_option("script_location", self._location)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    @contextmanager
    def connection(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back by an exception; raises TransientError."""
        with self._faults(), self._engine.begin() as connection:
            yield connection

    def hold(self, name: str, *, wait_s: float = 0.0, waits: Callable[[str], None] | None = None) -> HeldLock:
        """See trainer.held_lock.take; raises LockBusyError, TransientError, and TillguardError for the lock file."""
        with self._faults(), package_files.disk_faults():
            return take(self._engine, name, wait_s=wait_s, waits=waits)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise TransientError(f"{self._what} failed: {type(error.orig).__name__}{_reason(error)}") from None


def _make_durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _DURABLE:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _reason(error: sa.exc.DBAPIError) -> str:
    """SQLite's own words hold no URL and no value; another driver's may repeat the URL, its class says enough."""
    return f": {error.orig}" if type(error.orig).__module__ == "sqlite3" else ""
