"""Drift of the serving model: drift."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError

if TYPE_CHECKING:
    from contract.settings import Settings
    from trainer.drift.check import Raised
    from trainer.registry.registry import Registry

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
    replay: int | None = typer.Option(
        None,
        "--replay",
        metavar="N",
        min=1,
        max=1_000_000,
        help="Instead: compare the newest N feature records, float by float, with a replay of the same transactions.",
    ),
    history: Path | None = typer.Option(
        None,
        "--history",
        metavar="FILE",
        help="With --replay: the file that was loaded, where no connector brought its rows since.",
    ),
    mapping: Path | None = typer.Option(
        None, "--mapping", metavar="FILE", help="With --history: as for `tillguard train`."
    ),
) -> None:
    """Compare what the serving model sees now with what it learned from: features, scores, and precision without labels.

    Reads the newest part of the feature log (trainer.drift.window_days). Alarms name what to do.

    With --replay it asks something else: whether serving sees what training would see. The newest N transactions are replayed from the
    topics in a Redis of their own, with each fraud known from its label's time on. Features that differ are shown with how often, how
    far, and why it may be. Exit code 1: something differs.
    """
    if replay is not None:
        _skew(retailer, config, replay, history, mapping, as_json=as_json)
        return
    if history is not None or mapping is not None:
        raise ConfigurationError(["--history and --mapping go with --replay N"])
    from runtime import logs
    from tillguard.config import load
    from trainer.drift.check import Raised
    from trainer.registry.registry import Registry

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


def _skew(
    retailer: str | None, config: Path | None, newest: int, history: Path | None, mapping: Path | None, *, as_json: bool
) -> None:
    import sys
    from datetime import UTC, datetime

    import msgspec
    from rich.console import Console

    from runtime import logs
    from tillguard.config import load
    from tillguard.history.skew import check
    from tillguard.views import skew_report

    settings = load(retailer, config)
    logs.configure(settings.log)
    checked = check(settings, newest, now=datetime.now(UTC), file=history, mapping=mapping)
    if as_json:
        typer.echo(msgspec.json.encode(skew_report.as_json(checked)).decode())
    else:
        Console(width=None if sys.stdout.isatty() else 200).print(skew_report.render(checked))
    if checked.skew.different:
        raise typer.Exit(1)


def _watch(settings: "Settings", registry: "Registry", *, as_json: bool, send: bool) -> None:
    import time

    from contract.errors import TransientError
    from trainer.drift.check import Raised

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

    from runtime.kafka.producer import SharedProducer
    from tillguard.operations.state_gaps import find_serving_gaps
    from tillguard.views import drift_report
    from trainer.drift.check import check

    now = datetime.now(UTC)
    with SharedProducer(settings.kafka, "operator") as producer:
        checked = check(settings, registry, now=now, raised=raised, outlet=producer if send else None)
    gaps = find_serving_gaps(settings, registry, checked, now)
    if as_json:
        typer.echo(msgspec.json.encode(drift_report.as_json(checked, gaps)).decode())
    else:
        Console(width=None if sys.stdout.isatty() else 200, markup=False, emoji=False).print(
            drift_report.render(checked, gaps)
        )
