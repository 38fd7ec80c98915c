"""Databases of the trainer: opening one, bringing its tables up to date, and errors that name no URL.

Shared by the registry and the examples store; knows neither's tables.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from contract.errors import ConfigurationError, TillguardError, TransientError

EXAMPLES_VERSION_TABLE = "examples_version"
LOCK_WAIT_S = 60
_LOCK_IDS = {"registry": 7_420_318, "examples": 7_420_319}
"""PostgreSQL knows advisory locks by number."""
_SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000")
"""Readers beside the writer, every commit on disk before it returns, patience with another process."""


def open_engine(url: str, setting: str) -> sa.Engine:
    """An engine for `url`, the value of `setting`; the folder of a SQLite file is made.

    Raises ConfigurationError for a URL that cannot be used, TillguardError where the folder cannot be made.
    """
    try:
        engine = sa.create_engine(url, pool_pre_ping=True)
    except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError):
        raise ConfigurationError([f"{setting}: not a SQLAlchemy URL with an installed driver"]) from None
    if engine.dialect.name == "sqlite":
        if engine.url.database:
            folder = Path(engine.url.database).absolute().parent
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise TillguardError(f"{setting}: {folder} cannot be made: {error.strerror}") from None
        sa.event.listen(engine, "connect", _make_durable)
    return engine


@contextmanager
def transaction(engine: sa.Engine, what: str) -> Iterator[sa.Connection]:
    """One transaction: whole or not at all. Raises TransientError where the database fails; `what` names it in words."""
    try:
        with engine.begin() as connection:
            yield connection
    except sa.exc.DBAPIError as error:
        raise TransientError(f"{what} failed: {type(error.orig).__name__}{_plain_reason(error)}") from None
    except sa.exc.TimeoutError:
        raise TransientError(f"{what} failed: no connection became free") from None


def upgrade(connection: sa.Connection, location: str) -> None:
    """Runs the migrations in `location` (`package:folder`) that are due."""
    config = Config()
    config.set_main_option("script_location", location)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def migration_lock(connection: sa.Connection, name: str) -> Iterator[None]:
    """Two processes that start at once must not both create the tables: DDL is not transactional everywhere."""
    dialect, database = connection.dialect.name, connection.engine.url.database
    if dialect == "sqlite" and database:
        with Path(f"{database}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    elif dialect in {"mysql", "mariadb"}:
        lock_name = {"lock": f"tillguard_{name}"}
        if connection.scalar(sa.text("SELECT GET_LOCK(:lock, :wait)"), lock_name | {"wait": LOCK_WAIT_S}) != 1:
            raise TransientError(f"another process has been migrating the {name} for {LOCK_WAIT_S} s")
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT RELEASE_LOCK(:lock)"), lock_name)
    elif dialect == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK_IDS[name]})
        yield
    else:
        yield


def _make_durable(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _plain_reason(error: sa.exc.DBAPIError) -> str:
    """SQLite's own words hold no URL and no value; other drivers' may repeat the URL, their class says enough."""
    return f": {error.orig}" if type(error.orig).__module__ == "sqlite3" else ""
