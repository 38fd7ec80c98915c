"""The command that runs a scoring worker."""

from enum import StrEnum
from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(score)


class Feed(StrEnum):
    """Ways of reading Kafka."""

    LIBRDKAFKA = "librdkafka"
    AGENT = "agent"


def score(
    retailer: str | None = typer.Option(None, "--retailer", metavar="NAME", help="The retailer."),
    config: Path | None = typer.Option(
        None, "--config", metavar="FILE", help="Settings file; else TILLGUARD_CONFIG, else the state folder's."
    ),
    feed: Feed | None = typer.Option(
        None, "--feed", help="How to read Kafka, instead of scoring.feed. All workers of a retailer must use the same."
    ),
    web_port: int | None = typer.Option(
        None, "--web-port", min=0, max=65535, help="Instead of scoring.web_port; 0 chooses a free one."
    ),
    address_file: Path | None = typer.Option(
        None,
        "--address-file",
        metavar="FILE",
        help="Where to write the URL of the worker's web pages once they answer.",
    ),
) -> None:
    """Run a scoring worker: transactions in, verdicts out. Ctrl-C or SIGTERM ends it without losing an event.

    Reads the retailer's transactions topic and writes verdicts, feature records and dead letters. Also takes resolutions,
    lets holds expire, and follows newly published models. For more throughput start the same command again, on this or another
    machine: workers share the partitions. Web pages: /health, /ready (what is missing, and the remedy), /metrics.
    """
    from tillguard.config import load
    from tillguard.wiring.worker import run

    settings = load(retailer, config)
    changes: dict[str, object] = {}
    if feed is not None:
        changes["feed"] = feed.value
    if web_port is not None:
        changes["web_port"] = web_port
    if changes:
        settings = settings.model_copy(update={"scoring": settings.scoring.model_copy(update=changes)})
    raise typer.Exit(run(settings, address_file=address_file))
