"""The backoffice on the command line: run it; people, tokens and audit have modules of their own."""

from pathlib import Path

import typer

from tillguard.commands.accounts import backup, tokens, users
from tillguard.commands.accounts.users import CONFIG

backoffice = typer.Typer(
    no_args_is_help=True,
    help="The door for checkouts and the desk for people, over HTTP: one process for all retailers of an installation.",
    rich_markup_mode="markdown",
)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    backoffice.command("run")(run)
    users.register(backoffice)
    tokens.register(backoffice)
    backup.register(backoffice)
    app.add_typer(backoffice, name="backoffice")


def run(
    retailer: list[str] = typer.Option(
        [], "--retailer", metavar="NAME", help="Serve only this retailer; can be given several times."
    ),
    config: Path | None = CONFIG,
    web_port: int | None = typer.Option(
        None, "--web-port", min=0, max=65535, help="Instead of backoffice.web_port; 0 chooses a free one."
    ),
    address_file: Path | None = typer.Option(
        None, "--address-file", metavar="FILE", help="Where to write the URL of the web server once it listens."
    ),
) -> None:
    """Run the backoffice. Ctrl-C or SIGTERM ends it; scoring never waits for it.

    Serves every retailer that backoffice.retailers names, or that the state folder holds. Web pages for machines: /health, /ready
    (which doors are open, and why one is not), /metrics, /v1/openapi.json.
    """
    from tillguard.backoffice.root import run as run_server
    from tillguard.config import load_backoffice, load_retailers

    file = load_backoffice(config)
    if web_port is not None:
        changed = file.backoffice.model_copy(update={"web_port": web_port})
        file = file.model_copy(update={"backoffice": changed})
    raise typer.Exit(run_server(file, load_retailers(file, retailer), address_file=address_file))
