"""Whose keys a retailer's participant believes: the retailer's own commands on the other participants."""

from pathlib import Path

import typer

from contract.errors import ConfigurationError
from tillguard.commands.federation_side import as_fingerprint, find_retailer_side

NAME = typer.Argument(metavar="NAME", help="Another participant, or `coordinator`.")
RETAILER = typer.Option(None, "--retailer", metavar="NAME", help="The retailer that believes.")
CONFIG = typer.Option(None, "--config", metavar="FILE", help="Its settings; else the state folder's of --retailer.")
peers = typer.Typer(no_args_is_help=True, help="Whose keys a retailer believes.", rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    peers.command("list")(list_peers)
    peers.command("accept")(accept)
    app.add_typer(peers, name="peers")


def list_peers(retailer: str | None = RETAILER, config: Path | None = CONFIG) -> None:
    """List the fingerprints that this retailer's participant knows, and what is wrong with the roster, if anything."""
    from tillguard.federation import root

    side = find_retailer_side(retailer, config)
    state = root.read_participant_state(side.settings, side.retailer or "")
    for name, fingerprint in sorted(state.pins.items()):
        member = state.members.get(name)
        status = state.distrusted.get(name) or (member.status if member else "gone")
        typer.echo(f"{status:9} {name:24} {fingerprint}")
    for sentence in root.find_roster_warnings(side.settings, side.retailer or ""):
        typer.echo(sentence, err=True)


def accept(
    name: str = NAME,
    fingerprint: str = typer.Option(
        ...,
        "--fingerprint",
        metavar="HEX",
        help="Of the new keys, as the other's own people say it by telephone.",
        callback=as_fingerprint,
    ),
    retailer: str | None = RETAILER,
    config: Path | None = CONFIG,
) -> None:
    """Let in another participant's changed keys; a participant that runs takes them at once, another when it starts."""
    from tillguard.federation import root

    side = find_retailer_side(retailer, config)
    if name == side.retailer:
        raise ConfigurationError([f"{name} is this retailer: its own keys are those of its key file"])
    root.accept_peer(side.settings, side.retailer or "", name, fingerprint)
    typer.echo(f"{side.retailer} believes the keys {fingerprint} under the name {name}")
