"""One process at a time for each owner of checkpoints: a lock that goes with its process, also when that is killed with -9.

A file lock beside an SQLite database, which the operating system takes back; in a database server a lock of its session. Where two
machines have a database each, no lock can see both; what then tells is the log (federation.secagg_member).
"""

import fcntl
import hashlib
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from contract.errors import FencedError, TillguardError

_STAY = "SET SESSION wait_timeout = 31536000"
"""A server of MySQL ends sessions that say nothing for long, and their locks; a year is the most that it takes."""


def hold(engine: sa.Engine, owner: str) -> Callable[[], None]:
    """Takes the lock of `owner` and gives what releases it; raises FencedError where another process has it.

    Raises sqlalchemy's errors where a database server does not answer, TillguardError where the file cannot be opened.
    """
    dialect, database = engine.dialect.name, engine.url.database
    if dialect == "sqlite":
        return _hold_file(Path(f"{database}.{owner.replace('/', '.')}.lock"), owner) if database else _nothing
    name = hashlib.sha256(f"tillguard/{database}/{owner}".encode()).hexdigest()[:32]
    if dialect in {"mysql", "mariadb"}:
        return _hold_session(engine, sa.text("SELECT GET_LOCK(:name, 0)"), {"name": name}, owner, first=_STAY)
    if dialect == "postgresql":
        number = int(name[:15], 16)
        return _hold_session(engine, sa.text("SELECT pg_try_advisory_lock(:name)"), {"name": number}, owner)
    return _nothing


def _nothing() -> None:
    pass


def _taken(owner: str) -> FencedError:
    return FencedError(
        f"{owner} runs already: another process has its store; end that one first, or leave the work to it"
    )


def _hold_file(file: Path, owner: str) -> Callable[[], None]:
    try:
        held = file.open("a")
    except OSError as error:
        raise TillguardError(f"{file} cannot be opened: {error.strerror}") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        held.close()
        raise _taken(owner) from None
    except BaseException:
        held.close()
        raise
    return held.close


def _hold_session(
    engine: sa.Engine, statement: sa.TextClause, values: dict[str, str | int], owner: str, *, first: str = ""
) -> Callable[[], None]:
    # A connection of its own, for as long as the lock is held: it is the session that has it.
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    try:
        if first:
            connection.execute(sa.text(first))
        taken = connection.scalar(statement, values)
    except BaseException:
        connection.close()
        raise
    if not taken:
        connection.close()
        raise _taken(owner)

    def release() -> None:
        # Ended, not given back to the pool: its session would keep the lock.
        connection.invalidate()
        connection.close()

    return release
