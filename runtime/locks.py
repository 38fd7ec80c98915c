"""Locks by name that a process holds until it gives them back, and that a crash frees.

A local file is locked next to a SQLite database (flock), since that is as far as SQLite itself reaches; on a server it is an advisory
lock of the session, which ends with the connection.
"""

import fcntl
import os
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import sqlalchemy as sa

from contract.errors import TransientError

POLL_S = 0.2
SAID_BYTES_MAX = 256
_STAY = {"mysql": "SET SESSION wait_timeout = 31536000"}
"""MySQL ends sessions that say nothing for long, as during a training, and their locks; a year is the most that it takes."""
_TAKE = {
    "postgresql": "SELECT pg_try_advisory_lock(hashtextextended(:name, 0))",
    "mysql": "SELECT GET_LOCK(:name, 0)",
}
_GIVE = {
    "postgresql": "SELECT pg_advisory_unlock(hashtextextended(:name, 0))",
    "mysql": "SELECT RELEASE_LOCK(:name)",
}
_HELD = {"postgresql": "SELECT 1", "mysql": "SELECT IS_USED_LOCK(:name) = CONNECTION_ID()"}


class LockBusyError(TransientError):
    """Another process holds the lock; `by` says which, as far as that is known."""

    def __init__(self, by: str) -> None:
        super().__init__(f"another process holds the lock: {by}")
        self.by = by


class HeldLock(Protocol):
    """A lock that this process holds. Leaving it as a context manager gives it back."""

    def is_still_held(self) -> bool:
        """Whether it was not lost meanwhile, as by a server that was started again."""
        ...

    def release(self) -> None:
        """Gives it back; again does no harm."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class _Scoped:
    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Nothing to give back."""

    def is_still_held(self) -> bool:
        return True


class FileLock(_Scoped):
    """Whoever holds it says so in the file, for the one that comes second."""

    def __init__(self, file: Path) -> None:
        """Raises LockBusyError where another process, or another part of this one, holds it; OSError."""
        self._stream = file.open("a+b")
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            by = _said(file)
            self._stream.close()
            raise LockBusyError(by) from None
        self._stream.truncate(0)
        self._stream.write(_holder().encode())
        self._stream.flush()

    def release(self) -> None:
        self._stream.close()  # which gives the lock back


class SessionLock(_Scoped):
    """An advisory lock on a server; its connection is this lock's alone."""

    def __init__(self, engine: sa.Engine, name: str) -> None:
        """Raises LockBusyError, sqlalchemy's DBAPIError."""
        self._dialect = "mysql" if engine.dialect.name == "mariadb" else engine.dialect.name
        # MySQL takes at most 64 letters.
        self._name = {"name": f"tillguard_{sha256(name.encode()).hexdigest()[:40]}"}
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        if self._dialect in _STAY:
            self._connection.execute(sa.text(_STAY[self._dialect]))
        if not self._connection.scalar(sa.text(_TAKE[self._dialect]), self._name):
            self._connection.close()
            raise LockBusyError("its process is connected to the same database")

    def is_still_held(self) -> bool:
        if self._connection.closed:
            return False
        try:
            return bool(self._connection.scalar(sa.text(_HELD[self._dialect]), self._name))
        except sa.exc.DBAPIError:
            self._connection.close()  # lost for good: a new session would not have the lock
            return False

    def release(self) -> None:
        if self._connection.closed:
            return
        try:
            self._connection.execute(sa.text(_GIVE[self._dialect]), self._name)
        except sa.exc.DBAPIError:
            self._connection.invalidate()  # the server gives it back with the session
        self._connection.close()


def take(engine: sa.Engine, name: str, *, wait_s: float = 0.0, waits: Callable[[str], None] | None = None) -> HeldLock:
    """The lock `name`, of all processes that use the same database.

    Args:
        engine: of the database.
        name: letters that are safe in a file's name.
        wait_s: how long to wait for it.
        waits: told once, where it has to wait, who holds it.

    Raises LockBusyError after `wait_s`, sqlalchemy's DBAPIError where the server does not answer, OSError for the lock file.
    """
    deadline_s, told = time.monotonic() + wait_s, False
    while True:
        try:
            return _taken(engine, name)
        except LockBusyError as busy:
            if time.monotonic() >= deadline_s:
                raise
            if waits is not None and not told:
                waits(busy.by)
            told = True
        time.sleep(POLL_S)


def _taken(engine: sa.Engine, name: str) -> HeldLock:
    if engine.dialect.name != "sqlite":
        return SessionLock(engine, name)
    database = engine.url.database
    # A database in memory is this process's own.
    return FileLock(Path(f"{database}.{name}.lock")) if database and database != ":memory:" else _Scoped()


def _holder() -> str:
    return f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def _said(file: Path) -> str:
    try:
        return file.read_bytes()[:SAID_BYTES_MAX].decode(errors="replace") or "its process said nothing"
    except OSError:
        return "its process said nothing"
