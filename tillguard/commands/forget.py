"""The command that erases an entity."""

from pathlib import Path

import typer

from contract.errors import ConfigurationError


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command()(forget)


def forget(
    *,
    retailer: str | None = typer.Option(None, "--retailer", metavar="NAME", help="The retailer."),
    config: Path | None = typer.Option(
        None, "--config", metavar="FILE", help="Settings file; else TILLGUARD_CONFIG, else the state folder's."
    ),
    entity: str = typer.Option(
        ...,
        "--entity",
        metavar="FIELD[=TOKEN]",
        help="customer, card, device, ip, email, address, coupon, terminal, phone.",
    ),
    value: str | None = typer.Option(
        None, "--value", help="The value as it is in your database; tokens are made with the retailer's keys."
    ),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only count what would be erased."),
) -> None:
    """Erase a person's or thing's traces (GDPR, DPDP, CCPA): its state in Redis and its records on the topics.

    Give the value as your database has it (`--entity card --value 4111111111111111`), or the token (`--entity card=k1.Ab…`).
    Windows, lists and counterpart lists go at once. Records on compacted topics (transactions, verdicts, feature log, labels,
    dead letters) get a tombstone; brokers drop them within about two days. Running it again is harmless. What is in your own
    database is yours to erase, before this: a connector that reads the row again would bring it back.
    """
    from tillguard.config import load
    from tillguard.operations.entity_values import find_values
    from tillguard.operations.forgetting import forget as erase

    field, equals, token = entity.partition("=")
    if bool(equals) == (value is not None):
        raise ConfigurationError(["give either --entity FIELD=TOKEN, or --entity FIELD and --value VALUE"])
    settings = load(retailer, config)
    values = find_values(settings, field, token if equals else value or "", is_token=bool(equals))
    found = erase(settings, field, values, dry_run=dry_run)
    for kind, count in found.records.items():
        typer.echo(f"{kind:<13} {count} records {'found' if dry_run else 'withdrawn'}")
    if not dry_run:
        typer.echo(f"{'Redis':<13} {found.states} places erased")
