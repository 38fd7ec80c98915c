"""Access tokens and the audit trail on the command line: tokens make, list, revoke; audit verify."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer

from contract.errors import ConfigurationError, TillguardError
from tillguard.commands.accounts.users import CONFIG

RETAILER = typer.Option(..., "--retailer", metavar="NAME", help="The retailer.")
tokens = typer.Typer(
    no_args_is_help=True,
    help="Access tokens of machines: each for one retailer, shown once and kept as a hash.",
    rich_markup_mode="markdown",
)
audit = typer.Typer(no_args_is_help=True, help="The record of who did what.", rich_markup_mode="markdown")


def register(group: typer.Typer) -> None:
    """Adds both groups."""
    tokens.command("list")(list_tokens)
    for command in (make, revoke):
        tokens.command(command.__name__)(command)
    group.add_typer(tokens, name="tokens")
    audit.command("verify")(verify)
    group.add_typer(audit, name="audit")


def make(
    retailer: str = RETAILER,
    name: str = typer.Option(..., "--name", metavar="TEXT", help="What it is for, as `checkout`; shown by `list`."),
    *,
    scope: list[str] = typer.Option(
        ..., "--scope", metavar="SCOPE", help="score, resolve, read or operate. Again for more."
    ),
    sandbox: bool = typer.Option(False, "--sandbox", help="For the sandbox alone, which judges nothing."),
    days: float | None = typer.Option(
        None, "--days", min=0.001, max=36_500, help="Ends after so long; else when it is revoked."
    ),
    config: Path | None = CONFIG,
) -> None:
    """Make a token and print it: the only time that anybody sees it."""
    from backoffice.accounts.permissions import Scope
    from tillguard.backoffice.accounts import find_shell_principal, open_accounts
    from tillguard.config import load_backoffice

    if wrong := [each for each in scope if each not in set(Scope)]:
        raise ConfigurationError([f"--scope {each}: there are {', '.join(Scope)}" for each in wrong])
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    with open_accounts(load_backoffice(config).backoffice) as accounts:
        made = accounts.tokens.make(
            find_shell_principal(),
            retailer,
            name,
            {Scope(each) for each in scope},
            sandbox=sandbox,
            expires_at=expires_at,
        )
    typer.echo(f"token {made.token.token_id} of {retailer}; keep it now, nobody can show it again:", err=True)
    typer.echo(made.text.get_secret_value())


def list_tokens(retailer: str = RETAILER, config: Path | None = CONFIG) -> None:
    """List a retailer's tokens, newest first, without what they are."""
    from tillguard.backoffice.accounts import open_accounts
    from tillguard.config import load_backoffice

    with open_accounts(load_backoffice(config).backoffice) as accounts:
        found = accounts.tokens.list_tokens(retailer)
    for each in found:
        scopes = ",".join(sorted(each.scopes)) + (" sandbox" if each.sandbox else "")
        used = "never used" if each.last_used_at is None else f"used {each.last_used_at:%Y-%m-%d %H}h UTC"
        ends = "" if each.expires_at is None else f"  until {each.expires_at:%Y-%m-%d %H:%M} UTC"
        revoked = "" if each.revoked_at is None else f"  revoked by {each.revoked_by}"
        typer.echo(f"{each.token_id}  {each.name}  {scopes}  {used}{ends}{revoked}")
    if not found:
        typer.echo(f"{retailer} has no access token")


def revoke(
    token_id: str = typer.Argument(metavar="ID", help="Of `tokens list`."),
    retailer: str = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """End a token; a running backoffice refuses it within seconds."""
    from tillguard.backoffice.accounts import find_shell_principal, open_accounts
    from tillguard.config import load_backoffice

    with open_accounts(load_backoffice(config).backoffice) as accounts:
        token = accounts.tokens.revoke(find_shell_principal(), retailer, token_id)
    typer.echo(f"{token.name} ({token_id}) is revoked.")


def verify(
    noted: Path | None = typer.Option(
        None,
        "--noted",
        metavar="FILE",
        help="What this command printed earlier, kept elsewhere: finds entries that were cut off.",
    ),
    config: Path | None = CONFIG,
) -> None:
    """Check every chain of the audit trail, and print where each stands. Exit code 1: something was changed.

    Keep the output where nobody who can write to the database can write: an end that was cut off shows by nothing else.
    """
    from tillguard.backoffice.accounts import open_accounts
    from tillguard.config import load_backoffice
    from tillguard.operations.account_words import format_head, parse_heads

    try:
        text = "" if noted is None else noted.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"--noted: {noted} cannot be read: {type(error).__name__}"]) from None
    heads = parse_heads(text, str(noted))
    with open_accounts(load_backoffice(config).backoffice) as accounts:
        chains = sorted({*accounts.trail.list_chains(), *heads})
        found = {chain: accounts.trail.verify(chain, heads.get(chain)) for chain in chains}
    for chain, finding in found.items():
        typer.echo(format_head(chain, finding.head))
    if broken := [f"{chain}: {finding.fault}" for chain, finding in found.items() if not finding.holds]:
        raise TillguardError("the audit trail does not hold: " + "; ".join(broken))
