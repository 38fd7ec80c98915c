"""The command that writes, or checks, the pages that follow from the code."""

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("docs", rich_help_panel="Development")(docs)


def docs(
    check: bool = typer.Option(
        False, "--check", help="Change nothing; list the pages that differ from the code and exit with 1."
    ),
    folder: Path = typer.Option(Path("docs"), "--folder", help="Folder of the documentation."),
) -> None:
    """Write the pages that follow from the code: schemas, AsyncAPI, settings, topics, features, metrics, commands."""
    from tillguard.docs.pages import drift, render, write

    pages = render()
    if not check:
        for path in write(folder, pages):
            typer.echo(f"wrote {folder / path}")
        return
    differing = drift(folder, pages)
    for path in differing:
        typer.echo(f"{folder / path} differs from the code", err=True)
    if differing:
        typer.echo("`tillguard docs` writes them anew", err=True)
        raise typer.Exit(1)
