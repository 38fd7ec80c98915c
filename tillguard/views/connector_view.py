"""What `connector check` prints: rows as the transactions they become."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from rich.console import Console
from rich.table import Table

from connectors.mapping.mapper import MappedMessage, Mapper
from connectors.ports import Row, Unreadable
from connectors.suspicion import find_suspicions
from contract.dead_letters import DeadLetter
from contract.events import Transaction
from contract.money import get_exponent

_DIGITS = re.compile(r"[0-9]+")
_LEFT_OUT = ("origin", "ingest_time", "retailer", "aliases")


Looked = Mapping[str, Sequence[Sequence[MappedMessage]]]
"""What each row that was looked at becomes, by table."""


def look(mapper: Mapper, samples: Mapping[str, Sequence[Row | Unreadable]]) -> Looked:
    """Maps every sampled row."""
    now = datetime.now(UTC)
    return {table: [_outcomes(mapper, row, now) for row in rows] for table, rows in samples.items()}


def _outcomes(mapper: Mapper, row: Row | Unreadable, now: datetime) -> list[MappedMessage]:
    return [mapper.refuse(row, now)] if isinstance(row, Unreadable) else mapper.map_row(row, now)


def show_rows(mapper: Mapper, looked: Looked, shown: int, console: Console | None = None) -> int:
    """Prints some rows as their messages, and gives the number of all rows looked at that cannot be used.

    Args:
        mapper: The mapping.
        looked: What the rows become.
        shown: How many of each table are printed.
        console: Where to print; standard output by default.
    """
    out = console or Console(soft_wrap=True, markup=False, emoji=False)
    for table, rows in looked.items():
        count = min(shown, len(rows))
        of_all = f" of {len(rows):,} that were looked at" if count < len(rows) else ""
        counted = f"{count} row{'s' if count > 1 else ''}{of_all}"
        out.print(
            f"{mapper.name_source(table)}: {counted}" if rows else f"{table or 'file'}: no rows yet", style="bold"
        )
        for number, outcomes in enumerate(rows[:shown], start=1):
            out.print(f"\nrow {number}" if outcomes else f"\nrow {number}: says nothing (yet)", highlight=False)
            for outcome in outcomes:
                out.print(_table(outcome), highlight=False)
    letters = [refusal for rows in looked.values() for outcomes in rows if (refusal := _first_refusal(outcomes))]
    if letters:
        out.print(f"\n{summarise_refusals(letters, sum(map(len, looked.values())))}", style="bold red", highlight=False)
    return len(letters)


def summarise_refusals(letters: Sequence[DeadLetter], rows: int) -> str:
    """A sentence: how many of `rows` cannot be used, and why, the commonest reason first."""
    reasons = _reasons(letters)
    count = "none" if len(letters) == rows else f"{len(letters):,}"
    why = reasons[0][0] if len(reasons) == 1 else ", ".join(f"{times:,} times {detail}" for detail, times in reasons)
    return f"{count} of {rows:,} rows {'can' if count == 'none' else 'cannot'} be used: {why}"


def _reasons(letters: Sequence[DeadLetter]) -> list[tuple[str, int]]:
    """The three commonest details with their counts; those that differ in numbers only are one."""
    kinds = Counter(_DIGITS.sub("0", letter.detail) for letter in letters)
    first = {_DIGITS.sub("0", letter.detail): letter.detail for letter in reversed(letters)}
    return [(first[kind], times) for kind, times in kinds.most_common(3)]


def _first_refusal(outcomes: Sequence[MappedMessage]) -> DeadLetter | None:
    return next((outcome for outcome in outcomes if isinstance(outcome, DeadLetter)), None)


def list_findings(looked: Looked) -> list[str]:
    """Personal data that the mapping seems to let through."""
    outcomes = [outcome for rows in looked.values() for outcomes in rows for outcome in outcomes]
    return find_suspicions([outcome for outcome in outcomes if isinstance(outcome, Transaction)])


def _table(outcome: MappedMessage) -> Table:
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


def _shown(outcome: MappedMessage, name: str, value: object) -> str:
    if isinstance(outcome, Transaction) and name in ("amount_minor", "discount_minor") and isinstance(value, int):
        return f"{value}  ({value / 10 ** get_exponent(outcome.currency):.{get_exponent(outcome.currency)}f} {outcome.currency})"
    return value.isoformat() if isinstance(value, datetime) else str(value)
