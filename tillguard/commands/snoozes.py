"""Snoozes on the command line: a rule that does not count for one card, customer or other entity, for a time."""

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import typer

from contract.errors import ConfigurationError
from tillguard.commands.lists import CONFIG, ENTITY, RETAILER, TOKENISED, VALUE, choose_entity, parse_period

RULE = typer.Option(..., "--rule", metavar="ID", help="A rule's id, as verdicts name it.")
snoozes = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Adds the group."""
    help_text = (
        "Snooze a rule for one card, customer, device and so on, until a time.\n\n"
        "The rule does not count for the entity's transactions that arrive from now on, and their verdicts name it under `snoozed`. "
        "All other rules, the model and `deny` lists decide as before."
    )
    for command in (add, remove, show):
        snoozes.command(command.__name__)(command)
    app.add_typer(snoozes, name="snoozes", help=help_text)


def add(
    *,
    rule: str = RULE,
    entity: str = ENTITY,
    value: str | None = VALUE,
    tokenised: bool = TOKENISED,
    expires: str = typer.Option(
        ..., "--expires", metavar="PERIOD", help="For how long, as 90m, 12h or 30d; at most 180d."
    ),
    reason: str = typer.Option(..., "--reason", help="A comment that says why, shown by `show`. No personal data."),
    by: str = typer.Option("", "--by", help="Who asks for it; your login name where absent."),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Snooze a rule for an entity, instead of an earlier snooze of the same rule.

    Example: `tillguard snoozes add --retailer meadow --rule takeover-cards --entity customer --value 4711 --expires 30d
    --reason "buys for her office, asked on the phone"`
    """
    import getpass

    from scoring.store.snoozes import Snooze, SnoozeStore
    from tillguard.config import load
    from tillguard.operations.rules_desk import read_serving_rules

    settings = load(retailer, config)
    field, chosen = choose_entity(settings, entity, value, tokenised=tokenised)
    serving = read_serving_rules(settings)
    if rule not in serving.ids:
        raise ConfigurationError(
            [f"--rule {rule}: not among {serving.version}, which serves: {', '.join(serving.ids)}"]
        )
    until = datetime.now(UTC) + parse_period(expires)
    with closing(SnoozeStore(settings)) as store:
        try:
            store.add(Snooze(rule, field, chosen, until, by or getpass.getuser(), reason))
        except ValueError as error:
            raise ConfigurationError([str(error)]) from None
    typer.echo(f"{rule} is snoozed for {field} {chosen} until {until:%Y-%m-%d %H:%M} UTC")


def remove(
    *,
    rule: str = RULE,
    entity: str = ENTITY,
    value: str | None = VALUE,
    tokenised: bool = TOKENISED,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """End a snooze. Exit code 1: there was none."""
    from scoring.store.snoozes import SnoozeStore
    from tillguard.config import load

    settings = load(retailer, config)
    field, chosen = choose_entity(settings, entity, value, tokenised=tokenised)
    with closing(SnoozeStore(settings)) as store:
        try:
            gone = store.remove(rule, field, chosen)
        except ValueError as error:
            raise ConfigurationError([str(error)]) from None
    typer.echo(f"{rule} {'counts again' if gone else 'was not snoozed'} for {field} {chosen}")
    if not gone:
        raise typer.Exit(1)


def show(
    rule: str | None = typer.Option(None, "--rule", metavar="ID", help="Only this rule."),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Show which rule is snoozed for whom, until when, by whom and why. Personal data shows as tokens."""
    from rich.table import Table

    from scoring.store.snoozes import SnoozeStore
    from tillguard.config import load
    from tillguard.views.printing import show as show_report

    with closing(SnoozeStore(load(retailer, config))) as store:
        found = [one for one in store.list() if rule in {None, one.rule}]
    table = Table(box=None)
    for name in ("rule", "entity", "value", "until", "by", "reason"):
        table.add_column(name, overflow="fold")
    for one in found:
        table.add_row(one.rule, one.entity, one.value, f"{one.until:%Y-%m-%d %H:%M} UTC", one.by, one.comment)
    if table.row_count:
        show_report(table)
    else:
        typer.echo("no rule is snoozed")
