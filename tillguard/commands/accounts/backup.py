"""Backup and restore of what is born in the backoffice, on the command line."""

from pathlib import Path

import typer

from contract.errors import ConfigurationError
from tillguard.commands.accounts.users import CONFIG


def register(group: typer.Typer) -> None:
    """Adds both commands."""
    group.command("backup")(backup)
    group.command("restore")(restore)


def backup(
    file: Path = typer.Argument(metavar="FILE", help="To be written; one that is there stays as it is."),
    config: Path | None = CONFIG,
) -> None:
    """Write accounts, case work and the audit trail to a file, as of one moment; the backoffice may run meanwhile.

    The file holds hashes of passwords and tokens, and what people noted: keep it as safe as the database. What the topics said is
    not in it, since it is made from them again.
    """
    from backoffice.accounts.permissions import EVERYWHERE
    from backoffice.backup import back_up
    from runtime.atomic_file import Staged, translate_disk_errors
    from tillguard.backoffice.accounts import find_shell_principal, open_accounts
    from tillguard.config import load_backoffice

    with open_accounts(load_backoffice(config).backoffice) as accounts:
        accounts.trail.record(find_shell_principal().who, EVERYWHERE, "backup.make")
        data, rows = back_up(accounts.database)
    with translate_disk_errors("the backup"), Staged({file: data}, mode=0o600) as staged:
        try:
            staged.settle_new()
        except FileExistsError:
            raise ConfigurationError([f"{file} is there already: name a new file"]) from None
    typer.echo(f"{file}: {rows} rows")


def restore(
    file: Path = typer.Argument(metavar="FILE", help="Of `backup`."),
    config: Path | None = CONFIG,
) -> None:
    """Put a backup into an empty database, also of another kind than it came from. Everybody signs in again."""
    from backoffice.accounts.permissions import EVERYWHERE
    from backoffice.backup import restore as put_back
    from tillguard.backoffice.accounts import find_shell_principal, open_accounts
    from tillguard.config import load_backoffice

    settings = load_backoffice(config).backoffice
    try:
        data = file.read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{file} cannot be read: {error.strerror}"]) from None
    rows = put_back(settings.database_url.get_secret_value(), data)
    with open_accounts(settings) as accounts:
        accounts.trail.record(find_shell_principal().who, EVERYWHERE, "backup.restore", details={"rows": rows})
    typer.echo(f"{rows} rows are back; `tillguard backoffice audit verify` checks the trail.")
