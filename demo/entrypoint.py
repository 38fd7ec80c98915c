"""From the user's wishes to a finished demonstration: material, run, summary, report."""

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from contract.errors import ConfigurationError, TillguardError
from demo import beginnings, summary
from demo.runner import Demonstration, Results
from demo.shops.material import Amounts, FromFile, Material, Simulated
from demo.telling import closing, html_report
from demo.view import Screen
from embedded.stack import Stack
from runtime import atomic_file


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asked for."""

    seed: int
    rate: float
    transactions: int
    history_rows: int
    data: Path | None
    rows: int | None
    weeks: float | None
    json_file: Path | None
    report_file: Path
    keep: bool
    acts: int
    """1: neither second nor third act, as with a data file; 2: no third."""


def run(wishes: Wishes, state: Path, console: Console) -> bool:
    """Runs everything; returns whether every promise was kept. Raises ConfigurationError before anything is started."""
    for file in (wishes.json_file, wishes.report_file):
        if file is not None:
            _check_writable(file)
    material = _material(wishes)
    console.print(f"[bold]Tillguard[/bold]: two retailers, fed from {material.source}", highlight=False)
    if not material.replay:
        console.print(
            "[dim]In the live phase 6 % of the sales are frauds, three times the usual, so that each kind can be measured.[/dim]"
        )
    selling = material if isinstance(material, Simulated) and wishes.acts > 1 else None
    if selling is not None:
        console.print(
            "[dim]Then the second act: a fraud begins that no history contains. In life its chargebacks would take weeks; here, seconds.[/dim]"
        )
    third_seed = wishes.seed if selling is not None and wishes.acts > 2 else None
    if third_seed is not None:
        console.print(
            "[dim]And the third: three other retailers learn from each other's frauds without showing one sale, next to one that cheats.[/dim]"
        )
    screen = Screen(console)
    stack = Stack(state, report=screen.show_detail)
    outcome = Demonstration(
        stack, material, screen, state / "logs" / "demo", selling=selling, third_seed=third_seed
    ).run(keep=wishes.keep)
    with screen.show_step("write the report"):
        run = _run(wishes, material, screen)
        page = html_report.render_report(run, outcome.figures, outcome.judged, outcome.course, outcome.second)
        _write(wishes.report_file, page)
    closing.show(console, outcome.figures, material.kinds, replay=material.replay)
    if wishes.json_file is not None:
        _write(wishes.json_file, _document(wishes, material, screen, outcome))
        console.print(f"\nSummary: [bold]{wishes.json_file}[/bold]", highlight=False, soft_wrap=True)
    connector = (
        state / "retailers" / beginnings.MYSQL_RETAILER / "connectors" / f"{beginnings.MYSQL_RETAILER}-orders.yaml"
    )
    closing.show_next(console, wishes.report_file, closing.shorten_path(connector), running=wishes.keep)
    return summary.are_promises_kept(outcome.figures)


def _material(wishes: Wishes) -> Material:
    amounts = Amounts(wishes.rate, wishes.transactions, wishes.history_rows)
    if wishes.data is not None:
        return FromFile(wishes.data, amounts, wishes.rows, wishes.weeks, beginnings.PREFIXES)
    # The histories end now, so that windows continue from them without a break when the live phase begins.
    now = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=1)
    return Simulated(wishes.seed, amounts, now, beginnings.PREFIXES)


def _run(wishes: Wishes, material: Material, screen: Screen) -> html_report.Run:
    return html_report.Run(
        source=material.source,
        databases=beginnings.DATABASES,
        kinds=material.kinds,
        rate=wishes.rate,
        date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        replay=material.replay,
        durations_s=dict(screen.durations_s),
    )


def _document(wishes: Wishes, material: Material, screen: Screen, outcome: Results) -> str:
    document: dict[str, Any] = {
        **outcome.figures,
        "source": material.source,
        "seed": wishes.seed,
        "rate": wishes.rate,
        "durations_s": {step: round(seconds, 1) for step, seconds in screen.durations_s.items()},
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def _check_writable(file: Path) -> None:
    """Minutes of work should not end at a folder that cannot be written."""
    try:
        if file.is_dir():
            raise IsADirectoryError
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise ConfigurationError([f"{file} cannot be written ({type(error).__name__})"]) from None


def _write(file: Path, text: str) -> None:
    """Replaces `file` whole."""
    try:
        atomic_file.write(file, text.encode())
    except OSError as error:
        raise TillguardError(f"{file} could not be written: {error.strerror}") from None
