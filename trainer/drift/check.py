"""Looks for drift: reads the newest window of the feature log, compares it with the serving model's profile, raises alarms.

`check` is one look; `tillguard drift` and the trainer call it, the latter on its schedule. It keeps nothing but what it is
given to remember, and reads a bounded number of records whatever the log holds.
"""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import numpy as np
import structlog

from contract.alarms import Alarm
from contract.clock import to_epoch_ms
from contract.codec import Decoder
from contract.errors import InvalidEventError, PackageRefusedError
from contract.features import FeatureRecord, get_feature_names, get_schema_hash
from contract.metrics import Metrics
from contract.settings import Settings
from contract.topics import ALARMS, FEATURES
from contract.windows import DAY_MS
from runtime.kafka import topics
from runtime.kafka.producer import Outlet
from runtime.kafka.topic_log import TopicReader
from trainer.drift import profile as profiles
from trainer.drift.findings import Findings, Window, inspect, list_alarms
from trainer.registry.registry import Entry, Registry

ROW_BYTES = 4 * len(get_feature_names())
REMEMBERED_MAX = 10_000

log = structlog.get_logger()


class Raised:
    """Alarms that were raised already, so that a check every hour does not raise the same again; forgets the oldest."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def select_new(self, alarms: list[Alarm]) -> list[Alarm]:
        """Those that were not raised yet."""
        return [alarm for alarm in alarms if alarm.alarm_id not in self._known]

    def remember(self, alarms: list[Alarm]) -> None:
        """Called once Kafka has them."""
        self._known |= dict.fromkeys(alarm.alarm_id for alarm in alarms)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)


class Checked(NamedTuple):
    """One look."""

    findings: Findings | None
    """None: there is nothing to compare with; `unknown` says why."""
    alarms: list[Alarm]
    """Everything that is to be looked at, raised before or now."""
    unknown: str | None


def check(
    settings: Settings,
    registry: Registry,
    *,
    now: datetime,
    metrics: Metrics | None = None,
    raised: Raised | None = None,
    outlet: Outlet | None = None,
) -> Checked:
    """One look at the serving model, its findings set as metrics and its alarms sent to the alarms topic.

    Args:
        settings: the retailer's.
        registry: where the serving model and its profile are.
        now: wall clock.
        metrics: where findings are shown; None: nowhere.
        raised: what not to send again; None: everything is sent.
        outlet: where alarms go; None: nowhere.

    Raises TransientError where Kafka or the registry does not answer; then no alarm counts as raised.
    """
    serving = registry.find_serving(settings.retailer)
    if serving is None:
        return Checked(None, [], f"{settings.retailer}: no model serves, so nothing can drift from it")
    profile = _profile(registry, serving)
    if isinstance(profile, str):
        return Checked(None, [], profile)
    limits = settings.trainer.drift
    manifest = serving.manifest
    window = read_window(settings, manifest.model_version, now)
    findings = inspect(
        manifest.model_version, manifest.thresholds, profile, window, limits=limits, seed=settings.trainer.seed
    )
    alarms = list_alarms(findings, settings.retailer, limits, now)
    if metrics is not None:
        _show(metrics, settings.retailer, findings, now)
    if outlet is not None:
        _raise_alarms(settings, outlet, alarms, metrics, raised or Raised())
    return Checked(findings, alarms, None)


def read_window(settings: Settings, model_version: str, now: datetime) -> Window:
    """The newest part of the feature log, spread evenly where it is large; raises TransientError."""
    limits = settings.trainer.drift
    topic, current, decoder = FEATURES.name(settings.retailer), get_schema_hash(), Decoder(FeatureRecord)
    since = now - timedelta(days=limits.window_days)
    values, times, scores = bytearray(), [], []
    for record in TopicReader(settings.kafka).sample(topic, limits.rows_max, since):
        try:
            seen = None if record.value is None else decoder.decode(record.value)
        except InvalidEventError:
            continue  # counted where the log is read for training
        if seen is None or seen.feature_schema != current or len(seen.values) != ROW_BYTES:
            continue
        values += seen.values
        times.append(to_epoch_ms(seen.event_time))
        scores.append(seen.score if seen.model_version == model_version else float("nan"))
    event_time_ms = np.array(times, dtype=np.int64)
    newest = np.flatnonzero(event_time_ms > max(times, default=0) - limits.window_days * DAY_MS)
    order = newest[np.argsort(event_time_ms[newest], kind="stable")]
    features = (
        np.frombuffer(bytes(values), dtype="<f4").reshape(-1, len(get_feature_names())).astype(np.float32, copy=False)
    )
    return Window(features[order], np.array(scores, dtype=np.float64)[order], event_time_ms[order])


def _profile(registry: Registry, serving: Entry) -> profiles.Profile | str:
    version = serving.manifest.model_version
    try:
        data = registry.read_attachment(serving, profiles.ATTACHMENT)
        if data is None:
            return f"{version} was trained before profiles were kept; the next training brings one"
        return profiles.decode(data)
    except PackageRefusedError as error:
        log.warning("profile_refused", model_version=version, reason=error.reason, detail=error.detail)
        return f"the profile of {version} cannot be used ({error.reason}); the next training brings a new one"


def _show(metrics: Metrics, retailer: str, findings: Findings, now: datetime) -> None:
    metrics.set("tillguard_trainer_drift_checked_seconds", now.timestamp(), retailer=retailer)
    for feature in findings.features:
        metrics.set("tillguard_trainer_drift_psi_ratio", feature.psi, retailer=retailer, feature=feature.name)
    if findings.score is not None:
        metrics.set("tillguard_trainer_drift_score_change_ratio", findings.score.change, retailer=retailer)
    for one in findings.performance:
        name, value = "tillguard_trainer_estimated_performance_ratio", one.now.value
        metrics.set(name, value, retailer=retailer, measure=one.name)


def _raise_alarms(
    settings: Settings, outlet: Outlet, alarms: list[Alarm], metrics: Metrics | None, raised: Raised
) -> None:
    new = raised.select_new(alarms)
    if not new:
        return
    topics.ensure(settings, (ALARMS,))
    messages = [(alarm.alarm_id.encode(), msgspec.json.encode(alarm)) for alarm in new]
    outlet.deliver(ALARMS.name(settings.retailer), messages)
    raised.remember(new)
    for alarm in new:
        log.warning("alarm", kind=alarm.kind, subject=alarm.subject, text=alarm.text, remedy=alarm.remedy)
        if metrics is not None:
            metrics.add("tillguard_trainer_alarms_total", retailer=settings.retailer, kind=alarm.kind)
