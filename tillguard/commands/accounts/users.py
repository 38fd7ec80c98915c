"""People of the backoffice on the command line: admin create, users add, list, roles, link, disable and enable."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from contract.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import SecretStr

    from backoffice.accounts.people import Person
    from contract.sections.backoffice import BackofficeSettings
    from tillguard.backoffice.accounts import Accounts

CONFIG = typer.Option(
    None,
    "--config",
    metavar="FILE",
    help="Settings of the backoffice; else the state folder's backoffice.yaml, else defaults.",
)
NAME = typer.Argument(metavar="NAME", help="A user name or an e-mail address.")
ROLES = typer.Option(
    [],
    "--role",
    metavar="RETAILER:ROLE",
    help="viewer, analyst, operator, officer or admin there; `*` is every retailer. Again for more.",
)
LINK = typer.Option(
    False, "--link", help="Print a link that signs in once within 15 minutes, instead of asking for a password."
)
admin = typer.Typer(no_args_is_help=True, help="The first person of an installation.")
users = typer.Typer(
    no_args_is_help=True,
    help="People: who signs in, and which roles each has at which retailer.",
    rich_markup_mode="markdown",
)


def register(group: typer.Typer) -> None:
    """Adds both groups."""
    admin.command("create")(create)
    group.add_typer(admin, name="admin")
    users.command("list")(list_users)
    for command in (add, roles, link, disable, enable):
        users.command(command.__name__)(command)
    group.add_typer(users, name="users")


def create(
    name: str = NAME,
    *,
    role: list[str] = ROLES,
    link: bool = LINK,
    config: Path | None = CONFIG,
) -> None:
    """Create a person who administers the installation.

    There is no default password: the command asks for one twice (or reads one line, where it has no terminal), or prints a link.
    Roles besides `*:admin` are given by `--role`: an admin alone decides no case and serves no rule.
    """
    _create(name, ["*:admin", *role], config, link=link)


def add(
    name: str = NAME,
    *,
    role: list[str] = ROLES,
    link: bool = LINK,
    config: Path | None = CONFIG,
) -> None:
    """Add a person, with a password that the command asks for, or a link."""
    _create(name, role, config, link=link)


def list_users(
    retailer: str = typer.Option("*", "--retailer", metavar="NAME", help="Only who has a role there."),
    config: Path | None = CONFIG,
) -> None:
    """List people and their roles."""
    from tillguard.backoffice.accounts import open_accounts
    from tillguard.config import load_backoffice
    from tillguard.operations.account_words import format_grants

    with open_accounts(load_backoffice(config).backoffice) as accounts:
        people = accounts.people.list_people(retailer)
    for each in people:
        disabled = "" if each.disabled_at is None else f"  disabled {each.disabled_at:%Y-%m-%d %H:%M} UTC"
        typer.echo(f"{each.name}  {format_grants(each.grants)}{disabled}")
    if not people:
        typer.echo("nobody yet: `tillguard backoffice admin create NAME` makes the first person")


def roles(
    name: str = NAME,
    *,
    retailer: str = typer.Option(..., "--retailer", metavar="NAME", help="Where; `*` is every retailer."),
    role: list[str] = typer.Option(
        [], "--role", metavar="ROLE", help="From now on exactly these; none takes all away."
    ),
    config: Path | None = CONFIG,
) -> None:
    """Set a person's roles at one retailer; those at others stay."""
    from backoffice.accounts.permissions import Role
    from tillguard.backoffice.accounts import find_shell_principal, open_accounts
    from tillguard.config import load_backoffice
    from tillguard.operations.account_words import format_grants, parse_grants

    grants = parse_grants(f"{retailer}:{each}" for each in role)
    with open_accounts(load_backoffice(config).backoffice) as accounts:
        person = accounts.people.find(name)
        chosen = [Role(each.right) for each in grants]
        person = accounts.people.set_roles(find_shell_principal(), person.person_id, retailer, chosen)
    typer.echo(f"{person.name}: {format_grants(person.grants)}")


def link(name: str = NAME, config: Path | None = CONFIG) -> None:
    """Print a link that signs this person in once, as when a password was forgotten."""
    from tillguard.backoffice.accounts import open_accounts
    from tillguard.config import load_backoffice

    settings = load_backoffice(config).backoffice
    with open_accounts(settings) as accounts:
        _print_link(accounts, settings, accounts.people.find(name))


def disable(name: str = NAME, config: Path | None = CONFIG) -> None:
    """Let a person in no more, and end what is open."""
    from tillguard.backoffice.accounts import find_shell_principal, open_accounts
    from tillguard.config import load_backoffice

    with open_accounts(load_backoffice(config).backoffice) as accounts:
        person = accounts.people.find(name)
        accounts.people.disable(find_shell_principal(), person.person_id)
    typer.echo(f"{person.name} is disabled; all sessions and sign-in links of this person are ended.")


def enable(name: str = NAME, config: Path | None = CONFIG) -> None:
    """Let a disabled person in again."""
    from tillguard.backoffice.accounts import find_shell_principal, open_accounts
    from tillguard.config import load_backoffice

    with open_accounts(load_backoffice(config).backoffice) as accounts:
        person = accounts.people.find(name)
        accounts.people.enable(find_shell_principal(), person.person_id)
    typer.echo(f"{person.name} may sign in again.")


def _create(name: str, role: list[str], config: Path | None, *, link: bool) -> None:
    from tillguard.backoffice.accounts import find_shell_principal, open_accounts
    from tillguard.config import load_backoffice
    from tillguard.operations.account_words import format_grants, parse_grants

    settings, grants = load_backoffice(config).backoffice, parse_grants(role)
    password = None if link else _ask_password()
    with open_accounts(settings) as accounts:
        person = accounts.people.create(find_shell_principal(), name, set(grants), password)
        typer.echo(f"{person.name}: {format_grants(person.grants)}")
        if link:
            _print_link(accounts, settings, person)


def _print_link(accounts: "Accounts", settings: "BackofficeSettings", person: "Person") -> None:
    from tillguard.backoffice.accounts import find_shell_principal
    from tillguard.operations.account_words import format_sign_in_link

    secret = accounts.sign_in.make_link(find_shell_principal(), person.person_id)
    url = settings.public_url or f"http://{settings.web_host}:{settings.web_port}"
    typer.echo(format_sign_in_link(url, secret.get_secret_value()))


def _ask_password() -> "SecretStr":
    """From the terminal, never shown; a command without one reads a line. Raises ConfigurationError."""
    import getpass

    from pydantic import SecretStr

    if not sys.stdin.isatty():
        return SecretStr(sys.stdin.readline().rstrip("\r\n"))
    password = SecretStr(getpass.getpass("Password: "))
    if getpass.getpass("Again: ") != password.get_secret_value():
        raise ConfigurationError(["the two passwords differ"])
    return password
