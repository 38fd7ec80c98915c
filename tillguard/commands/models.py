"""What becomes of trained models: models list, show, promote, rollback, pin, shadow, canary and the rest."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from contract.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime

    from contract.settings import Settings
    from tillguard.views.models_report import Standing
    from trainer.registry.registry import Entry, Registry

RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="The retailer's settings; else TILLGUARD_CONFIG, else the state folder's."
)
JSON = typer.Option(False, "--json", help="For machines.")
REASON = typer.Option("", "--reason", metavar="TEXT", help="Why; kept in the registry, at most 256 letters.")
VERSION = typer.Argument(metavar="VERSION", help="A model version of `tillguard models list`.")
models = typer.Typer(
    no_args_is_help=True,
    help="Show trained models, put one in service, go back, let one challenge another.",
    rich_markup_mode="markdown",
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    models.command("list")(list_models)
    for command in (show, compare, promote, rollback, pin, unpin, shadow, canary, withdraw, publish):
        models.command(command.__name__)(command)
    app.add_typer(models, name="models")


def list_models(retailer: str | None = RETAILER, config: Path | None = CONFIG, *, as_json: bool = JSON) -> None:
    """List the retailer's models, newest first."""
    from tillguard.config import load
    from tillguard.views import models_report

    with _registry(load(retailer, config)) as (settings, registry):
        known, standing = registry.list_models(settings.retailer), _standing(registry, settings.retailer)
        damage = {entry.manifest.model_version: registry.find_damage(entry) for entry in known}
        if as_json:
            _echo_json(
                [
                    models_report.as_json(
                        entry, registry.list_attachments(entry), standing, damage[entry.manifest.model_version]
                    )
                    for entry in known
                ]
            )
            return
    _print(models_report.tabulate_models(known, standing, {version for version, why in damage.items() if why}))


def show(
    version: str = VERSION, retailer: str | None = RETAILER, config: Path | None = CONFIG, *, as_json: bool = JSON
) -> None:
    """Show all that is known of one model: where it comes from, how good it is, what it costs, when it served."""
    from tillguard.config import load
    from tillguard.views import models_report

    with _registry(load(retailer, config)) as (settings, registry):
        entry = _entry(registry, settings.retailer, version)
        known = (entry, registry.list_attachments(entry), _standing(registry, settings.retailer))
        damage = registry.find_damage(entry)
    if as_json:
        _echo_json(models_report.as_json(*known, damage))
    else:
        _print(models_report.render_model_page(*known, settings.base_currency, damage))


def compare(
    champion: str | None = typer.Argument(None, metavar="CHAMPION", help="A version; else the model in service."),
    challenger: str | None = typer.Argument(None, metavar="CHALLENGER", help="A version; else what challenges it now."),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    *,
    label_delay_days: float | None = typer.Option(
        None,
        "--label-delay-days",
        min=0,
        help="A transaction without a label counts as genuine once it is so old; else trainer.label_delay_days.",
    ),
    as_json: bool = JSON,
) -> None:
    """Compare champion and challenger on the transactions that both scored and whose labels came.

    Each measure has a 95% interval of the difference (paired bootstrap, seeded): where it lies on one side of 0, chance
    alone would rarely show as much.
    """
    from tillguard.config import load
    from tillguard.views import compare_report
    from trainer.decision.compare import compare as run
    from trainer.learning import comparing

    with _registry(load(retailer, config)) as (settings, registry):
        one, other = _opponents(registry, settings.retailer, champion, challenger)
        version = other.manifest.model_version
        began = [
            each.decided_at for each in registry.list_challenges(settings.retailer) if each.model_version == version
        ]
    names = (one.manifest.model_version, version)
    found = comparing.find(settings, *names, since=min(began) if began else None, label_delay_days=label_delay_days)
    trainer = settings.trainer
    compared = run(found.pairs, one.manifest.thresholds, other.manifest.thresholds, trainer.costs, trainer.seed)
    if as_json:
        _echo_json(compare_report.as_json(*names, found, compared))
    else:
        steps, currency = other.manifest.thresholds, settings.base_currency
        _print(compare_report.render(*names, found, compared, thresholds=steps, currency=currency))


def promote(
    version: str = VERSION, retailer: str | None = RETAILER, config: Path | None = CONFIG, *, reason: str = REASON
) -> None:
    """Put a registered model in service, also an older one; workers follow at once."""
    from tillguard.config import load
    from trainer.learning.publication import promote_model

    with _registry(load(retailer, config)) as (settings, registry):
        entry = _entry(registry, settings.retailer, version)
        by, now = _who_and_when()
        promote_model(settings, registry, entry, by=by, now=now, reason=reason)
    typer.echo(f"{version} is in service: workers load it now.")


def rollback(retailer: str | None = RETAILER, config: Path | None = CONFIG, *, reason: str = REASON) -> None:
    """Go back to the model that served before; workers follow at once. Again: the one before that.

    Trainings continue putting better models in service: `tillguard models pin` stops that.
    """
    from tillguard.config import load
    from trainer.learning.publication import roll_back

    with _registry(load(retailer, config)) as (settings, registry):
        before = registry.find_serving(settings.retailer)
        by, now = _who_and_when()
        entry = roll_back(settings, registry, by=by, now=now, reason=reason)
    left = "" if before is None else f" instead of {before.manifest.model_version}"
    typer.echo(f"{entry.manifest.model_version} is in service again{left}: workers load it now.")


