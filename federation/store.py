"""Checkpoints: what a process knew when it had read the logs up to some positions. SQLAlchemy tables.

The logs are the truth and a checkpoint saves reading them again; one that is older than it could be is as good. Invariant:
state and positions are written together or not at all.
"""

import hashlib
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import msgspec
import sqlalchemy as sa

from contract.errors import FencedError, InvariantError
from federation.transports.ports import LogName
from runtime.database import Database
from runtime.locks import HeldLock, LockBusyError

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
        self._held: list[HeldLock] = []
        self._database = Database(url, setting=setting, what="the federation's checkpoints")
        self._database.upgrade("federation:migrations", lock="checkpoints")

    def load(self, owner: str) -> Checkpoint | None:
        with self._database.begin() as connection:
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
        with self._database.begin() as connection:
            updated = connection.execute(_CHECKPOINTS.update().where(_CHECKPOINTS.c.owner == owner).values(**values))
            if updated.rowcount == 0:
                connection.execute(_CHECKPOINTS.insert().values(owner=owner, **values))

    def hold(self, owner: str) -> None:
        """Called at start, by whoever must be the only process of `owner`; until `close`, or until this process is gone.

        Where two machines have a database each, no lock sees both; what then tells is the log (federation.secagg.member_side).
        Raises FencedError where another process has it, TransientError, TillguardError.
        """
        try:
            self._held.append(self._database.hold(owner.replace("/", ".")))
        except LockBusyError as busy:
            raise FencedError(
                f"{owner} runs already ({busy.by}): another process has its store; end that one first, or leave the work to it"
            ) from None

    def close(self) -> None:
        for held in self._held:
            held.release()
        self._held.clear()
        self._database.close()
