"""Training: train. What becomes of the models is tillguard.commands.models."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError

if TYPE_CHECKING:
    from contract.settings import Settings
    from tillguard.operations.training import Progress
    from trainer.learning.training_attempt import Attempt

RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="The retailer's settings; else TILLGUARD_CONFIG, else the state folder's."
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("train")(train)


def train(
    *,
    history: str = typer.Option(
        help="A labelled file (JSON lines, or Parquet, CSV, JSON lines with --mapping), or the word `topic`: what was "
        "scored here, with the labels that came since."
    ),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    mapping: Path | None = typer.Option(
        None, "--mapping", metavar="FILE", help="Connector file (source.kind: file) that says what the columns mean."
    ),
    seed: int | None = typer.Option(None, "--seed", min=0, help="Of everything random; else trainer.seed."),
    epochs: int | None = typer.Option(None, "--epochs", min=1, help="At most this many; else trainer.epochs_max."),
    label_delay_days: float | None = typer.Option(
        None,
        "--label-delay-days",
        min=0,
        help="With `topic`: older transactions without a label count as genuine; else trainer.label_delay_days.",
    ),
    promote: bool = typer.Option(True, "--promote/--no-promote", help="Put the model in service if the gate lets it."),
    load_windows: bool = typer.Option(
        True,
        "--load/--no-load",
        help="With a file: fill the live windows from it before its model serves (as `tillguard history load`).",
    ),
) -> None:
    """Train a model on labelled history, prove it, register it, and put it in service if it passes the gate.

    A file is replayed through the same windows as live transactions, apart from them; then the live windows take it too, so that the
    model serves with what it was trained on. `topic` takes what the topics hold into the
    examples store and learns from that, from the beginning. The newest 15% are never learned from: the report's figures and the
    gate's are measured there. A first model must show skill; a later one must be surely better than the one that serves. Without
    --mapping, a line is a Transaction as on the transactions topic, with a field `fraud` (true, false or null) alongside.

    Exit codes: 0 done, 1 failed or not put in service, 2 wrong configuration.
    """
    from runtime import logs
    from tillguard.config import load
    from tillguard.operations.mapping_doubts import find_doubts
    from tillguard.operations.training import TOPIC

    settings = load(retailer, config)
    logs.configure(settings.log)
    if history == TOPIC and mapping is not None:
        raise ConfigurationError(["--mapping says what a file's columns mean; `topic` needs none"])
    for doubt in find_doubts(settings, mapping):
        typer.echo(f"Note: {doubt}.", err=True)
    source = history if history == TOPIC else Path(history)
    with _progress() as told:
        from tillguard.operations.training import Wishes
        from tillguard.operations.training import train as run

        wishes = Wishes(mapping, seed, epochs, label_delay_days, load=load_windows)
        made = run(settings, source, wishes, promote=promote, progress=told, waits=_say_wait)
    _print(settings, made)
    if made.outcome in {"refused", "pinned"}:
        raise typer.Exit(1)


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A line that counts on a terminal, nothing elsewhere."""
    from rich.console import Console

    from tillguard.operations.training import ignore_progress

    console = Console(stderr=True)
    if not console.is_terminal:
        yield ignore_progress
        return
    with console.status("starting (TensorFlow takes some seconds)") as status:
        texts = {
            "read": "history: {:,} transactions",
            "fit": "learning: epoch {}",
            "load": "live windows: {:,} transactions",
        }
        yield lambda stage, count: status.update(texts[stage].format(count))


def _say_wait(by: str) -> None:
    typer.echo(f"another training is under way ({by}); this one begins when it has ended", err=True)


def _print(settings: "Settings", made: "Attempt") -> None:
    from tillguard.views.printing import show
    from tillguard.views.training_report import render

    show(*render(settings, made))
