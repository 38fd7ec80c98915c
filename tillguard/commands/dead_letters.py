"""Dead letters on the command line: list, show, retry."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError
from tillguard.operations.guarding import guard
from tillguard.views.terminal import escape_line

if TYPE_CHECKING:
    from tillguard.operations.dead_letter_desk import Filed

RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="Settings file; else TILLGUARD_CONFIG, else the state folder's."
)
REASON = typer.Option(None, "--reason", metavar="CODE", help="Only letters with this reason.")
PART = typer.Option(None, "--part", metavar="PART", help="Only letters of this part: scoring, or connector:NAME.")
letters = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    help_text = (
        "Messages and rows that could not be used, each with where it came from and why.\n\n"
        "Fix the cause (the mapping, a setting, the row itself), then `retry`."
    )
    letters.command("list")(guard(list_))
    letters.command("show")(guard(show))
    letters.command("retry")(guard(retry))
    app.add_typer(letters, name="dead-letters", help=help_text)


def list_(
    *,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    reason: str | None = REASON,
    part: str | None = PART,
    count: int = typer.Option(50, "-n", "--count", min=1, help="The newest this many."),
    as_json: bool = typer.Option(False, "--json", help="One JSON document a line."),
) -> None:
    """List dead letters, the newest last. The first column names each for `show` and `retry`."""
    from rich.console import Console
    from rich.table import Table

    found = _standing(retailer, config, reason, part)
    shown = found[-count:]
    if as_json:
        for filed in shown:
            _print_json(filed)
        return
    table = Table(box=None)
    for name in ("letter", "when", "part", "reason", "source", "position", "key"):
        table.add_column(name, overflow="fold")  # on a narrow terminal over two lines, never half of it
    for filed in shown:
        letter = filed.letter
        when = f"{letter.failed_at:%Y-%m-%d %H:%M:%S}"
        told = (letter.part, letter.reason, letter.source, letter.position, letter.key or "-")
        table.add_row(filed.name, when, *map(escape_line, told))
    Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False).print(table)
    typer.echo(f"{len(found)} dead letters" + (f", the newest {len(shown)} shown" if len(shown) < len(found) else ""))


def show(
    letter: str = typer.Argument(metavar="LETTER", help="As `list` names it: partition:offset."),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Show everything about one dead letter, with what its reason means and the message as far as it is kept.

    Messages hold tokens instead of personal data; rows of the source are never copied into a letter.
    """
    from contract.dead_letters import REASONS

    filed = next((each for each in _standing(retailer, config, None, None) if each.name == letter), None)
    if filed is None:
        raise ConfigurationError([f"no dead letter {letter}; `tillguard dead-letters list` names those that stand"])
    found = filed.letter
    for label, value in (
        ("part", found.part),
        ("reason", f"{found.reason}: {REASONS.get(found.reason, 'unknown to this version')}"),
        ("detail", found.detail),
        ("source", found.source),
        ("position", found.position),
        ("key", found.key or "-"),
        ("failed at", found.failed_at.isoformat()),
    ):
        typer.echo(f"{label:<10} {escape_line(value)}")
    if found.payload is not None:
        typer.echo(f"{'message':<10} {escape_line(found.payload.decode(errors='backslashreplace'))}")


def retry(
    letter: list[str] | None = typer.Argument(None, metavar="LETTER...", help="As `list` names them."),
    *,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    reason: str | None = REASON,
    part: str | None = PART,
    every: bool = typer.Option(False, "--all", help="All letters, or all that --reason and --part leave."),
    connectors: Path | None = typer.Option(
        None, "--connectors", metavar="FOLDER", help="Folder of the connector files; else the retailer's own."
    ),
) -> None:
    """Try dead letters again, after the cause was fixed.

    A letter of scoring or of a trainer: the record that it names, as it stands on the topic, goes to that topic again. A letter of a
    connector: the row is read again from the database and mapped again. A letter that was sent again disappears from the list; should it
    fail again, a new one comes. What a letter says chooses among your own topics and connector files only.
    Exit code 1: some could not be sent, with the reason for each.
    """
    from runtime.state_folder import find_retailer_folder
    from tillguard.config import load
    from tillguard.operations.dead_letter_desk import Retry

    if bool(letter) == every:
        raise ConfigurationError(["name the letters to retry, or say --all (with --reason or --part to choose)"])
    found = _standing(retailer, config, reason, part)
    unknown = set(letter or ()) - {filed.name for filed in found}
    if unknown:
        raise ConfigurationError([f"no dead letter {name}" for name in sorted(unknown)])
    settings = load(retailer, config)
    folder = connectors or (
        config.parent / "connectors" if config else find_retailer_folder(settings.retailer) / "connectors"
    )
    chosen = [filed for filed in found if every or filed.name in (letter or ())]
    refused = 0
    for filed, why in Retry(settings, folder).retry(chosen):
        if why is not None:
            refused += 1
            typer.echo(f"{filed.name} not sent: {escape_line(why)}", err=True)
    typer.echo(f"{len(chosen) - refused} sent again, {refused} not")
    if refused:
        raise typer.Exit(1)


def _standing(retailer: str | None, config: Path | None, reason: str | None, part: str | None) -> "list[Filed]":
    from tillguard.config import load
    from tillguard.operations.dead_letter_desk import list_standing

    return [
        filed
        for filed in list_standing(load(retailer, config))
        if reason in (None, filed.letter.reason) and part in (None, filed.letter.part)
    ]


def _print_json(filed: "Filed") -> None:
    import msgspec

    document = {"letter": filed.name, **msgspec.to_builtins(filed.letter)}
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
