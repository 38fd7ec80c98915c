"""The command that shows a retailer's processes."""

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("processes")(processes)


def processes(
    retailer: str | None = typer.Option(None, "--retailer", metavar="NAME", help="The retailer."),
    config: Path | None = typer.Option(
        None, "--config", metavar="FILE", help="Settings file; else TILLGUARD_CONFIG, else the state folder's."
    ),
    *,
    as_json: bool = typer.Option(False, "--json", help="One JSON document instead of text."),
) -> None:
    """Show which processes of a retailer run, on whatever machine, and how each is: lag, progress, what is wrong.

    Every process says so on the status topic, every status.every_s seconds. One that was killed is shown as gone when it has missed
    four times. Times are those of the Kafka broker, compared with this machine's clock.
    """
    from datetime import UTC, datetime

    from contract.status.words import list_shown
    from tillguard.config import load
    from tillguard.operations.process_list import read_processes
    from tillguard.views.process_view import format_documents, format_lines

    settings, now = load(retailer, config), datetime.now(UTC)
    shown = list_shown(read_processes(settings), now)
    if as_json:
        typer.echo(format_documents(shown, now))
        return
    for line in format_lines(shown, now) or [f"{settings.retailer}: no process has told that it runs"]:
        typer.echo(line)