def pin(
    version: str | None = typer.Argument(
        None, metavar="VERSION", help="Put in service if it is not; else what serves."
    ),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    *,
    reason: str = REASON,
) -> None:
    """Keep a model in service: trainings continue, and none of them puts its model in service until `unpin`."""
    from tillguard.config import load
    from trainer.learning import publication

    with _registry(load(retailer, config)) as (settings, registry):
        wanted = None if version is None else _entry(registry, settings.retailer, version)
        by, now = _who_and_when()
        entry = publication.pin(settings, registry, wanted, by=by, now=now, reason=reason)
        damage = registry.find_damage(entry)
    if damage is not None:
        typer.echo(f"{damage}; `tillguard models publish {entry.manifest.model_version}` puts it back from the topic.")
    typer.echo(f"{entry.manifest.model_version} is pinned; `tillguard models unpin` lets new models through.")


def unpin(retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """Let trainings put better models in service by themselves again."""
    from tillguard.config import load

    with _registry(load(retailer, config)) as (settings, registry):
        by, now = _who_and_when()
        released = registry.unpin(settings.retailer, now, by)
    typer.echo("Unpinned: the next better model goes in service by itself." if released else "Nothing was pinned.")


def shadow(version: str = VERSION, retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """Let a model score what the serving one answers, after each answer has left; `models compare` compares them."""
    from tillguard.config import load
    from trainer.learning import publication

    with _registry(load(retailer, config)) as (settings, registry):
        entry = _entry(registry, settings.retailer, version)
        by, now = _who_and_when()
        publication.challenge(settings, registry, entry, mode="shadow", by=by, now=now)
    typer.echo(f"{version} scores next to the serving model; `tillguard models compare` shows them side by side.")


def canary(
    version: str = VERSION,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    *,
    share: float = typer.Option(0.05, "--share", min=0.0, max=1.0, help="Of customers, chosen by hash."),
) -> None:
    """Let a model answer a share of customers, always the same ones; it scores the others' transactions as a shadow."""
    from tillguard.config import load
    from trainer.learning import publication

    if share <= 0:
        raise ConfigurationError(["--share must be above 0; `tillguard models shadow` answers nobody"])
    with _registry(load(retailer, config)) as (settings, registry):
        entry = _entry(registry, settings.retailer, version)
        by, now = _who_and_when()
        publication.challenge(settings, registry, entry, mode="canary", share=share, by=by, now=now)
    typer.echo(f"{version} answers {share:.1%} of customers; `tillguard models withdraw` ends that at once.")


def withdraw(retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """End shadow or canary; the serving model answers everybody, at once."""
    from tillguard.config import load
    from trainer.learning import publication

    with _registry(load(retailer, config)) as (settings, registry):
        by, now = _who_and_when()
        publication.withdraw(settings, registry, by=by, now=now)
    typer.echo("No model runs next to the serving one now.")


def publish(version: str = VERSION, retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """Send a registered model to the workers again, without putting it in service.

    For transactions that it judged first and that come again: a worker says which model it misses (`/ready`, and
    `pinned_model_missing` in its log).
    """
    from tillguard.config import load
    from trainer.learning.publication import publish_model

    with _registry(load(retailer, config)) as (settings, registry):
        publish_model(settings, registry, _entry(registry, settings.retailer, version))
    typer.echo(f"{version} is with the workers; what waits for it is answered now.")


@contextmanager
def _registry(settings: "Settings") -> "Iterator[tuple[Settings, Registry]]":
    from runtime import logs
    from trainer.registry.registry import Registry

    logs.configure(settings.log)
    registry = Registry(settings.trainer.registry_url.get_secret_value(), settings.trainer.registry_directory)
    try:
        yield settings, registry
    finally:
        registry.close()


def _entry(registry: "Registry", retailer: str, version: str) -> "Entry":
    entry = registry.find(retailer, version)
    if entry is None:
        raise ConfigurationError([f"{retailer} has no model {version}; `tillguard models list` shows them"])
    return entry


def _opponents(
    registry: "Registry", retailer: str, champion: str | None, challenger: str | None
) -> "tuple[Entry, Entry]":
    if champion is not None and challenger is None:
        raise ConfigurationError(["name both CHAMPION and CHALLENGER, or neither"])
    if champion is None or challenger is None:
        serving, standing = registry.find_serving(retailer), registry.find_challenger(retailer)
        if serving is None or standing is None or standing.model_version is None:
            fault = (
                f"{retailer}: no model challenges the one in service; `tillguard models shadow VERSION` lets one do so"
            )
            raise ConfigurationError([f"{fault}, or name CHAMPION and CHALLENGER"])
        return serving, _entry(registry, retailer, standing.model_version)
    return _entry(registry, retailer, champion), _entry(registry, retailer, challenger)


def _standing(registry: "Registry", retailer: str) -> "Standing":
    from tillguard.views.models_report import Standing

    return Standing(registry.list_promotions(retailer), registry.list_challenges(retailer), registry.find_pin(retailer))


def _who_and_when() -> "tuple[str, datetime]":
    import getpass
    from datetime import UTC, datetime

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        user = "unknown"
    return user, datetime.now(UTC)


def _print(shown: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    from tillguard.views.printing import PIPED_WIDTH, show

    if isinstance(shown, Table):
        show(shown)
    else:
        width = None if sys.stdout.isatty() else PIPED_WIDTH
        Console(width=width, markup=False, emoji=False).print(shown)


def _echo_json(value: Any) -> None:
    import msgspec

    typer.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
