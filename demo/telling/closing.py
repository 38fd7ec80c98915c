"""The last page of the terminal: what was found, where the report is, and what to try next."""

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from demo.beginnings import MYSQL_RETAILER
from demo.federation import results
from demo.learning.recovery import STAGES, describe_learning
from demo.summary import DECISIONS, are_promises_kept
from demo.telling import comparison
from demo.view import COLOURS
from tillguard.views.report.page import format_milliseconds, format_percent


def show(console: Console, figures: Mapping[str, Any], kinds: Mapping[str, str], *, replay: bool) -> None:
    """Prints the summary."""
    console.print()
    console.print(_account(figures))
    console.print(_decisions(figures))
    if figures["frauds_by_kind"]:
        console.print(_kinds(figures, kinds))
    if "second_act" in figures:
        console.print(_second_act(figures["second_act"], kinds))
    if "third_act" in figures:
        console.print(render_third_act(figures["third_act"], kinds))
    latency, whole = figures["latency_ms"], figures["end_to_end_ms"]
    console.print(
        f"Latency  p50 [bold]{format_milliseconds(latency['p50'])}[/bold], p99 [bold]{format_milliseconds(latency['p99'])}[/bold] "
        f"from Kafka to the verdict; p50 {format_milliseconds(whole['p50'])}, p99 {format_milliseconds(whole['p99'])} from the database's "
        "commit to a verdict that can be read.",
        highlight=False,
    )
    console.print(comparison.describe_comparison(figures["replayed"]), highlight=False)
    if replay:
        console.print(
            "The payments are years old, so every verdict says `late`: nobody waits at the till. Latency counts from their arrival."
        )
    if are_promises_kept(dict(figures)):
        console.print(
            "[green]Every transaction is accounted for, and no two answers to one transaction differ.[/green]"
        )
    else:
        console.print("[red]A promise was broken: see unaccounted, disagreeing and strangers above.[/red]")


