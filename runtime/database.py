"""A SQL database of ours: opened, brought up to date under a lock, its failures told without its password. Knows no table."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from contract.errors import ConfigurationError, TransientError
from runtime.atomic_file import translate_disk_errors
from runtime.locks import HeldLock, take

LOCK_WAIT_S = 60
_MIGRATING = threading.Lock()
"""Alembic keeps the migration that runs in globals of its own: one at a time in a process, whatever databases they are of."""
_DURABLE = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000")
"""SQLite: readers next to the writer, every commit on disk before it returns, patience with another process."""


class Database:
    """Used by any number of threads and processes."""

    def __init__(self, url: str, *, setting: str, what: str, read_while_written: bool = False) -> None:
        """Opens nothing yet, but makes the folder of a SQLite file, for its owner alone.

        Args:
            url: SQLAlchemy's.
            setting: where it comes from.
            what: the database in words, for messages.
            read_while_written: SQLite in WAL mode, for a database that is read for long while another process writes.

        Raises ConfigurationError where the URL cannot be used, or the folder cannot be made.
        """
        self._what = what
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ImportError):
            raise ConfigurationError([f"{setting}: not a SQLAlchemy URL with an installed driver"]) from None
        if self._engine.dialect.name == "sqlite":
            if self._engine.url.database:
                _make_folder(Path(self._engine.url.database).absolute().parent, setting)
            if read_while_written:
                sa.event.listen(self._engine, "connect", _make_durable)

    def upgrade(self, location: str, *, lock: str, revision: str = "head") -> None:
        """Brings the tables up to date.

        Args:
            location: of Alembic's migrations, `package:folder`.
            lock: name of the lock that migrations take.
            revision: how far; a database that is further already stays as it is.

        Raises TransientError where the database does not answer, or another process migrates for more than LOCK_WAIT_S.
        """
        # Imported here: a process that keeps no more than one simple table does without Alembic.
        from alembic import command  # noqa: PLC0415
        from alembic.config import Config  # noqa: PLC0415

        # Two processes that start at once must not both create the tables: DDL is not transactional everywhere.
        with self.hold(f"{lock}-migration", wait_s=LOCK_WAIT_S), self.begin() as connection, _MIGRATING:
            config = Config()
            config.set_main_option("script_location", location)
            config.attributes["connection"] = connection
            command.upgrade(config, revision)

    def create(self, tables: sa.MetaData) -> None:
        """Creates the tables that are missing; raises TransientError."""
        with self.begin() as connection:
            tables.create_all(connection)

    def close(self) -> None:
        """Gives the connections back."""
        self._engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back by an exception; raises TransientError."""
        with self._faults(), self._engine.begin() as connection:
            yield connection

    def hold(self, name: str, *, wait_s: float = 0.0, waits: Callable[[str], None] | None = None) -> HeldLock:
        """See runtime.locks.take; raises LockBusyError, TransientError, and TillguardError for the lock file."""
        with self._faults(), translate_disk_errors(self._what):
            return take(self._engine, name, wait_s=wait_s, waits=waits)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sa.exc.SQLAlchemyError as error:
            raise TransientError(f"{self._what} failed: {_reason(error)}") from None


def _make_folder(folder: Path, setting: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigurationError([f"{setting}: its folder {folder} cannot be made: {error.strerror}"]) from None


def _make_durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _DURABLE:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _reason(error: sa.exc.SQLAlchemyError) -> str:
    """SQLite's own words hold no URL and no value; another driver's may repeat the URL, its class says enough."""
    cause = getattr(error, "orig", None) or error
    return f"{type(cause).__name__}: {cause}" if type(cause).__module__ == "sqlite3" else type(cause).__name__
