"""The read model's database, as a projector uses it: batches that take effect once, and what is too old taken out."""

import secrets
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple

import sqlalchemy as sa

from backoffice.projection import upserts
from backoffice.projection.gathering import Gathered
from backoffice.projection.rows import RowWriter
from backoffice.projection.tables import (
    ALARMS,
    DEAD_LETTERS,
    ERASURES,
    LABELS,
    METADATA,
    POSITIONS,
    PROCESSES,
    PROJECTIONS,
    RESOLUTIONS,
    TRANSACTIONS,
)
from contract.errors import ConfigurationError, FencedError
from runtime.database import Database
from runtime.locks import HeldLock

MIGRATIONS = "backoffice.projection:migrations"
WHAT = "the read model's database"
SETTING = "backoffice.read_model_url"
BITE = 500
"""Rows that one pruning takes out of a table: short enough that the batches in between are not late."""
_BY_AGE = {
    LABELS: "appended_ms",
    RESOLUTIONS: "resolved_ms",
    ALARMS: "raised_ms",
    DEAD_LETTERS: "failed_ms",
    PROCESSES: "appended_ms",
    ERASURES: "appended_ms",
}


class Position(NamedTuple):
    """How far one partition was read."""

    topic_id: str
    next_offset: int


Positions = Mapping[tuple[str, int], Position]
"""By topic and partition."""


class Progress(NamedTuple):
    """How far a retailer's read model has come."""

    generation: str
    version: int
    next_seq: int
    positions: Positions


class ReadModelStore:
    """Safe for several threads; each retailer has one projector, which alone calls `write` and `prune`."""

    def __init__(self, url: str) -> None:
        """Opens it and brings its tables up to date.

        Raises ConfigurationError for a URL that cannot be used, TransientError where the database does not answer.
        """
        if sa.engine.make_url(url).get_backend_name() not in {"sqlite", "postgresql"}:
            raise ConfigurationError([f"{SETTING}: the read model needs SQLite or PostgreSQL"])
        self._database = Database(url, setting=SETTING, what=WHAT, read_while_written=True)
        self._database.upgrade(MIGRATIONS, lock="read-model")

    def close(self) -> None:
        """Gives the connections back."""
        self._database.close()

    def hold(self, retailer: str, *, wait_s: float = 0.0, waits: Callable[[str], None] | None = None) -> HeldLock:
        """The retailer's one projector; see runtime.locks.take."""
        return self._database.hold(f"projector-{retailer}", wait_s=wait_s, waits=waits)

    def read_progress(self, retailer: str) -> Progress:
        """Where to continue; a retailer's first call begins a generation. Raises TransientError."""
        begun = {"retailer": retailer, "generation": secrets.token_hex(8), "version": 0, "next_seq": 1}
        with self._database.begin() as connection:
            upserts.add_missing(connection, PROJECTIONS, [begun])
            row = connection.execute(PROJECTIONS.select().where(PROJECTIONS.c.retailer == retailer)).one()
            positions = connection.execute(POSITIONS.select().where(POSITIONS.c.retailer == retailer))
            known = {(each.topic, each.partition): Position(each.topic_id, each.next_offset) for each in positions}
        return Progress(row.generation, row.version, row.next_seq, known)

    def write(self, retailer: str, progress: Progress, gathered: Gathered, moved: Positions) -> Progress:
        """Writes a batch and how far it reaches, both or nothing.

        Args:
            retailer: whose.
            progress: as this projector knows it.
            gathered: what the batch changes.
            moved: the new positions of the partitions that the batch is of.

        Raises FencedError where another projector wrote meanwhile; TransientError. Then nothing was written, or all was and the
        answer got lost: `read_progress` says which.
        """
        with self._database.begin() as connection:
            _claim(connection, retailer, progress.version)
            next_seq = RowWriter(connection, retailer).apply(gathered, progress.next_seq)
            upserts.write(connection, POSITIONS, [_position_row(retailer, *each) for each in moved.items()])
            mine = PROJECTIONS.c.retailer == retailer
            connection.execute(PROJECTIONS.update().where(mine).values(next_seq=next_seq))
        return Progress(progress.generation, progress.version + 1, next_seq, {**progress.positions, **moved})

    def prune(self, retailer: str, progress: Progress, horizon_ms: int) -> tuple[Progress, bool]:
        """Takes out a bite of what is older than `horizon_ms`; says whether there is more. Raises as `write`."""
        with self._database.begin() as connection:
            _claim(connection, retailer, progress.version)
            taken = [_prune_transactions(connection, retailer, horizon_ms)]
            taken += [_prune(connection, retailer, table, column, horizon_ms) for table, column in _BY_AGE.items()]
        return progress._replace(version=progress.version + 1), max(taken) == BITE

    def clear(self, retailer: str) -> None:
        """Throws away all of the retailer's rows: its projector then reads the topics from their beginning. Raises TransientError."""
        with self._database.begin() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(table.delete().where(table.c.retailer == retailer))

    def begin(self) -> AbstractContextManager[sa.Connection]:
        """A transaction for queries; raises TransientError."""
        return self._database.begin()


def _claim(connection: sa.Connection, retailer: str, version: int) -> None:
    """The first statement of every write: of two projectors the second waits here, and then finds another version."""
    mine = (PROJECTIONS.c.retailer == retailer) & (PROJECTIONS.c.version == version)
    if connection.execute(PROJECTIONS.update().where(mine).values(version=version + 1)).rowcount != 1:
        raise FencedError(f"another projector has written the read model of {retailer}")


def _position_row(retailer: str, place: tuple[str, int], position: Position) -> upserts.Row:
    return {"retailer": retailer, "topic": place[0], "partition": place[1], **position._asdict()}


def _prune_transactions(connection: sa.Connection, retailer: str, horizon_ms: int) -> int:
    c = TRANSACTIONS.c
    old = sa.select(c.transaction_id).where((c.retailer == retailer) & (c.event_ms < horizon_ms))
    ids = connection.execute(old.order_by(c.event_ms).limit(BITE)).scalars().all()
    RowWriter(connection, retailer).delete_transactions(ids)
    return len(ids)


def _prune(connection: sa.Connection, retailer: str, table: sa.Table, column: str, horizon_ms: int) -> int:
    keys = [key for key in table.primary_key if key.name != "retailer"]
    old = sa.select(*keys).where((table.c.retailer == retailer) & (table.c[column] < horizon_ms)).limit(BITE)
    rows = [{"retailer": retailer, **row} for row in connection.execute(old).mappings()]
    upserts.delete_keys(connection, table, rows)
    return len(rows)
