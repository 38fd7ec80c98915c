"""Allow, deny and watch lists on the command line."""

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError

if TYPE_CHECKING:
    from contract.settings import Settings

RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer.")
CONFIG = typer.Option(
    None, "--config", metavar="FILE", help="Settings file; else TILLGUARD_CONFIG, else the state folder's."
)
ENTITY = typer.Option(
    ..., "--entity", metavar="FIELD[=TOKEN]", help="customer, card, device, ip, email, address, coupon or terminal."
)
VALUE = typer.Option(
    None, "--value", help="The value as it is in your database; of personal data the newest token is listed."
)
TOKENISED = typer.Option(
    False, "--tokenised", help="Your mapping tokenises this field too (card, ip, email, address always are)."
)
PERIOD = re.compile(r"^(\d+)([mhd])$")
UNITS = {"m": "minutes", "h": "hours", "d": "days"}
lists = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")


class List(StrEnum):
    """The lists."""

    ALLOW = "allow"
    DENY = "deny"
    WATCH = "watch"


def register(app: typer.Typer) -> None:
    """Adds the group."""
    help_text = (
        "Allow, deny and watch lists: single cards, customers, devices and so on, forever or until a time.\n\n"
        "`deny` blocks, `allow` lets pass what rules and model would stop, `watch` flags. They concern transactions "
        "that arrive from now on."
    )
    lists.command("add")(add)
    lists.command("remove")(remove)
    lists.command("show")(show)
    app.add_typer(lists, name="lists", help=help_text)


def add(
    list_: List = typer.Argument(metavar="allow|deny|watch", help="The list."),
    *,
    entity: str = ENTITY,
    value: str | None = VALUE,
    tokenised: bool = TOKENISED,
    expires: str | None = typer.Option(
        None, "--expires", metavar="PERIOD", help="For how long, as 90m, 12h or 30d; forever where absent."
    ),
    reason: str = typer.Option("manual", "--reason", help="A short code, shown by `show`. No personal data."),
    by: str = typer.Option("", "--by", help="Who asks for it; your login name where absent."),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Put an entity on a list, instead of the one it was on.

    Example: `tillguard lists add allow --retailer meadow --entity customer --value 4711 --expires 30d`
    ends a false alarm for one customer.
    """
    import getpass

    from scoring.store.lists import ListStore
    from tillguard.config import load

    settings = load(retailer, config)
    field, listed = choose_entity(settings, entity, value, tokenised=tokenised)
    until = None if expires is None else datetime.now(UTC) + parse_period(expires)
    with closing(ListStore(settings)) as marks:
        marks.set(field, listed, list_.value, expires_at=until, by=by or getpass.getuser(), reason_code=reason)
    typer.echo(f"{field} {listed}: {list_.value}" + (f" until {until:%Y-%m-%d %H:%M} UTC" if until else ""))


def remove(
    *,
    entity: str = ENTITY,
    value: str | None = VALUE,
    tokenised: bool = TOKENISED,
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Take an entity off its list. Exit code 1: it was on none."""
    from scoring.store.lists import ListStore
    from tillguard.config import load

    settings = load(retailer, config)
    field, listed = choose_entity(settings, entity, value, tokenised=tokenised)
    with closing(ListStore(settings)) as marks:
        gone = marks.remove(field, listed)
    typer.echo(f"{field} {listed}: {'removed' if gone else 'was on no list'}")
    if not gone:
        raise typer.Exit(1)


def show(
    list_: List | None = typer.Argument(None, metavar="[allow|deny|watch]", help="Only this list."),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Show who is on which list, until when, by whom and why. Personal data shows as tokens."""
    from rich.console import Console
    from rich.table import Table

    from scoring.store.lists import ListStore
    from tillguard.config import load

    with closing(ListStore(load(retailer, config))) as marks:
        entries = marks.list()
    table = Table(box=None)
    for name in ("list", "entity", "value", "until", "by", "reason"):
        table.add_column(name, overflow="fold")  # a token that is cut cannot be used to take it off the list
    for entry in entries:
        if list_ is None or entry.mark == list_.value:
            until = f"{entry.expires_at:%Y-%m-%d %H:%M} UTC" if entry.expires_at else "-"
            table.add_row(entry.mark, entry.entity, entry.value, until, entry.by, entry.reason_code)
    if table.row_count:
        Console(markup=False, emoji=False).print(table)
    else:
        typer.echo("nobody is on a list")


def parse_period(text: str) -> timedelta:
    """`90m`, `12h` or `30d` as a time span; raises ConfigurationError."""
    found = PERIOD.match(text)
    if not found or not int(found[1]):
        raise ConfigurationError([f"--expires {text}: a number and m, h or d, as 90m, 12h or 30d"])
    return timedelta(**{UNITS[found[2]]: int(found[1])})


def choose_entity(settings: "Settings", entity: str, value: str | None, *, tokenised: bool) -> tuple[str, str]:
    """Field and value that `--entity` and `--value` name; raises ConfigurationError."""
    from contract.windows import ENTITY_NAMES
    from tillguard.operations.entity_values import find_values

    field, equals, token = entity.partition("=")
    if field not in ENTITY_NAMES:
        raise ConfigurationError([f"--entity {field}: no list knows it; known are {', '.join(ENTITY_NAMES)}"])
    if bool(equals) == (value is not None):
        raise ConfigurationError(["give either --entity FIELD=TOKEN, or --entity FIELD and --value VALUE"])
    values = find_values(settings, field, token if equals else value or "", is_token=bool(equals))
    return field, next((each for each in values if each != value), values[0]) if tokenised else values[0]
