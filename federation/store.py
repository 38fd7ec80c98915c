"""Checkpoints: what a process knew when it had read the logs up to some positions. SQLAlchemy tables.

The logs are the truth and a checkpoint saves reading them again; one that is older than it could be is as good. Invariant:
state and positions are written together or not at all.
"""

import fcntl
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from contract.errors import ConfigurationError, InvariantError, TillguardError, TransientError
from federation import holding
from federation.transports.ports import LogName

LOCK_WAIT_S = 60
_LOCK_ID = 7_420_319
_CHECKPOINTS = sa.Table(
    "federation_checkpoints",
    sa.MetaData(),
    sa.Column("owner", sa.String(128), primary_key=True),
    sa.Column("saved_ms", sa.BigInteger),
    sa.Column("positions", sa.Text),
    sa.Column("state", sa.LargeBinary(2**32 - 1)),
    sa.Column("state_sha256", sa.String(64)),
)


class Checkpoint(NamedTuple):
    """A state, and the next offset of each log that it has not seen."""

    positions: Mapping[LogName, int]
    state: bytes
    saved_ms: int


class Store(Protocol):
    """Where one process keeps its newest checkpoint. Used by one thread; every method may block on a database."""

    def load(self, owner: str) -> Checkpoint | None:
        """Called once at start. Raises TransientError; InvariantError where what is stored is damaged."""
        ...

    def save(self, owner: str, checkpoint: Checkpoint) -> None:
        """Called at quiet moments; replaces the one before. Raises TransientError, TillguardError for a full disk."""
        ...

    def close(self) -> None:
        """Called once at the end; never raises."""
        ...


class MemoryStore:
    """A Store that lives as long as its object; for simulation and tests."""

    def __init__(self) -> None:
        self._kept: dict[str, Checkpoint] = {}

    def load(self, owner: str) -> Checkpoint | None:
        return self._kept.get(owner)

    def save(self, owner: str, checkpoint: Checkpoint) -> None:
        self._kept[owner] = checkpoint

    def close(self) -> None:
        pass


class SqlStore:
    """A Store in any database that SQLAlchemy knows."""

    def __init__(self, url: str, *, setting: str) -> None:
        """Opens it and brings its table up to date; `setting` names where `url` comes from, for messages.

        Raises ConfigurationError for a URL that cannot be used, TransientError where the database does not answer.
        """
        self._held: list[Callable[[], None]] = []
        try:
            self._engine = sa.create_engine(url, pool_pre_ping=True)
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, ModuleNotFoundError):
            raise ConfigurationError([f"{setting}: not a SQLAlchemy URL with an installed driver"]) from None
        if self._engine.dialect.name == "sqlite" and self._engine.url.database:
            with _disk_faults():
                Path(self._engine.url.database).absolute().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._connection() as connection, _migration_lock(connection):
            _upgrade(connection)

    def load(self, owner: str) -> Checkpoint | None:
        with self._connection() as connection:
            row = connection.execute(_CHECKPOINTS.select().where(_CHECKPOINTS.c.owner == owner)).one_or_none()
        if row is None:
            return None
        if hashlib.sha256(row.state).hexdigest() != row.state_sha256:
            raise InvariantError(f"the checkpoint of {owner} is damaged: restore the database, or remove its row")
        return Checkpoint(msgspec.json.decode(row.positions, type=dict[LogName, int]), row.state, row.saved_ms)

    def save(self, owner: str, checkpoint: Checkpoint) -> None:
        values = {
            "saved_ms": checkpoint.saved_ms,
            "positions": msgspec.json.encode(checkpoint.positions).decode(),
            "state": checkpoint.state,
            "state_sha256": hashlib.sha256(checkpoint.state).hexdigest(),
        }
        with self._connection() as connection:
            updated = connection.execute(_CHECKPOINTS.update().where(_CHECKPOINTS.c.owner == owner).values(**values))
            if updated.rowcount == 0:
                connection.execute(_CHECKPOINTS.insert().values(owner=owner, **values))

    def hold(self, owner: str) -> None:
        """Called at start, by whoever must be the only process of `owner`; until `close`, or until this process is gone.

        Raises FencedError where another process has it, TransientError, TillguardError.
        """
        try:
            self._held.append(holding.hold(self._engine, owner))
        except sa.exc.DBAPIError as error:
            raise _unanswered(error) from None

    def close(self) -> None:
        for release in self._held:
            with suppress(sa.exc.DBAPIError):
                release()
        self._held.clear()
        self._engine.dispose()

    @contextmanager
    def _connection(self) -> Iterator[sa.Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            raise _unanswered(error) from None


def _unanswered(error: sa.exc.DBAPIError) -> TransientError:
    """The driver's own text may repeat the URL; its class says enough."""
    return TransientError(f"the federation's checkpoints: {type(error.orig).__name__}")


@contextmanager
def _disk_faults() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise TillguardError(
            f"the federation's checkpoints cannot be written: {error.strerror} ({error.filename})"
        ) from None


def _upgrade(connection: sa.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", "federation:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@contextmanager
def _migration_lock(connection: sa.Connection) -> Iterator[None]:
    """Two processes that start at once must not both create the table: DDL is not transactional everywhere."""
    dialect, database = connection.dialect.name, connection.engine.url.database
    if dialect == "sqlite" and database:
        with Path(f"{database}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    elif dialect in {"mysql", "mariadb"}:
        if connection.scalar(sa.text("SELECT GET_LOCK('tillguard_federation', :wait)"), {"wait": LOCK_WAIT_S}) != 1:
            raise TransientError(f"another process has been migrating the checkpoints for {LOCK_WAIT_S} s")
        try:
            yield
        finally:
            connection.execute(sa.text("SELECT RELEASE_LOCK('tillguard_federation')"))
    elif dialect == "postgresql":
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK_ID})
        yield
    else:
        yield
