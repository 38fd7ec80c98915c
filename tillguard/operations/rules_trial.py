"""Tries rules on the feature log: what serving saw, what became known since, and what judged then."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import cache

import msgspec

from contract.codec import Decoder
from contract.errors import ConfigurationError, InvalidEventError
from contract.events import Label
from contract.features import FeatureRecord
from contract.models import Thresholds
from contract.settings import Settings
from contract.topics import FEATURES, LABELS
from runtime.kafka.topic_log import TopicReader
from scoring.decision.dry_run import DryRun, Past, Slice, read_slice, run_dry
from scoring.rules.ruleset import Ruleset, load_configured_rules, load_default_rules, load_rules
from tillguard.operations.rules_desk import list_rules

SLICE = 4_096
"""Records tried together."""


def run_rules_dry(
    settings: Settings,
    rules: Ruleset,
    *,
    days: float,
    progress: Callable[[int], None] = lambda _count: None,
    is_cancelled: Callable[[], bool] = lambda: False,
) -> DryRun:
    """What `rules` would have done with the transactions that were scored within the last `days`, by the broker's clock.

    Raises TransientError where Kafka or the registry does not answer.
    """
    from trainer.registry.registry import Registry  # noqa: PLC0415 - drivers come with it

    reader = TopicReader(settings.kafka)
    outcomes = _read_outcomes(settings, reader)
    since = datetime.now(UTC) - timedelta(days=days)
    registry = Registry(settings.trainer.registry_url.get_secret_value(), settings.trainer.registry_directory)
    with closing(registry):

        @cache
        def find_thresholds(version: str) -> Thresholds | None:
            entry = registry.find(settings.retailer, version)
            return None if entry is None else entry.manifest.thresholds

        return run_dry(
            rules,
            _read_slices(settings, reader, since, outcomes),
            Past(find_thresholds, _collect_rules(settings).get),
            currency=settings.base_currency,
            progress=progress,
            is_cancelled=is_cancelled,
        )


def _read_outcomes(settings: Settings, reader: TopicReader) -> dict[str, bool]:
    """Fraud or not, of each transaction with a label that holds now: the latest label_time, of equals the one that came last."""
    decoder, now = Decoder(Label), datetime.now(UTC)
    held: dict[str, Label] = {}
    for record in reader.read_until_now(LABELS.name(settings.retailer)):
        try:
            label = decoder.decode(record.value)
        except InvalidEventError:
            continue  # an erasure, or not ours
        known = held.get(label.transaction_id)
        if label.label_time <= now and (known is None or label.label_time >= known.label_time):
            held[label.transaction_id] = label
    return {name: label.fraud for name, label in held.items()}


def _read_slices(
    settings: Settings, reader: TopicReader, since: datetime, outcomes: dict[str, bool]
) -> Iterator[Slice]:
    decode = msgspec.json.Decoder(FeatureRecord).decode
    kept: list[FeatureRecord] = []
    for record in reader.read_until_now(FEATURES.name(settings.retailer), since):
        if record.value is None:
            continue
        try:
            kept.append(decode(record.value))
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        if len(kept) == SLICE:
            yield read_slice(kept, outcomes)
            kept = []
    if kept:
        yield read_slice(kept, outcomes)


def _collect_rules(settings: Settings) -> dict[str, Ruleset]:
    """Every ruleset that may have judged, by version: those of the topic, of the settings, and those that ship with Tillguard."""
    found = {
        rules.version: rules for rules in (load_default_rules(), load_configured_rules(settings.scoring.rules_file))
    }
    for version in list_rules(settings).versions:
        try:
            rules = load_rules(version.source, where=version.rules_version)
        except ConfigurationError:
            continue  # of an earlier release, whose rules could say what today's cannot
        found[rules.version] = rules
    return found
