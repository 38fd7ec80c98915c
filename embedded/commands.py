"""The embedded stack: up, down, status, and init, which gives a retailer its settings and topics on it."""

import sys
from pathlib import Path
from typing import Any

import msgspec
import typer

from contract.errors import ConfigurationError
from runtime.state_folder import find_retailer_folder, find_state_folder


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command()(init)


AS_JSON = typer.Option(False, "--json", help="Print one JSON document instead of text.")
ONLY = typer.Option(
    None, "--only", metavar="SERVICE", help="Only this one of kafka, redis, mariadb, mongodb. Repeatable."
)


def up(only: list[str] | None = ONLY, as_json: bool = AS_JSON) -> None:
    """Start Kafka, Redis, MariaDB and a Mongo wire server on this machine; what already runs is left alone.

    Needs no Docker, root or Java. The first start downloads about 200 MB into a cache that later ones share (TILLGUARD_CACHE).
    Everything else lives in the state folder (`.tillguard`, or TILLGUARD_STATE): addresses and passwords in `stack.json`,
    data next to it, logs in `logs`.
    """
    stack = _stack(quiet=as_json)
    before = {found.name for found in stack.check_status() if found.state == "running"}
    endpoints = stack.start(_wanted(only))
    if as_json:
        _print_json({name: msgspec.to_builtins(endpoint) for name, endpoint in endpoints.items()})
        return
    for name, endpoint in endpoints.items():
        typer.echo(f"{name:<8} {endpoint.host}:{endpoint.port}{'  (was running)' if name in before else ''}")
    if "mongodb" in set(endpoints) - before:
        typer.echo("mongodb keeps its data in memory: it starts empty, and positions in an earlier one are dead.")
    typer.echo(f"Addresses and passwords: {find_state_folder() / 'stack.json'}. `tillguard down` stops everything.")


def down(only: list[str] | None = ONLY) -> None:
    """Stop the servers that `up` started. Data of Kafka, Redis and MariaDB stays; the Mongo wire server forgets its own."""
    stopped = _stack(quiet=False).stop(_wanted(only))
    typer.echo(f"stopped {', '.join(dict.fromkeys(stopped))}" if stopped else "nothing was running")


def status(as_json: bool = AS_JSON) -> None:
    """Show each server's state, after one exchange with it. The exit code is 0 when all of them run, else 1."""
    found = _stack(quiet=True).check_status()
    if as_json:
        _print_json([msgspec.to_builtins(service) for service in found])
    else:
        for service in found:
            address = f"{service.endpoint.host}:{service.endpoint.port}" if service.endpoint else "-"
            process = f"pid {service.pid}" if service.pid else ""
            typer.echo(f"{service.name:<8} {service.state:<13} {address:<16} {process:<11} {service.log}".rstrip())
    if any(service.state != "running" for service in found):
        raise typer.Exit(1)


def init(
    retailer: str = typer.Argument(
        metavar="NAME", help="Lower-case letters, digits and dashes; first part of every topic."
    ),
    currency: str = typer.Option("EUR", metavar="CODE", help="Base currency, ISO 4217: windows sum in it."),
    force: bool = typer.Option(False, "--force", help="Write the settings again, with the stack's present addresses."),
) -> None:
    """Give a retailer its settings file and its topics on the embedded stack. Running it again changes nothing.

    Writes `retailers/NAME/settings.yaml` in the state folder, with a fresh key for the tokens of personal data.
    """
    from embedded import retailers

    stack = _stack(quiet=False)
    down = [found.name for found in stack.check_status() if found.name in retailers.NEEDED and found.state != "running"]
    if down:
        raise ConfigurationError([f"not running: {', '.join(down)}; `tillguard up` starts the embedded stack"])
    folder = find_retailer_folder(retailer)
    _, changes = retailers.create(retailer, currency, folder, stack.endpoints, force=force)
    for line in changes or [f"{retailer}: everything is in place"]:
        typer.echo(line)
    connectors = folder / "connectors"
    if not any(connectors.glob("*.yaml")):
        typer.echo(f"Next, a connector file: tillguard connector new --output {_short(connectors / 'orders.yaml')}")


def _short(path: Path) -> Path:
    """As it is typed from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _stack(*, quiet: bool) -> Any:
    from embedded.stack import Stack

    def report(line: str) -> None:
        if not quiet:
            typer.echo(line, err=True)

    return Stack(find_state_folder(), report=report)


def _wanted(only: list[str] | None) -> list[str]:
    from embedded.stack import SERVICES

    unknown = sorted(set(only or ()) - set(SERVICES))
    if unknown:
        raise ConfigurationError(
            [f"--only {name}: no such service; known are {', '.join(SERVICES)}" for name in unknown]
        )
    return [name for name in SERVICES if not only or name in only]


def _print_json(document: object) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
