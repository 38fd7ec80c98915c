"""Notices that a mapped column vanished or changed its type. Pure.

What counts is the schema under which the mapping was first used; a changed mapping starts a new one. New columns are nobody's
business until they are mapped.
"""

from collections.abc import Callable, Mapping

from connectors.ports import SchemaSeen

Families = Mapping[str, Mapping[str, str]]


class SchemaGuard:
    """Holds the expected families of columns, and the tables whose rows may not be trusted now."""

    def __init__(self, expected: Families, mapped: Callable[[str], set[str]]) -> None:
        """Expects what was recorded.

        Args:
            expected: Families by table and column, from the offset store.
            mapped: Columns or paths that the mapping reads from a table.
        """
        self.expected = {table: dict(families) for table, families in expected.items()}
        self._mapped = mapped
        self._faults: dict[str, str] = {}

    def record(self, seen: SchemaSeen) -> bool:
        """Takes in the schema that rows have from here on; True when something was newly recorded."""
        known = self.expected.setdefault(seen.table, {})
        names = {_column(name, seen.families, known) for name in self._mapped(seen.table)}
        gone = sorted(name for name in names if name in known and name not in seen.families)
        retyped = sorted(
            name for name in names if name in known and name in seen.families and known[name] != seen.families[name]
        )
        faults = [f"column {name} vanished" for name in gone]
        faults += [f"column {name} changed from {known[name]} to {seen.families[name]}" for name in retyped]
        if faults:
            self._faults[seen.table] = "; ".join(faults)
        else:
            self._faults.pop(seen.table, None)
        new = {name: seen.families[name] for name in names if name not in known and name in seen.families}
        known.update(new)
        return bool(new)

    def find_fault(self, table: str) -> str | None:
        """Why rows of `table` may not be mapped now; None while all is well."""
        return self._faults.get(table)


def _column(name: str, seen: Mapping[str, str], known: Mapping[str, str]) -> str:
    """`details.card` reads inside the column `details`."""
    return name if name in seen or name in known else name.partition(".")[0]
