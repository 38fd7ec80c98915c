"""Training: train. What becomes of the models is tillguard.commands.models."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError

if TYPE_CHECKING:
    from contract.settings import Settings
    from tillguard.training import Progress, Result

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
    epochs: int | None = typer.Option(None, "--epochs", min=1, help="At most so many; else trainer.epochs_max."),
    label_delay_days: float | None = typer.Option(
        None,
        "--label-delay-days",
        min=0,
        help="With `topic`: younger transactions are left out, older ones without a label are genuine; else trainer.label_delay_days.",
    ),
    promote: bool = typer.Option(
        True, "--promote/--no-promote", help="Put the model in service unless the one that serves is better."
    ),
    load_windows: bool = typer.Option(
        True,
        "--load/--no-load",
        help="With a file: fill the live windows from it before its model serves (as `tillguard history load`).",
    ),
) -> None:
    """Train a model on labelled history, prove it, register it, and put it in service.

    A file is replayed through the same windows as live transactions, apart from them; then the live windows take it too, so that the
    model serves with what it was trained on. The newest 15% are never learned from: the report's figures are measured there. Without --mapping, a line is a Transaction as on the transactions topic, with a
    field `fraud` (true, false or null) beside.
    """
    from tillguard import logs
    from tillguard.config import load
    from tillguard.training import TOPIC

    settings = load(retailer, config)
    logs.configure(settings.log)
    if history == TOPIC and mapping is not None:
        raise ConfigurationError(["--mapping says what a file's columns mean; `topic` needs none"])
    source = history if history == TOPIC else Path(history)
    with _progress() as told:
        from tillguard.training import train as run

        result = run(
            settings,
            source,
            mapping=mapping,
            seed=seed,
            epochs_max=epochs,
            label_delay_days=label_delay_days,
            promote=promote,
            load=load_windows,
            progress=told,
        )
    _print(settings, result)
    if result.objection is not None:
        raise typer.Exit(1)


@contextmanager
def _progress() -> "Iterator[Progress]":
    """A line that counts on a terminal, nothing elsewhere."""
    from rich.console import Console

    from tillguard.training import silent

    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    with console.status("starting (TensorFlow takes some seconds)") as status:
        texts = {
            "read": "history: {:,} transactions",
            "fit": "learning: epoch {}",
            "load": "live windows: {:,} transactions",
        }
        yield lambda stage, count: status.update(texts[stage].format(count))


def _print(settings: "Settings", result: "Result") -> None:
    from rich.console import Console

    from tillguard.training_report import render

    Console().print(render(settings, result))
