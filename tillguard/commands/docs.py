"""The command that writes, or checks, the pages that follow from the code."""

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("docs", rich_help_panel="Development")(docs)


def docs(
    check: bool = typer.Option(
        False, "--check", help="Change nothing; list what differs from the code, and exit with 1 if anything does."
    ),
    folder: Path = typer.Option(Path("docs"), "--folder", help="Folder of the documentation."),
) -> None:
    """Write the pages that follow from the code: schemas, AsyncAPI, settings, topics, features, metrics, commands.

    With --check, also reads the pages written by hand (this folder's, and README.md and others next to it) and names every command in
    them that does not exist.
    """
    from tillguard.docs.calls import find_page_faults
    from tillguard.docs.pages import find_outdated, list_hand_written, render, write

    pages = render()
    if not check:
        for path in write(folder, pages):
            typer.echo(f"wrote {folder / path}")
        return
    faults = [
        f"{folder / path} differs from the code; `tillguard docs` writes it again"
        for path in find_outdated(folder, pages)
    ]
    for file in list_hand_written(folder, pages):
        faults += [f"{file}: {fault}" for fault in find_page_faults(file.read_text(encoding="utf-8"))]
    for fault in faults:
        typer.echo(fault, err=True)
    if faults:
        raise typer.Exit(1)
