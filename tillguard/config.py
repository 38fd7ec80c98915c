"""Finds and reads settings; the only place that touches settings files."""

import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from contract.errors import ConfigurationError
from contract.settings import BackofficeFile, CoordinatorFile, Settings, parse, parse_as
from runtime import atomic_file, yaml_document
from runtime.state_folder import find_retailer_folder, find_state_folder

BACKOFFICE_DATABASES = {"database_url": "backoffice.db", "read_model_url": "read-model.db"}
"""Files in the state folder, by setting, where no settings name others."""


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


def load_backoffice(file: Path | None = None) -> BackofficeFile:
    """The backoffice's settings from `file`, or the state folder's where that is there, with the environment on top.

    Without either its databases stand in the state folder. Raises ConfigurationError.
    """
    folder = find_state_folder()
    usual = folder / "backoffice.yaml"
    chosen = file or (usual if usual.exists() else None)
    if chosen is not None:
        return parse_as(BackofficeFile, read_yaml(chosen, "name a file that is there"), where=str(chosen))
    urls = {name: f"sqlite:///{folder / database}" for name, database in BACKOFFICE_DATABASES.items()}
    return parse_as(BackofficeFile, {"backoffice": urls}, where="backoffice")


def load_retailers(file: BackofficeFile, chosen: Sequence[str] = ()) -> dict[str, Settings]:
    """Settings of the retailers that the backoffice serves, by name, or of the `chosen` ones among them.

    Raises ConfigurationError with every fault.
    """
    named = file.backoffice.retailers
    if not named:
        folders = sorted((find_state_folder() / "retailers").glob("*/settings.yaml"))
        named = {each.parent.name: each for each in folders}
    if not named:
        raise ConfigurationError(
            ["no retailer is here: `tillguard init NAME` makes one, or name settings files under backoffice.retailers"]
        )
    unknown = [name for name in chosen if name not in named]
    if unknown:
        raise ConfigurationError([f"--retailer {name}: not among {', '.join(named)}" for name in unknown])
    found, faults = {}, []
    for name, settings in named.items():
        if chosen and name not in chosen:
            continue
        try:
            found[name] = load(name, settings)
        except ConfigurationError as error:
            faults += error.faults
    if faults:
        raise ConfigurationError(faults)
    return found


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
