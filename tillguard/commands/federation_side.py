"""Whose settings a federation command was given, the options that say so, and what it reads of the logs for them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from contract.errors import ConfigurationError, TillguardError

if TYPE_CHECKING:
    from contract.federation.settings import FederationSettings
    from contract.settings import LogSettings
    from federation.audit.history import History


def as_fingerprint(text: str | None) -> str | None:
    """Refused before anything is asked of Kafka, which knows nobody of such a fingerprint."""
    from contract.sections.section import FINGERPRINT, IN_WORDS

    if text is not None and re.fullmatch(FINGERPRINT, text) is None:
        raise typer.BadParameter(IN_WORDS[FINGERPRINT])
    return text


COORDINATOR = typer.Option(
    None, "--config", metavar="FILE", help="The coordinator's settings; else the state folder's."
)
FINGERPRINT = typer.Option(
    None,
    "--fingerprint",
    metavar="HEX",
    help="Of the coordinator to believe; else that of the settings or the key file.",
    callback=as_fingerprint,
)


class Side(NamedTuple):
    """Whose settings were named."""

    retailer: str | None
    """None: the coordinator's."""
    settings: "FederationSettings"
    log: "LogSettings"

    @property
    def fingerprint(self) -> str:
        """Of the coordinator to believe."""
        from tillguard.federation.keys import read_public_identity

        if self.retailer is None:
            return read_public_identity(self.settings.coordinator).fingerprint
        pinned = self.settings.participant.coordinator_fingerprint
        if pinned is None:
            fault = "federation.participant.coordinator_fingerprint is missing: ask the coordinator's people for it, not Kafka"
            raise ConfigurationError([f"{fault}; or give --fingerprint"])
        return pinned


def find_side(retailer: str | None, config: Path | None) -> Side:
    """A retailer's where one is named, or the file is one's; else the coordinator's. Raises ConfigurationError."""
    from runtime import logs
    from tillguard.config import is_retailer, load, load_coordinator

    if retailer is not None or (config is not None and is_retailer(config)):
        settings = load(retailer, config)
        logs.configure(settings.log)
        return Side(settings.retailer, settings.federation, settings.log)
    file = load_coordinator(config)
    logs.configure(file.log)
    return Side(None, file.federation, file.log)


def find_coordinator_side(config: Path | None) -> Side:
    """The coordinator's; raises ConfigurationError for a retailer's file."""
    side = find_side(None, config)
    if side.retailer is not None:
        raise ConfigurationError([f"{config} is a retailer's: this command needs the coordinator's settings"])
    return side


def find_retailer_side(retailer: str | None, config: Path | None) -> Side:
    """A retailer's; raises ConfigurationError where none is named."""
    if retailer is None and config is None:
        raise ConfigurationError(["name the retailer (--retailer NAME) or its settings file (--config FILE)"])
    side = find_side(retailer, config)
    if side.retailer is None:
        raise ConfigurationError([f"{config} is the coordinator's: this command needs a retailer's settings"])
    return side


def read_side_history(side: Side, fingerprint: str | None) -> "History":
    """All that the coordinator of this fingerprint, else of that in the settings, has said; raises TillguardError, TransientError."""
    from tillguard.federation import root

    told = root.load_history(side.settings, fingerprint or side.fingerprint)
    if told.coordinator is None:
        raise TillguardError(
            f"no coordinator with this fingerprint has ever spoken in {side.settings.name} at {side.settings.bootstrap_servers}: "
            "none was started yet (`tillguard federation run`), or the fingerprint, federation.name or servers are not its own"
        )
    return told


def say_audit(told: "History") -> None:
    """Prints whether the ledger holds."""
    head = told.audit.head
    if told.audit.holds:
        typer.echo(
            f"ledger        {head.following} entries, every link holds; head {head.following - 1}:{head.digest.hex()}"
        )
    else:
        typer.echo(f"ledger        BROKEN: {told.audit.reason}", err=True)
    if told.refused:
        typer.echo(f"              {told.refused} records on its logs are not the coordinator's")
    if told.unfinished:
        typer.echo(
            f"              {told.unfinished} entries do not count: their coordinator failed midway, and was followed"
        )
