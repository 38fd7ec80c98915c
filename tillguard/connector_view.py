"""What `connector check` prints: rows as the transactions they become."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.table import Table

from connectors.mapping import Mapper, Outcome
from connectors.ports import Row
from connectors.suspicion import suspicions
from contract.dead_letters import DeadLetter
from contract.events import Transaction
from contract.money import exponent

_LEFT_OUT = ("origin", "ingest_time", "retailer", "aliases")


def show_rows(mapper: Mapper, samples: Mapping[str, Sequence[Row]], console: Console | None = None) -> int:
    """Prints every sampled row as its messages, and gives the number of rows that cannot be used.

    Args:
        mapper: The mapping.
        samples: Rows by table.
        console: Where to print; standard output by default.
    """
    out = console or Console(soft_wrap=True, markup=False, emoji=False)
    refused = 0
    for table, rows in samples.items():
        counted = f"{len(rows)} row{'s' if len(rows) > 1 else ''}"
        out.print(
            f"{mapper.source_name(table)}: {counted}" if rows else f"{table or 'file'}: no rows yet", style="bold"
        )
        for number, row in enumerate(rows, start=1):
            outcomes = mapper.outcomes(row, datetime.now(UTC))
            refused += any(isinstance(outcome, DeadLetter) for outcome in outcomes)
            out.print(f"\nrow {number}" if outcomes else f"\nrow {number}: says nothing (yet)", highlight=False)
            for outcome in outcomes:
                out.print(_table(outcome), highlight=False)
    if refused:
        out.print(
            f"\n{refused} rows cannot be used; each would become a dead letter with the reason shown", style="bold red"
        )
    return refused


def findings(mapper: Mapper, samples: Mapping[str, Sequence[Row]]) -> list[str]:
    """Personal data that the mapping seems to let through."""
    now = datetime.now(UTC)
    outcomes = [outcome for rows in samples.values() for row in rows for outcome in mapper.outcomes(row, now)]
    return suspicions([outcome for outcome in outcomes if isinstance(outcome, Transaction)])


def _table(outcome: Outcome) -> Table:
    if isinstance(outcome, DeadLetter):
        table = Table(box=None, show_header=False, title="dead letter", title_justify="left", title_style="bold red")
        table.add_row("reason", outcome.reason)
        table.add_row("detail", outcome.detail)
        table.add_row("key", outcome.key or "")
        return table
    table = Table(
        box=None, show_header=False, title=type(outcome).__name__.lower(), title_justify="left", title_style="bold"
    )
    for name, value in msgspec.structs.asdict(outcome).items():
        if value is not None and name not in _LEFT_OUT:
            table.add_row(name, _shown(outcome, name, value))
    return table


def _shown(outcome: Outcome, name: str, value: object) -> str:
    if isinstance(outcome, Transaction) and name in ("amount_minor", "discount_minor") and isinstance(value, int):
        return (
            f"{value}  ({value / 10 ** exponent(outcome.currency):.{exponent(outcome.currency)}f} {outcome.currency})"
        )
    return value.isoformat() if isinstance(value, datetime) else str(value)
