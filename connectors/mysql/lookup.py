"""Questions about tables that the log leaves open: their definition, and the columns of a row that it did not write."""

from collections.abc import Callable, Mapping
from typing import Any

from connectors.config.connector_file import ConnectorConfig
from connectors.mysql import server as db
from connectors.mysql.nameless import DefinedColumn, Definition
from connectors.ports import Row
from connectors.values import UNTOLD, as_key, require_usable
from contract.errors import InvalidEventError


class ServerTables:
    """See delivery.Tables."""

    def __init__(
        self,
        connect: Callable[[], Any],
        database: str,
        fetch: Callable[[str, str], Row | None],
        config: ConnectorConfig,
    ) -> None:
        """Asks nothing yet.

        Args:
            connect: Makes a connection.
            database: The database of the tables.
            fetch: Reads a row by its table and key.
            config: Names each table's key.
        """
        self._connect = connect
        self._database = database
        self._fetch = fetch
        self._keys = {table.name: config.get_key_column(table) for table in config.list_tables()}

    def read_definition(self, table: str) -> Definition:
        connection = self._connect()
        try:
            found = db.fetch_rows(
                connection,
                "SELECT c.column_name, c.data_type, c.column_type, l.id, c.character_octet_length "
                "FROM information_schema.columns c LEFT JOIN information_schema.collations l ON l.collation_name = c.collation_name "
                "WHERE c.table_schema = %s AND c.table_name = %s ORDER BY c.ordinal_position",
                (self._database, table),
            )
        finally:
            connection.close()
        return [
            DefinedColumn(str(name), str(kind).lower(), str(column).lower(), number, octets)
            for name, kind, column, number, octets in found
        ]

    def find_row_end(self, table: str) -> str:
        connection = self._connect()
        try:
            found = db.fetch_rows(
                connection,
                "SELECT COALESCE((SELECT MIN(c.column_name) FROM information_schema.columns c WHERE c.table_schema = %s "
                "AND c.table_name = %s AND c.generation_expression = 'ROW END'), 'row_end') FROM information_schema.tables t "
                "WHERE t.table_schema = %s AND t.table_name = %s AND t.table_type = 'SYSTEM VERSIONED'",
                (self._database, table) * 2,
            )
        finally:
            connection.close()
        return str(found[0][0]) if found else ""

    def fetch_current(self, table: str, values: Mapping[str, object]) -> Mapping[str, object] | None:
        key = values.get(self._keys[table], UNTOLD)
        try:
            text = as_key(require_usable("key", key)) if key is not UNTOLD else None
        except InvalidEventError:
            return None
        found = self._fetch(table, text) if text is not None else None
        return found.values if found is not None else None
