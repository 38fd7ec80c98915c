"""The command that makes a retailer's topics on its Kafka."""

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("topics")(topics)


def topics(
    retailer: str | None = typer.Option(None, "--retailer", metavar="NAME", help="The retailer."),
    config: Path | None = typer.Option(
        None, "--config", metavar="FILE", help="Settings file; else TILLGUARD_CONFIG, else the state folder's."
    ),
) -> None:
    """Create a retailer's topics, or correct them after a change of settings. Running it again changes nothing.

    Partitions, replication and retention are those of the settings. `tillguard init` does the same on the embedded stack.
    """
    from runtime.kafka.topics import ensure
    from tillguard.config import load

    settings = load(retailer, config)
    changes = ensure(settings)
    for line in changes or [f"{settings.retailer}: every topic is as the settings say"]:
        typer.echo(line)
