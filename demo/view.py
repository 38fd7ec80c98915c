"""What the terminal shows: steps with their times, and a table that lives. On anything but a terminal, a line now and then."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from demo.summary import DECISIONS
from demo.tally import Phase, Tally

RECENT = 2_000
"""Latencies that the live percentiles look at."""
LINE_EVERY_S = 5.0
REFRESH_PER_S = 5
COLOURS = {"allow": "green", "flag": "yellow", "hold": "dark_orange", "block": "red"}


@dataclass(frozen=True, slots=True)
class Figures:
    """One retailer at one moment."""

    retailer: str
    given: int
    sent: int
    answered: int
    decisions: tuple[int, ...]
    """In the order of DECISIONS."""
    dead_letters: int
    p50_ms: float | None
    p99_ms: float | None


def compute_figures(tally: Tally) -> Figures:
    """The live phase as it stands; the caller holds the lock."""
    recent = tally.latencies_ms[-RECENT:]
    p50, p99 = np.percentile(recent, (50, 99)).tolist() if recent else (None, None)
    decisions = tuple(tally.decisions[decision] for decision in DECISIONS)
    return Figures(
        tally.retailer,
        tally.expected["live"],
        tally.sent,
        tally.answered["live"],
        decisions,
        tally.answered["live"] - sum(decisions),
        p50,
        p99,
    )


class Rate:
    """Answers per second over the last few seconds."""

    def __init__(self, span_s: float = 3.0) -> None:
        self._span_s = span_s
        self._points: list[tuple[float, int]] = []

    def compute(self, total: int, now_s: float) -> float:
        """The rate, after `total` answers at `now_s`."""
        self._points = [point for point in self._points if point[0] > now_s - self._span_s] + [(now_s, total)]
        first_s, first = self._points[0]
        return (total - first) / (now_s - first_s) if now_s > first_s else 0.0


def render_table(entries: Sequence[Figures], rate: float) -> RenderableType:
    """Progress over all retailers, and a row for each."""
    given, answered = sum(entry.given for entry in entries), sum(entry.answered for entry in entries)
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        ProgressBar(total=max(given, 1), completed=answered, width=40),
        f"{answered:,} of {given:,} answered",
        f"[bold]{rate:,.0f}[/bold]/s",
    )
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")  # a terminal of 80 columns holds it
    table.add_column("retailer", no_wrap=True)
    for name in ("written", "answered", *DECISIONS, "dead\nletters", "p50 ms", "p99 ms"):
        table.add_column(name, justify="right", no_wrap=True, style=COLOURS.get(name, ""))
    for entry in entries:
        table.add_row(
            entry.retailer,
            f"{entry.sent:,}",
            f"{entry.answered:,}",
            *(f"{count:,}" for count in entry.decisions),
            f"{entry.dead_letters:,}",
            _number(entry.p50_ms),
            _number(entry.p99_ms),
        )
    return Group(bar, table)


def render_line(entries: Sequence[Figures], rate: float) -> str:
    """The same in one line of text, for logs."""
    given, answered = sum(entry.given for entry in entries), sum(entry.answered for entry in entries)
    by_name = [f"{name} {sum(e.decisions[i] for e in entries):,}" for i, name in enumerate(DECISIONS)]
    slowest = max((entry.p99_ms for entry in entries if entry.p99_ms is not None), default=None)
    dead = sum(entry.dead_letters for entry in entries)
    return f"{answered:,} of {given:,} answered, {rate:,.0f}/s, {', '.join(by_name)}, dead letters {dead:,}, p99 {_number(slowest)} ms"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"


class Screen:
    """Shows steps as they go. One thread calls it; the drawing itself happens in rich's own thread."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.durations_s: dict[str, float] = {}
        self._detail = ""
        self._told_s = 0.0

    @contextmanager
    def show_step(self, name: str, panel: Callable[[], RenderableType] | None = None) -> Iterator[None]:
        """Times what happens inside, and shows it with a tick when it is done; `panel` is drawn below meanwhile."""
        started = time.monotonic()
        self._detail, self._told_s = "", started
        spinner = Spinner("dots")

        def render() -> RenderableType:
            elapsed = f"{time.monotonic() - started:4.0f} s"
            spinner.text = Text.assemble(
                f" {name} ", (f"{self._detail} " if self._detail else "", "dim"), (elapsed, "dim")
            )
            return Group(spinner, panel()) if panel is not None else spinner

        if self.console.is_terminal:
            with Live(get_renderable=render, console=self.console, refresh_per_second=REFRESH_PER_S, transient=True):
                yield
        else:
            self.console.print(f"  {name} ...")
            yield
        self.durations_s[name] = time.monotonic() - started
        detail = f" ({self._detail})" if self._detail else ""
        self.console.print(
            f"[green]✓[/green] {name}[dim]{detail}  {self.durations_s[name]:.1f} s[/dim]", highlight=False
        )

    def show_detail(self, text: str) -> None:
        """Says how far the present step is; called as often as one likes."""
        self._detail = text
        now = time.monotonic()
        if not self.console.is_terminal and now - self._told_s >= LINE_EVERY_S:
            self._told_s = now
            self.console.print(f"    {text}", highlight=False)


def describe_unanswered(tallies: Sequence[Tally], phase: Phase) -> str:
    """`12,000 of 50,000 answered`."""
    given = sum(tally.expected[phase] for tally in tallies)
    return f"{sum(tally.answered[phase] for tally in tallies):,} of {given:,} answered"
