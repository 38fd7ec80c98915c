"""The command that runs the trainer next to the workers."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from contract.settings import Settings
    from trainer.learning.training_attempt import Attempt

RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="The retailer's settings; else TILLGUARD_CONFIG, else the state folder's."
)
trainer = typer.Typer(
    no_args_is_help=True, help="Learn from labels as they come, next to the workers.", rich_markup_mode="markdown"
)


def register(app: typer.Typer) -> None:
    """Adds the group."""
    trainer.command("run")(run)
    trainer.command("attempts")(attempts)
    app.add_typer(trainer, name="trainer")


def run(
    *,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    once: bool = typer.Option(False, "--once", help="Train now from what is stored, and end."),
    fresh: bool = typer.Option(
        False, "--fresh", help="With --once: from the beginning instead of on from the model that serves."
    ),
    web_port: int | None = typer.Option(
        None, "--web-port", min=0, max=65535, help="Instead of trainer.web_port; 0 chooses a free one."
    ),
    address_file: Path | None = typer.Option(
        None, "--address-file", metavar="FILE", help="Where to write the URL of the web page once it answers."
    ),
) -> None:
    """Run the trainer: labels in, better models out. One for each retailer. Ctrl-C or SIGTERM ends it without losing a label.

    Takes feature records and labels from their topics into the examples store, and trains after trainer.train_every_labels new
    labels or trainer.train_every_minutes, on from the model that serves. A new model serves only where it is surely better on
    the newest transactions that trusted sources know; else an alarm says why not. Web pages: /health, /metrics.

    Exit codes: 0 done, 1 failed or (with --once) not put in service, 2 wrong configuration, 3 another trainer of this retailer runs.
    """
    from contract.errors import ConfigurationError
    from runtime import logs
    from tillguard.config import load

    settings = load(retailer, config)
    if fresh and not once:
        raise ConfigurationError(["--fresh goes with --once"])
    if web_port is not None:
        changed = settings.trainer.model_copy(update={"web_port": web_port})
        settings = settings.model_copy(update={"trainer": changed})
    if once:
        logs.configure(settings.log)
        _once(settings, fresh=fresh)
        return
    from tillguard.wiring.trainer import run as run_worker

    run_worker(settings, address_file=address_file)


def attempts(
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
    *,
    limit: int = typer.Option(20, "--limit", min=1, max=1_000, help="The newest this many."),
    as_json: bool = typer.Option(False, "--json", help="For machines."),
) -> None:
    """Show what became of each training, `trainer run`'s and `train`'s, newest first: published, or why not, with numbers."""
    import msgspec

    from tillguard.config import load
    from tillguard.views.models_report import format_attempts
    from tillguard.views.printing import show
    from trainer.registry.registry import Registry

    settings = load(retailer, config)
    registry = Registry(settings.trainer.registry_url.get_secret_value(), settings.trainer.registry_directory)
    try:
        tried = registry.list_attempts(settings.retailer, limit)
    finally:
        registry.close()
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode([each._asdict() for each in tried])).decode())
    elif tried:
        show(*format_attempts(tried))
    else:
        typer.echo("No training yet; `tillguard trainer run` makes one when labels come.")


def _once(settings: "Settings", *, fresh: bool) -> None:
    import getpass

    from trainer.learning.training_attempt import How, learn

    attempt = learn(settings, How(by=getpass.getuser(), fresh=fresh, keep=True))
    typer.echo(_sentence(attempt))
    if attempt.outcome != "published":
        raise typer.Exit(1)


def _sentence(attempt: "Attempt") -> str:
    if attempt.outcome == "published":
        return f"{attempt.model_version} is in service: {attempt.reason}."
    if attempt.registered is not None:
        return (
            f"{attempt.model_version} was not put in service: {attempt.reason}. "
            f"`tillguard models promote {attempt.model_version}` does so all the same."
        )
    return f"No new model: {attempt.reason}."
