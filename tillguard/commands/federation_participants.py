"""Who takes part in a federation: the coordinator's commands on participants."""

from pathlib import Path

import typer

from tillguard.commands.federation_side import (
    COORDINATOR,
    FINGERPRINT,
    as_fingerprint,
    find_coordinator_side,
    read_side_history,
)

WAIT = typer.Option(
    30.0,
    "--wait",
    metavar="SECONDS",
    min=0,
    help="For the coordinator's answer; 0: not at all, the order stands on Kafka.",
)
NAME = typer.Argument(metavar="NAME", help="A participant.")
_LATER = "will be {} when the coordinator has read this; `federation participants list` shows it."
participants = typer.Typer(no_args_is_help=True, help="Who takes part.", rich_markup_mode="markdown")


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    participants.command("list")(list_participants)
    participants.command("approve")(approve)
    participants.command("revoke")(revoke)
    app.add_typer(participants, name="participants")


def list_participants(config: Path | None = COORDINATOR, fingerprint: str | None = FINGERPRINT) -> None:
    """List who is on the roster, and who asked to be: compare fingerprints by telephone before you approve.

    Where the ledger says it, also each one's reputation, and what its update did to the model the last time.
    """
    from federation.audit.history import collect_standings
    from federation.coordinator.admission import can_enrol
    from federation.messages.identity import get_identity
    from tillguard.federation import root
    from tillguard.federation.tables import describe_standing

    side = find_coordinator_side(config)
    told = read_side_history(side, fingerprint)
    members, known = told.roster.members if told.roster else (), collect_standings(told.entries)
    for member in members:
        said = describe_standing(known.get(member.name))
        typer.echo(f"{member.status:9} {member.name:24} {get_identity(member).fingerprint} {said}".rstrip())
    of_name = {member.name: member for member in members}
    for asking, asked_ms in root.read_requests(side.settings):
        if can_enrol(of_name.get(asking.name), asking, asked_ms):
            typer.echo(f"{'waiting':9} {asking.name:24} {asking.fingerprint}")


def approve(
    name: str = NAME,
    fingerprint: str = typer.Option(
        ...,
        "--fingerprint",
        metavar="HEX",
        help="Of the participant's keys, as its people say it.",
        callback=as_fingerprint,
    ),
    config: Path | None = COORDINATOR,
    wait: float = WAIT,
) -> None:
    """Let a retailer take part, and wait until the coordinator has answered; one that does not run does it when it starts.

    Exit code 1: it was refused, or nobody answered in time.
    """
    done = _order(config, "approve", name, fingerprint, wait)
    typer.echo(f"{name} {'is approved' if done else _LATER.format('approved')}")


def revoke(name: str = NAME, config: Path | None = COORDINATOR, wait: float = WAIT) -> None:
    """Shut a participant out, also of the round under way, and wait for the coordinator's answer as `approve` does."""
    done = _order(config, "revoke", name, None, wait)
    typer.echo(f"{name} {'is shut out' if done else _LATER.format('shut out')}")


def _order(config: Path | None, action: str, name: str, fingerprint: str | None, wait_s: float) -> bool:
    """Whether the coordinator has carried it out; False: it was not waited for."""
    from tillguard.federation import keys, root
    from tillguard.federation.answers import build_order, check

    side = find_coordinator_side(config)
    identity = keys.load_identity(side.settings.coordinator, "init")
    order = build_order(action, name, fingerprint)
    answer = root.give_order(side.settings, identity, order, wait_s=wait_s)
    check(answer, order, federation=side.settings.name, wait_s=wait_s)
    return answer.outcome == "done"
