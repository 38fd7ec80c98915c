"""Tells where the mapping of a history file and the retailer's live connectors disagree."""

from pathlib import Path

from connectors.assembly import load
from connectors.config.file_settings import Files
from connectors.mapping.agreement import find_disagreements
from contract.errors import ConfigurationError
from contract.settings import Settings
from runtime.state_folder import find_retailer_folder


def find_doubts(settings: Settings, mapping: Path | None) -> list[str]:
    """Sentences, one a field; none where no live connector stands in the retailer's folder. Raises ConfigurationError for `mapping`."""
    if mapping is None:
        return []
    past, told = load(mapping), []
    for file in sorted((find_retailer_folder(settings.retailer) / "connectors").glob("*.yaml")):
        try:
            live = load(file)
        except ConfigurationError:
            continue  # `connector check` says what is wrong with it
        if not isinstance(live.source, Files):
            told += find_disagreements(past, live)
    return told
