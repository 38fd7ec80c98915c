"""Whose settings a federation command was given, and what it reads of the logs for them."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import typer

from contract.errors import ConfigurationError, TillguardError

if TYPE_CHECKING:
    from contract.federation_settings import FederationSettings
    from contract.settings import LogSettings
    from federation.operations import Told


class Side(NamedTuple):
    """Whose settings were named."""

    retailer: str | None
    """None: the coordinator's."""
    settings: "FederationSettings"
    log: "LogSettings"

    @property
    def fingerprint(self) -> str:
        """Of the coordinator to believe."""
        from federation.identity import public_of

        if self.retailer is None:
            return public_of(self.settings.coordinator.key_file).fingerprint
        pinned = self.settings.participant.coordinator_fingerprint
        if pinned is None:
            raise ConfigurationError(
                ["federation.participant.coordinator_fingerprint is missing; or give --fingerprint"]
            )
        return pinned


def side_of(retailer: str | None, config: Path | None) -> Side:
    """A retailer's where one is named, or the file is one's; else the coordinator's. Raises ConfigurationError."""
    from tillguard import logs
    from tillguard.config import is_retailer, load, load_coordinator

    if retailer is not None or (config is not None and is_retailer(config)):
        settings = load(retailer, config)
        logs.configure(settings.log)
        return Side(settings.retailer, settings.federation, settings.log)
    file = load_coordinator(config)
    logs.configure(file.log)
    return Side(None, file.federation, file.log)


def coordinator_side(config: Path | None) -> Side:
    """The coordinator's; raises ConfigurationError for a retailer's file."""
    side = side_of(None, config)
    if side.retailer is not None:
        raise ConfigurationError([f"{config} is a retailer's: this command needs the coordinator's settings"])
    return side


def retailer_side(retailer: str | None, config: Path | None) -> Side:
    """A retailer's; raises ConfigurationError where none is named."""
    side = side_of(retailer, config)
    if side.retailer is None:
        raise ConfigurationError(["name the retailer (--retailer NAME) or its settings file (--config FILE)"])
    return side


def told_to(side: Side, fingerprint: str | None) -> "Told":
    """All that the coordinator of this fingerprint, else of that in the settings, has said; raises TillguardError, TransientError."""
    from tillguard import federation as root

    told = root.told(side.settings, fingerprint or side.fingerprint)
    if told.coordinator is None:
        raise TillguardError(f"no coordinator with this fingerprint has ever spoken in {side.settings.name}")
    return told


def say_audit(told: "Told") -> None:
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
