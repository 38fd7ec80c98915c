"""Finds and reads settings; the only place that touches settings files.

The state folder (`.tillguard`, or TILLGUARD_STATE) holds everything that Tillguard writes on a machine: the embedded stack,
and one folder per retailer with `settings.yaml`, rules and connector files.
"""

import os
from pathlib import Path

import yaml

from contract.errors import ConfigurationError
from contract.settings import Settings, parse


def state_folder() -> Path:
    """The folder of this machine's state; relative to the working directory unless TILLGUARD_STATE names one."""
    return Path(os.environ.get("TILLGUARD_STATE", ".tillguard")).absolute()


def retailer_folder(retailer: str) -> Path:
    """Where a retailer's settings, rules and connector files live."""
    return state_folder() / "retailers" / retailer


def load(retailer: str | None = None, file: Path | None = None) -> Settings:
    """Settings from `file`, or TILLGUARD_CONFIG, or the state folder's file of `retailer`, with the environment on top.

    Raises ConfigurationError with every fault, or with what to do when there is no file.
    """
    chosen = file or (Path(os.environ["TILLGUARD_CONFIG"]) if "TILLGUARD_CONFIG" in os.environ else None)
    if chosen is None and retailer is not None:
        chosen = retailer_folder(retailer) / "settings.yaml"
    if chosen is None:
        raise ConfigurationError(["name the retailer (--retailer NAME) or its settings file (--config FILE)"])
    try:
        text = chosen.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError(
            [f"{chosen} does not exist; `tillguard init {retailer or 'NAME'}` writes one for the embedded stack"]
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{chosen} cannot be read: {type(error).__name__}"]) from None
    try:
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise ConfigurationError([f"{chosen}:{line}: not valid YAML: {error.problem}"]) from None
    settings = parse(document, where=str(chosen))
    if retailer is not None and settings.retailer != retailer:
        raise ConfigurationError([f"{chosen} describes retailer {settings.retailer}, not {retailer}"])
    return settings
