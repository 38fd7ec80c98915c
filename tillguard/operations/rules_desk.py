"""Rules for operators: publish a version, put one in service, see which there are. Workers follow the topic."""

from datetime import UTC, datetime
from typing import NamedTuple

from contract.codec import encode
from contract.errors import ConfigurationError, InvalidEventError
from contract.rules import SERVING_KEY, SOURCE_BYTES_MAX, RulesMessage, RulesServing, RulesVersion, read_message
from contract.settings import Settings
from contract.topics import RULES
from runtime.kafka.producer import SharedProducer
from runtime.kafka.topic_log import TopicReader
from scoring.rules.ruleset import Ruleset, load_configured_rules, load_rules

TEXT_MAX = 256
"""Characters of a note or reason."""
NAME_MAX = 128
"""Characters of who did it."""


class RulesListing(NamedTuple):
    """What stands on the rules topic."""

    versions: tuple[RulesVersion, ...]
    """The newest first."""
    serving: RulesServing | None
    """None: workers judge by `scoring.rules_file`, or the rules that ship with Tillguard."""

    def find(self, version: str) -> RulesVersion | None:
        """The version of this name."""
        return next((one for one in self.versions if one.rules_version == version), None)


def list_rules(settings: Settings) -> RulesListing:
    """Which versions exist, and which serves; raises TransientError. Messages that nobody can read are passed over."""
    versions: dict[bytes | None, RulesVersion] = {}
    serving: RulesServing | None = None
    for record in TopicReader(settings.kafka).read_until_now(RULES.name(settings.retailer)):
        versions.pop(record.key, None)
        if record.value is None:
            continue
        try:
            message = read_message(record.value)
        except InvalidEventError:
            continue
        if isinstance(message, RulesServing):
            serving = message
        else:
            versions[record.key] = message
    return RulesListing(tuple(sorted(versions.values(), key=lambda one: one.made_at, reverse=True)), serving)


def read_serving_rules(settings: Settings) -> Ruleset:
    """The rules that workers judge by: the topic's, else those of the settings. Raises ConfigurationError and TransientError."""
    listing = list_rules(settings)
    wanted = None if listing.serving is None else listing.find(listing.serving.rules_version)
    if wanted is None:
        return load_configured_rules(settings.scoring.rules_file)
    return load_rules(wanted.source, where=wanted.rules_version)


def publish_rules(settings: Settings, source: str, *, where: str, by: str, note: str) -> RulesVersion:
    """Puts a version on the topic, which serves nobody yet. Rules that are there already get this text, author and note.

    Raises ConfigurationError with every fault of the rules (`where` names their file), and TransientError.
    """
    rules = load_rules(source, where=where)
    if len(source.encode()) > SOURCE_BYTES_MAX:
        raise ConfigurationError([f"{where}: larger than {SOURCE_BYTES_MAX // 1024} KiB"])
    _check_texts(by, note)
    version = RulesVersion(rules_version=rules.version, source=source, made_at=datetime.now(UTC), made_by=by, note=note)
    _send(settings, rules.version, version)
    return version


def serve_rules(settings: Settings, version: str, *, by: str, reason: str) -> RulesServing:
    """Puts a published version in service; workers use it from their next batch on.

    Raises ConfigurationError for a version that is not on the topic or fails today's checks, and TransientError.
    """
    _check_texts(by, reason)
    if not reason.strip():
        raise ConfigurationError(["--reason: say why, for whoever asks later"])
    listing = list_rules(settings)
    found = listing.find(version)
    if found is None:
        raise ConfigurationError(
            [f"{version} is not among the published rules: `tillguard rules versions --retailer {settings.retailer}`"]
        )
    load_rules(found.source, where=version)
    before = None if listing.serving is None else listing.serving.rules_version
    serving = RulesServing(
        rules_version=version, served_at=datetime.now(UTC), served_by=by, reason=reason, previous=before
    )
    _send(settings, SERVING_KEY, serving)
    return serving


def _check_texts(by: str, reason: str) -> None:
    faults = []
    if not 0 < len(by) <= NAME_MAX or not by.isprintable():
        faults.append(f"--by: a name of 1 to {NAME_MAX} characters")
    if len(reason) > TEXT_MAX:
        faults.append(f"--reason: {len(reason)} characters, at most {TEXT_MAX}")
    if faults:
        raise ConfigurationError(faults)


def _send(settings: Settings, key: str, message: RulesMessage) -> None:
    with SharedProducer(settings.kafka, "operator") as producer:
        producer.deliver(RULES.name(settings.retailer), [(key.encode(), encode(message))])
