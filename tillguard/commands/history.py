"""The past of a retailer: history load."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import typer

history = typer.Typer(
    no_args_is_help=True, help="Bring a retailer's past into the live windows.", rich_markup_mode="markdown"
)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    history.command("load")(load)
    app.add_typer(history, name="history")


@history.callback()
def group() -> None:
    """Keeps `load` a command of a group while it is the only one."""


def load(
    *,
    file: Path = typer.Option(
        ..., "--history", metavar="FILE", help="As for `tillguard train`: JSON lines, or any file with --mapping."
    ),
    retailer: str | None = typer.Option(None, "--retailer", metavar="NAME", help="The retailer."),
    config: Path | None = typer.Option(
        None, "--config", metavar="FILE", help="Settings file; else TILLGUARD_CONFIG, else the state folder's."
    ),
    mapping: Path | None = typer.Option(
        None, "--mapping", metavar="FILE", help="Connector file (source.kind: file) that says what the columns mean."
    ),
    before: datetime | None = typer.Option(
        None,
        "--before",
        metavar="TIME",
        help="Take only transactions before this event_time (UTC): where the live windows begin.",
    ),
) -> None:
    """Fill the live windows and the risk of entities from a history file, so that serving begins with what training knew.

    `tillguard train` does this by itself when it puts a model in service. By hand it is for a history that came later, and for a
    Redis that was lost. Transactions are taken in event-time order, with each label at the time when it became known. Nobody is
    answered for them. What a connector brings later under the same transaction_id counts once, and a second load changes
    nothing. Killed, it continues when it is started again. While live transactions come, it takes at most a quarter of the time.

    Exit codes: 0 done, 1 failed, 2 wrong configuration, or live windows of which nobody knows where they begin.
    """
    from datetime import UTC

    from runtime import logs
    from tillguard.config import load as settings_of
    from tillguard.history.live import describe_load
    from tillguard.history.live import load as fill
    from tillguard.operations.mapping_doubts import find_doubts
    from trainer.feeds import outcome_feed

    settings = settings_of(retailer, config)
    logs.configure(settings.log)
    for doubt in find_doubts(settings, mapping):
        typer.echo(f"Note: {doubt}.", err=True)
    with _progress() as told:
        since = None if before is None else before.replace(tzinfo=before.tzinfo or UTC)
        loaded = fill(settings, file, mapping, now=datetime.now(UTC), before=since, progress=told)
    if not isinstance(loaded, str):
        outcome_feed.publish(settings, loaded.told, datetime.now(UTC))
    typer.echo(describe_load(loaded))
    if isinstance(loaded, str):
        raise typer.Exit(2)


@contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    """A line that counts on a terminal, nothing elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    with console.status("reading the history") as status:
        yield lambda count: status.update(f"history: {count:,} transactions")