def _account(figures: Mapping[str, Any]) -> RenderableType:
    table = Table(
        box=None,
        header_style="dim",
        padding=(0, 2),
        title="Every transaction accounted for",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("")
    for name in ("in", "verdicts", "dead letters", "unaccounted"):
        table.add_column(name, justify="right")
    rows = {**figures["retailers"], "live": figures, "history": figures["history"]}
    if "second_act" in figures:
        rows["second act"] = figures["second_act"]
    for name, entry in rows.items():
        missing = entry["unaccounted"]
        table.add_row(
            name,
            f"{entry['transactions_in']:,}",
            f"{entry['verdicts']:,}",
            f"{entry['dead_letters']:,}",
            f"[{'red' if missing else 'green'}]{missing:,}[/]",
        )
    reasons = ", ".join(f"{name} {count:,}" for name, count in figures["dead_letters_by_reason"].items())
    strangers = figures["strangers"]
    return _noted(
        table,
        f"{figures['redeliveries']:,} delivered twice, {figures['disagreeing_redeliveries']:,} answered differently; "
        f"{figures['degraded']:,} first answered by rules alone; {figures['labels']:,} labels\n"
        f"dead letters: {reasons or 'none'}"
        f"{f'{chr(10)}{strangers:,} answers to what nobody wrote' if strangers else ''}",
    )


def _decisions(figures: Mapping[str, Any]) -> RenderableType:
    table = Table(
        box=None, header_style="dim", padding=(0, 2), title="Decisions", title_justify="left", title_style="bold"
    )
    table.add_column("")
    for name in DECISIONS:
        table.add_column(name, justify="right", style=COLOURS[name])
    table.add_row("transactions", *(f"{figures['decisions'][name]:,}" for name in DECISIONS))
    table.add_row(
        "of these fraud (precision)", *(format_percent(figures["precision_by_decision"][name]) for name in DECISIONS)
    )
    table.add_row(
        "of all frauds (recall)", *(format_percent(figures["recall_by_decision"][name]) for name in DECISIONS)
    )
    return _noted(
        table,
        f"{format_percent(figures['genuine_untroubled'])} of genuine customers were allowed at once; "
        f"average precision of the score {figures['average_precision']}",
    )


def _kinds(figures: Mapping[str, Any], kinds: Mapping[str, str]) -> RenderableType:
    table = Table(
        box=None, header_style="dim", padding=(0, 2), title="Frauds by kind", title_justify="left", title_style="bold"
    )
    table.add_column("")
    for name in ("frauds", "found", "stopped"):
        table.add_column(name, justify="right")
    for kind, count in figures["frauds_by_kind"].items():
        found, stopped = figures["recall_by_kind"][kind], figures["stopped_by_kind"][kind]
        table.add_row(kinds.get(kind, kind), f"{count:,}", format_percent(found), format_percent(stopped))
    return _noted(table, "found: flagged, held or blocked; stopped: held or blocked")


def _second_act(act: Mapping[str, Any], kinds: Mapping[str, str]) -> RenderableType:
    kind = kinds.get(act["fraud"], act["fraud"])
    table = Table(
        box=None,
        header_style="dim",
        padding=(0, 2),
        title=f"Second act: {kind}, new at {act['retailer']}",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("")
    for name in ("frauds", "found", "recall", "known kinds", "untroubled"):
        table.add_column(name, justify="right")
    for stage, text in STAGES.items():
        recall = act["recall"][stage]
        table.add_row(
            text,
            f"{recall['frauds']:,}",
            f"{recall['found']:,}",
            f"[bold]{format_percent(recall['share'])}[/bold]",
            format_percent(act["known_frauds"][stage]["share"]),
            format_percent(act["genuine_untroubled"][stage]["share"]),
        )
    return _noted(table, "\n".join(describe_learning(act, kind)))


def render_third_act(act: Mapping[str, Any], kinds: Mapping[str, str]) -> RenderableType:
    """What each retailer gained, what each round cost, and the rest in sentences."""
    return Group(
        _gains(act, kinds), _rounds(act), Text("\n" + "\n\n".join(results.describe_act(act)) + "\n", style="dim italic")
    )


def _gains(act: Mapping[str, Any], kinds: Mapping[str, str]) -> RenderableType:
    table = Table(
        box=None,
        header_style="dim",
        padding=(0, 2, 0, 0),
        title="Third act: three retailers learn together",
        title_justify="left",
        title_style="bold",
    )
    table.add_column("share of frauds stopped, by what was learned")
    for name in ("frauds", "alone", "together"):
        table.add_column(name, justify="right")
    for name, each in act["retailers"].items():
        table.add_row(
            f"[bold]{name}[/bold]{', a newcomer' if each['newcomer'] else ''} [dim]· in the end {results.describe_serving(each)}[/dim]"
        )
        for what, words in (("never_seen", "never seen"), ("seen", "seen")):
            recall = each["recall"][what]
            style = "bold" if what == "never_seen" else "default"
            table.add_row(
                f"  {words}: {', '.join(kinds.get(kind, kind) for kind in each[what])}",
                f"{recall['frauds']:,}",
                format_percent(recall["before"]),
                f"[{style}]{format_percent(recall['after'])}[/]",
            )
    return table


def _rounds(act: Mapping[str, Any]) -> RenderableType:
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0))
    for name in results.ROUND_HEAD:
        table.add_column(name, justify="right")
    for line in act["rounds"]:
        table.add_row(*results.round_cells(line))
    return Group(Text(), table)


def _noted(table: Table, note: str) -> RenderableType:
    """A note of the terminal's width below; a caption would be as narrow as the table."""
    return Group(table, Text(note + "\n", style="dim italic"))


def show_next(console: Console, report: Path, connector: Path, *, running: bool) -> None:
    """Where the report is, and the same system by hand."""
    console.print(f"\nReport: [bold]{report}[/bold]", highlight=False, soft_wrap=True)
    shell = Path(sys.prefix) / "bin" / "activate"
    after = f", after [cyan]source {shorten_path(shell)}[/cyan]" if shutil.which("tillguard") is None else ""
    console.print(f"Now by hand, each in a terminal of its own{after}:", highlight=False, soft_wrap=True)
    first = "tillguard status" if running else "tillguard up"
    commands = (
        (first, "the servers"),
        (f"tillguard score --retailer {MYSQL_RETAILER}", "a scoring worker"),
        (f"tillguard connector run {connector}", "reads the database"),
        (f"tillguard verdicts tail --retailer {MYSQL_RETAILER}", "the answers, as a checkout sees them"),
        (f"tillguard simulate --retailer {MYSQL_RETAILER}", "new sales into its database"),
        ("tillguard down", "stops the servers"),
    )
    for command, text in commands:
        console.print(f"  [cyan]{command}[/cyan]  [dim]# {text}[/dim]", highlight=False, soft_wrap=True)


def shorten_path(path: Path) -> Path:
    """As short as it can be typed from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
