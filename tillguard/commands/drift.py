"""Drift of the serving model: drift."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from contract.settings import Settings
    from tillguard.drift import Raised
    from trainer.registry import Registry

RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="The retailer's settings; else TILLGUARD_CONFIG, else the state folder's."
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("drift")(drift)


def drift(
    *,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    as_json: bool = typer.Option(False, "--json", help="For machines, one line a look."),
    watch: bool = typer.Option(False, "--watch", help="Look again every trainer.drift.every_s, until Ctrl-C."),
    alarms: bool = typer.Option(True, "--alarms/--no-alarms", help="Send alarms to the alarms topic."),
) -> None:
    """Compare what the serving model sees now with what it learned from: features, scores, and precision without labels.

    Reads the newest part of the feature log (trainer.drift.window_days). Alarms name what to do.
    """
    from tillguard import logs
    from tillguard.config import load
    from tillguard.drift import Raised
    from trainer.registry import Registry

    settings = load(retailer, config)
    logs.configure(settings.log)
    registry = Registry(settings.trainer.registry_url.get_secret_value(), settings.trainer.registry_directory)
    try:
        if watch:
            _watch(settings, registry, as_json=as_json, send=alarms)
        else:
            _look(settings, registry, Raised(), as_json=as_json, send=alarms)
    finally:
        registry.close()


def _watch(settings: "Settings", registry: "Registry", *, as_json: bool, send: bool) -> None:
    import time

    from contract.errors import TransientError
    from tillguard.drift import Raised

    raised = Raised()
    try:
        while True:
            try:
                _look(settings, registry, raised, as_json=as_json, send=send)
            except TransientError as error:
                typer.echo(f"tillguard: {error}; looking again in {settings.trainer.drift.every_s:g} s", err=True)
            time.sleep(settings.trainer.drift.every_s)
    except KeyboardInterrupt:
        return


def _look(settings: "Settings", registry: "Registry", raised: "Raised", *, as_json: bool, send: bool) -> None:
    import sys
    from datetime import UTC, datetime

    import msgspec
    from rich.console import Console

    from tillguard import drift_report
    from tillguard.drift import check

    checked = check(settings, registry, now=datetime.now(UTC), raised=raised, send=send)
    if as_json:
        typer.echo(msgspec.json.encode(drift_report.as_json(checked)).decode())
    else:
        Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False).print(
            drift_report.render(checked)
        )
