"""Names of databases and tables, compared as the server compares them. Pure."""

from collections.abc import Iterable


class TableNames:
    """The mapped tables of one database."""

    def __init__(self, database: str, tables: Iterable[str], *, ignore_case: bool) -> None:
        """Takes the names as the connector file writes them.

        Args:
            database: The database.
            tables: Its mapped tables.
            ignore_case: Whether the server takes `Sales` and `sales` for one table (lower_case_table_names is 1 or 2).
        """
        self._ignore_case = ignore_case
        self._database = self._key(database)
        self._tables = {self._key(table): table for table in tables}

    def is_database(self, name: str) -> bool:
        """Whether `name` is the database."""
        return self._key(name) == self._database

    def find(self, database: str, table: str) -> str | None:
        """The mapped table that the server means, as the connector file writes it; None where it is another."""
        return self._tables.get(self._key(table)) if self._key(database) == self._database else None

    def is_mapped(self, database: str, table: str) -> bool:
        """Whether the table is one of the mapped ones."""
        return self.find(database, table) is not None

    def first(self) -> str:
        """The table that comes first in the connector file: the transactions'."""
        return next(iter(self._tables.values()), "")

    def same(self, one: str, other: str) -> bool:
        """Whether the server takes both for one name."""
        return self._key(one) == self._key(other)

    def _key(self, name: str) -> str:
        return name.lower() if self._ignore_case else name
