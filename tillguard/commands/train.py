"""Training, and the models that it made: train, models list, show, promote, publish."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError

if TYPE_CHECKING:
    from contract.settings import Settings
    from tillguard.training import Progress, Result
    from trainer.registry import Entry, Registry

RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="The retailer's settings; else TILLGUARD_CONFIG, else the state folder's."
)
PIPED_WIDTH = 200
"""Columns of a table that no terminal shows."""
VERSION = typer.Argument(metavar="VERSION", help="A model version of `tillguard models list`.")
models = typer.Typer(no_args_is_help=True, help="Show trained models; put one in service.", rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("train")(train)
    models.command("list")(list_models)
    models.command("show")(show)
    models.command("promote")(promote)
    models.command("publish")(publish)
    app.add_typer(models, name="models")


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
) -> None:
    """Train a model on labelled history, prove it, register it, and put it in service.

    A file is replayed through the same windows as live transactions, apart from them. The newest 15% are never learned from:
    the report's figures are measured there. Without --mapping, a line is a Transaction as on the transactions topic, with a
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
            progress=told,
        )
    _print(settings, result)
    if result.objection is not None:
        raise typer.Exit(1)


def list_models(retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """List the retailer's models, newest first."""
    from rich.console import Console

    from tillguard.config import load
    from tillguard.training_report import models_table, width_for

    with _registry(load(retailer, config)) as (settings, registry):
        table = models_table(registry.models(settings.retailer), registry.promotions(settings.retailer))
    columns = Console().width if sys.stdout.isatty() else PIPED_WIDTH
    Console(width=width_for(table, columns)).print(table)


def show(version: str = VERSION, retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """Show all that is known of one model, as JSON."""
    import msgspec

    from tillguard.config import load

    with _registry(load(retailer, config)) as (settings, registry):
        entry = _entry(registry, settings.retailer, version)
        known = msgspec.to_builtins(entry.manifest)
        known |= {
            "package": str(entry.file),
            "package_sha256": entry.package_sha256,
            "package_bytes": entry.package_bytes,
        }
        typer.echo(msgspec.json.format(msgspec.json.encode(known)).decode())


def promote(version: str = VERSION, retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """Put a registered model in service, also an older one; workers follow at once."""
    import getpass
    from datetime import UTC, datetime

    from tillguard.config import load
    from tillguard.publication import promote_model

    with _registry(load(retailer, config)) as (settings, registry):
        entry = _entry(registry, settings.retailer, version)
        promote_model(settings, registry, entry, by=getpass.getuser(), now=datetime.now(UTC))
    typer.echo(f"{version} is in service: workers load it now.")


def publish(version: str = VERSION, retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """Send a registered model to the workers again, without putting it in service.

    For transactions that it judged first and that come again: a worker says which model it misses (`/ready`, and
    `pinned_model_missing` in its log).
    """
    from tillguard.config import load
    from tillguard.publication import publish_model

    with _registry(load(retailer, config)) as (settings, registry):
        publish_model(settings, registry, _entry(registry, settings.retailer, version))
    typer.echo(f"{version} is with the workers; what waits for it is answered now.")


@contextmanager
def _registry(settings: "Settings") -> "Iterator[tuple[Settings, Registry]]":
    from tillguard import logs
    from trainer.registry import Registry

    logs.configure(settings.log)
    registry = Registry(settings.trainer.registry_url.get_secret_value(), settings.trainer.registry_directory)
    try:
        yield settings, registry
    finally:
        registry.close()


def _entry(registry: "Registry", retailer: str, version: str) -> "Entry":
    entry = registry.find(retailer, version)
    if entry is None:
        raise ConfigurationError([f"{retailer} has no model {version}; `tillguard models list` shows them"])
    return entry


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
        texts = {"read": "history: {:,} transactions", "fit": "learning: epoch {}"}
        yield lambda stage, count: status.update(texts[stage].format(count))


def _print(settings: "Settings", result: "Result") -> None:
    from rich.console import Console

    from tillguard.training_report import render

    Console().print(render(settings, result))
