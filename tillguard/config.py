"""Finds and reads settings; the only place that touches settings files."""

import os
from pathlib import Path

import yaml

from contract.errors import ConfigurationError
from contract.settings import CoordinatorFile, Settings, parse, parse_as
from runtime import atomic_file, yaml_document
from runtime.state_folder import find_retailer_folder, find_state_folder


def load(retailer: str | None = None, file: Path | None = None) -> Settings:
    """Settings from `file`, or TILLGUARD_CONFIG, or the state folder's file of `retailer`, with the environment on top.

    Raises ConfigurationError with every fault, or with what to do when there is no file.
    """
    chosen = file or (Path(os.environ["TILLGUARD_CONFIG"]) if "TILLGUARD_CONFIG" in os.environ else None)
    if chosen is None and retailer is not None:
        chosen = find_retailer_folder(retailer) / "settings.yaml"
    if chosen is None:
        raise ConfigurationError(["name the retailer (--retailer NAME) or its settings file (--config FILE)"])
    settings = parse(
        read_yaml(chosen, f"`tillguard init {retailer or 'NAME'}` writes one for the embedded stack"), where=str(chosen)
    )
    if retailer is not None and settings.retailer != retailer:
        raise ConfigurationError([f"{chosen} describes retailer {settings.retailer}, not {retailer}"])
    return settings


def find_federation_folder() -> Path:
    """Where a coordinator's settings, keys and memory live."""
    return find_state_folder() / "federation"


def load_coordinator(file: Path | None = None) -> CoordinatorFile:
    """The coordinator's settings from `file`, or the state folder's, with the environment on top; raises ConfigurationError."""
    chosen = file or find_federation_folder() / "settings.yaml"
    document = read_yaml(chosen, "`tillguard federation init` writes one")
    return parse_as(CoordinatorFile, document, where=str(chosen))


def begin_coordinator(bootstrap_servers: str | None) -> Path:
    """The coordinator's settings file in the state folder, written now where there is none.

    None: the file's own, else localhost:9092. Raises ConfigurationError, also where a file that is there names other servers.
    """
    folder = find_federation_folder()
    file = folder / "settings.yaml"
    own = {
        "key_file": str(folder / "coordinator.key"),
        "store_url": f"sqlite:///{folder / 'coordinator.db'}",
        "model_file": str(folder / "model.npz"),
    }
    document = {"federation": {"bootstrap_servers": bootstrap_servers or "localhost:9092", "coordinator": own}}
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            atomic_file.write(file, yaml.safe_dump(document, sort_keys=False).encode())
    except OSError as error:
        raise ConfigurationError([f"{file} cannot be written: {error.strerror}"]) from None
    found = load_coordinator(file).federation.bootstrap_servers
    if bootstrap_servers not in (None, found):
        raise ConfigurationError(
            [f"{file} names the servers {found}, not {bootstrap_servers}, and is never changed: correct it there"]
        )
    return file


def is_retailer(file: Path) -> bool:
    """Whether a settings file is a retailer's; a coordinator's names none."""
    document = read_yaml(file, "name a file that is there")
    return isinstance(document, dict) and "retailer" in document


def read_yaml(chosen: Path, remedy: str) -> object:
    """The YAML in a file; raises ConfigurationError with the line of a fault, or with `remedy` where there is no file."""
    try:
        text = chosen.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationError([f"{chosen} does not exist; {remedy}"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{chosen} cannot be read: {type(error).__name__}"]) from None
    return yaml_document.load(text, str(chosen))
