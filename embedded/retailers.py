"""Gives a retailer its settings file and topics on the running embedded stack."""

import secrets
import textwrap
from collections.abc import Mapping
from pathlib import Path

import yaml

from contract.errors import ConfigurationError
from contract.settings import Settings, parse
from embedded.ledger import Endpoint
from runtime import atomic_file, yaml_document
from runtime.kafka import topics

TEMPLATE = """\
# Settings of retailer {retailer}, for the embedded stack of this state folder. docs/settings.md explains every setting;
# whatever is absent has its default, and TILLGUARD_<SECTION>__<FIELD> in the environment overrides what stands here.
# This file holds passwords and the key that makes tokens of personal data: keep it to yourself.
retailer: {retailer}
base_currency: {currency}

kafka:
  bootstrap_servers: {kafka}
  partitions: {partitions}        # as many scoring workers can share the work
  session_timeout_s: 3      # a dead worker's partitions move on after this

redis:
  host: {redis_host}
  port: {redis_port}
  password: {redis_password}

connectors:
  positions_url: {positions_url}
  # Card numbers, e-mail and network addresses become keyed tokens before they reach Kafka. With another key every customer
  # looks new, so a key is rotated by adding one, never by replacing it.
{tokens}

scoring:
  model_directory: {models}
  web_port: 0               # a free port, named in the worker's first log line

trainer:
  registry_url: {registry_url}
  registry_directory: {registry}
  examples_url: {examples_url}

federation:                 # only where it learns with other retailers: docs/federation.md
  bootstrap_servers: {kafka}
  participant:
    key_file: {federation_key}
    store_url: {federation_url}

log:
  format: text
"""

PARTITIONS = 4
NEEDED = ("kafka", "redis")
"""What the settings name; the database is the retailer's own, and its connector file names it."""


def create(
    retailer: str, currency: str, folder: Path, endpoints: Mapping[str, Endpoint], *, force: bool = False
) -> tuple[Settings, list[str]]:
    """Writes `folder`/settings.yaml (mode 0600) and makes the topics; returns the settings and a sentence for each change.

    An existing file is kept unless `force`; even then its token keys stay, since history is worthless under other tokens.
    Raises ConfigurationError for a bad name or currency, or when the stack does not run; TransientError without Kafka.
    """
    missing = [name for name in NEEDED if name not in endpoints]
    if missing:
        raise ConfigurationError([f"{', '.join(missing)} was never started here: run `tillguard up` first"])
    file = folder / "settings.yaml"
    changes = []
    if force or not file.exists():
        _write(file, render(retailer, currency, folder, endpoints, _tokens(file)))
        changes.append(f"{file}: written")
    settings = parse(yaml_document.load(file.read_text(encoding="utf-8"), str(file)), where=str(file))
    return settings, changes + _outdated(settings, endpoints, file) + topics.ensure(settings)


def render(
    retailer: str, currency: str, folder: Path, endpoints: Mapping[str, Endpoint], tokens: Mapping[str, object]
) -> str:
    """The text of the settings file; raises ConfigurationError for what would not be valid settings."""
    redis = endpoints["redis"]
    text = TEMPLATE.format(
        retailer=_scalar(retailer),
        currency=_scalar(currency),
        kafka=_scalar(endpoints["kafka"].uri),
        partitions=PARTITIONS,
        redis_host=_scalar(redis.host),
        redis_port=redis.port,
        redis_password=_scalar(redis.password),
        positions_url=_scalar(f"sqlite:///{folder / 'positions.db'}"),
        tokens=textwrap.indent(yaml.safe_dump(dict(tokens), sort_keys=False), "  ").rstrip(),
        models=_scalar(str(folder / "models")),
        registry_url=_scalar(f"sqlite:///{folder / 'registry.db'}"),
        registry=_scalar(str(folder / "registry")),
        examples_url=_scalar(f"sqlite:///{folder / 'examples.db'}"),
        federation_key=_scalar(str(folder / "participant.key")),
        federation_url=_scalar(f"sqlite:///{folder / 'participant.db'}"),
    )
    parse(yaml_document.load(text, "settings"), where="settings")
    return text


def _scalar(value: object) -> str:
    """`value` as YAML would write it inside a line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n").removesuffix("\n...")


def _tokens(file: Path) -> dict[str, object]:
    """The keys of an existing file as they stand there, or one fresh key."""
    if file.exists():
        connectors = parse(yaml_document.load(file.read_text(encoding="utf-8"), str(file)), where=str(file)).connectors
        if connectors.token_keys:
            kept: dict[str, object] = {
                "token_keys": {name: key.get_secret_value() for name, key in connectors.token_keys.items()},
                "token_key_id": connectors.token_key_id,
                "token_previous_key_id": connectors.token_previous_key_id,
            }
            return {field: value for field, value in kept.items() if value is not None}
    return {"token_keys": {"k1": secrets.token_hex(32)}, "token_key_id": "k1"}


def _write(file: Path, text: str) -> None:
    """Replaces `file` whole; readable by its owner only from the first byte on."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    atomic_file.write(file, text.encode(), mode=0o600)


def _outdated(settings: Settings, endpoints: Mapping[str, Endpoint], file: Path) -> list[str]:
    """Says where a kept file names other servers than those that run."""
    pairs = (
        ("kafka.bootstrap_servers", settings.kafka.bootstrap_servers, endpoints["kafka"].uri),
        ("redis.port", settings.redis.port, endpoints["redis"].port),
    )
    return [
        f"{file}: {setting} is {there}, the embedded stack has {now}; --force writes the file again and keeps its token keys"
        for setting, there, now in pairs
        if there != now
    ]
