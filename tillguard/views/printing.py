"""Reports on standard output: whole model versions and paths, on any terminal and in a pipe."""

import sys

from rich.console import Console
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 200
"""Columns of a text that no terminal shows."""
_ANY_WIDTH = 10_000


def show(*parts: Text | Table) -> None:
    """Prints one after another. No sentence is broken by us: a terminal wraps it, a pipe gets it as one line."""
    for part in parts:
        if isinstance(part, Table):
            terminal = Console().width if sys.stdout.isatty() else None
            Console(width=choose_width(part, terminal), markup=False, emoji=False).print(part)
        else:
            Console(markup=False, emoji=False).print(part, soft_wrap=True)


def choose_width(table: Table, terminal: int | None) -> int:
    """On a terminal of this many columns at least what the table's unbroken ones need; in a pipe (None) enough to make a row a line."""
    measured = Console(width=_ANY_WIDTH, markup=False, emoji=False).measure(table)
    return max(PIPED_WIDTH, measured.maximum) if terminal is None else max(terminal, measured.minimum)
