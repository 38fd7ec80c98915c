"""How every benchmark shows its results: one row a measure, as a table for people and as JSON for machines."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

WIDTH = 150


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure.

    `baseline` is what the same run measured for comparison, `ratio` the value over the baseline; `target` says in words
    what should hold and `holds` whether it did (None: no target).
    """

    measure: str
    value: float
    unit: str
    baseline: float | None = None
    ratio: float | None = None
    target: str | None = None
    holds: bool | None = None


def compute_ratio(value: float, baseline: float) -> float | None:
    """None where the baseline is 0: what learned next to nothing, as in quick runs, is nothing to compare with."""
    return value / baseline if baseline else None


def print_table(rows: Sequence[Row]) -> None:
    """Prints the rows to standard output."""
    table = Table("measure", "value", "unit", "baseline", "ratio", "target", "holds")
    for row in rows:
        numbers = [f"{number:,.4g}" if number is not None else "" for number in (row.baseline, row.ratio)]
        holds = "" if row.holds is None else ("yes" if row.holds else "NO")
        table.add_row(row.measure, f"{row.value:,.6g}", row.unit, *numbers, row.target or "", holds)
    console = Console()
    # Written to a file it would be folded to 80 columns.
    (console if console.is_terminal else Console(width=WIDTH)).print(table)


def write_json(rows: Sequence[Row], file: Path) -> None:
    """Writes a list of `{measure, value, unit, baseline, ratio, target, holds}`."""
    file.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8")
