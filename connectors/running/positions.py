"""The offset store: one row per connector in any database that SQLAlchemy reaches; SQLite unless settings say otherwise."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Text, select
from sqlalchemy.exc import IntegrityError

from connectors.ports import Position, Saved
from contract.errors import ConfigurationError
from runtime.database import Database

_MOVED = (
    "the position of connector {connector} was moved by somebody else; is it running twice, or was its position set "
    "while it ran?"
)
_METADATA = MetaData()
_POSITIONS = Table(
    "connector_positions",
    _METADATA,
    Column("retailer", String(48), primary_key=True),
    Column("connector", String(48), primary_key=True),
    Column("stage", String(16), nullable=False),
    Column("position", Text, nullable=False),
    Column("schema", Text, nullable=False),
    Column("mapping", String(64), nullable=False),
    Column("resnapshots", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("saved_at", String(40), nullable=False),
)


class SqlOffsetStore:
    """See connectors.ports.OffsetStore. Used by one thread."""

    def __init__(self, url: str, retailer: str) -> None:
        """Opens the store, and creates its table and folder where they are missing.

        Args:
            url: SQLAlchemy URL, such as `sqlite:///positions.db` or `postgresql+psycopg://user:password@host/database`.
            retailer: Positions of other retailers in the same database are out of sight.

        Raises:
            ConfigurationError: The URL is none, its driver is not installed, or its folder cannot be made.
            TransientError: The database does not answer, or the disk is full.
        """
        self._retailer = retailer
        self._database = Database(
            url, setting="connectors.positions_url", what="the offset store", read_while_written=True
        )
        self._database.create(_METADATA)

    def load(self, connector: str) -> Saved | None:
        with self._database.begin() as connection:
            return self._read(connection, connector)

    def save(self, saved: Saved) -> Saved:
        written = saved._replace(version=saved.version + 1, saved_at=datetime.now(UTC))
        row: dict[str, Any] = {
            "stage": written.position.stage,
            "position": written.position.text,
            "schema": msgspec.json.encode(written.schema).decode(),
            "mapping": written.mapping,
            "resnapshots": written.resnapshots,
            "version": written.version,
            "saved_at": written.saved_at.isoformat(),
        }
        with self._database.begin() as connection:
            moved = self._write(connection, saved, row)
        if not moved:
            raise ConfigurationError([_MOVED.format(connector=saved.connector)])
        return written

    def reset(self, connector: str) -> bool:
        with self._database.begin() as connection:
            return connection.execute(_POSITIONS.delete().where(*self._of(connector))).rowcount > 0

    def list_names(self) -> Sequence[str]:
        with self._database.begin() as connection:
            query = select(_POSITIONS.c.connector).where(_POSITIONS.c.retailer == self._retailer)
            return sorted(connection.execute(query).scalars())

    def close(self) -> None:
        """Closes the connections."""
        self._database.close()

    def _of(self, connector: str) -> tuple[Any, Any]:
        return _POSITIONS.c.retailer == self._retailer, _POSITIONS.c.connector == connector

    def _write(self, connection: Connection, saved: Saved, row: dict[str, Any]) -> bool:
        """Whether the row stood at the version that `saved` knew."""
        if saved.version:
            update = _POSITIONS.update().where(*self._of(saved.connector), _POSITIONS.c.version == saved.version)
            return connection.execute(update.values(row)).rowcount == 1
        try:
            connection.execute(_POSITIONS.insert().values(retailer=self._retailer, connector=saved.connector, **row))
        except IntegrityError:
            return False
        return True

    def _read(self, connection: Connection, connector: str) -> Saved | None:
        row = connection.execute(select(_POSITIONS).where(*self._of(connector))).one_or_none()
        if row is None:
            return None
        return Saved(
            connector,
            Position("snapshot" if row.stage == "snapshot" else "stream", row.position),
            msgspec.json.decode(row.schema, type=dict[str, dict[str, str]]),
            row.mapping,
            row.resnapshots,
            row.version,
            datetime.fromisoformat(row.saved_at),
        )
