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
        self._tables: dict[str, str] = {}
        self.faults: list[str] = []
        """Tables that the connector file takes for different ones and the server does not."""
        for table in tables:
            known = self._tables.setdefault(self._key(table), table)
            if known != table:
                self.faults.append(
                    f"{known} and {table} are one table: this server ignores the case of names (lower_case_table_names); "
                    "write the name the same way everywhere in the connector file"
                )

    def is_database(self, name: str) -> bool:
        """Whether `name` is the database."""
        return self._key(name) == self._database

    def find(self, database: str, table: str) -> str | None:
        """The mapped table that the server means, as the connector file writes it; None where it is another."""
        return self._tables.get(self._key(table)) if self._key(database) == self._database else None

    def get_first(self) -> str:
        """The table that comes first in the connector file: the transactions'."""
        return next(iter(self._tables.values()), "")

    def are_same(self, one: str, other: str) -> bool:
        """Whether the server takes both for one name."""
        return self._key(one) == self._key(other)

    def _key(self, name: str) -> str:
        if not self._ignore_case:
            return name
        # letter by letter as the server does: Python makes two letters of a dotted capital I, and looks at a sigma's neighbours
        return "".join(letter.lower()[0] for letter in name)
