"""What the two demonstration shops share, so that the rest of the demonstration need not know MySQL from MongoDB."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from simulator.sales import Labelled, Sale, Truth

Row = dict[str, Any]
"""A table's row by column, or a document."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One way in which a shop's software gets a row wrong."""

    reason: str
    """The dead letter that must come of it."""
    text: str
    spoil: Callable[[Row], Row]
    """Returns a broken copy."""


class Shop(Protocol):
    """One retailer's database, written to by the demonstration alone. Used by one thread at a time."""

    retailer: str
    connector: str
    """Name of its connector file, without the ending."""
    faults: Sequence[Fault]

    def create(self) -> None:
        """Makes the database again; whatever an earlier demonstration left there is dropped."""
        ...

    def make_row(self, sale: Sale) -> Row:
        """A sale in the shape of this shop; pure."""
        ...

    def load(self, history: Sequence[Labelled]) -> None:
        """Writes a labelled history in bulk."""
        ...

    def write(self, rows: Sequence[Row]) -> None:
        """Writes rows and returns once they are committed."""
        ...

    def write_labels(self, truths: Mapping[str, Truth]) -> None:
        """Writes what has become known of frauds written before, by transaction id."""
        ...

    def list_customers_since(self, moment: datetime) -> set[str]:
        """Who has bought since then."""
        ...

    def make_connector_file(self) -> str:
        """The YAML of its connector."""
        ...

    def close(self) -> None:
        """Ends the connection."""
        ...


def format_major(amount_minor: int) -> str:
    """Cents as text with two decimals; both shops sell in a currency of hundredths."""
    return f"{amount_minor // 100}.{amount_minor % 100:02d}"


def quote(value: str) -> str:
    """A YAML scalar that means exactly `value`."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def remove_empty(document: Mapping[str, Any]) -> Row:
    """`document` without what is None or empty, at every depth."""
    result: Row = {}
    for name, value in document.items():
        kept = remove_empty(value) if isinstance(value, dict) else value
        if kept is not None and kept != {}:
            result[name] = kept
    return result
