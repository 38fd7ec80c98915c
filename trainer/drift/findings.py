"""What a window of the feature log says about the serving model, against its profile; and the alarms that follow. Pure."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.alarms import Alarm, AlarmSeverity
from contract.clock import from_epoch_ms
from contract.features import get_schema
from contract.models import Thresholds
from contract.sections.models import DriftSettings
from contract.windows import DAY_MS
from trainer.drift import cbpe, psi
from trainer.drift.profile import Profile
from trainer.drift.score_drift import ScoreDrift, score_drift

WEEK_SHARE = 0.9
"""A window that spans less of a week holds other hours and weekdays than training did: time features say nothing then."""
FEATURE_ALARMS_MAX = 10
"""Of one check: the features that moved most. Where everything moved, a hundred alarms would say no more."""
PSI_LOOK = 0.1
CRITICAL_TIMES = 2.0
"""A loss of estimated performance this many times the limit is critical."""

REMEDY_FEATURE = (
    "see whether the source or the shop changed (new campaign, new field, a broken connector); if the change is real and stays, "
    "train on newer data: `tillguard train --history topic`, or let `trainer run` do so"
)
REMEDY_SCORE = (
    "look at verdicts by decision and at `tillguard drift`; more fraud, or features that moved? Until labels come, a wrong wave of "
    "holds is ended by `tillguard models rollback`, or by thresholds from a new training"
)
REMEDY_PERFORMANCE = (
    "get labels for the newest flagged and held transactions and train on them; `tillguard models compare` shows whether an "
    "older or new model does better, `tillguard models rollback` goes back"
)


@dataclass(frozen=True, slots=True)
class Window:
    """n transactions of the feature log under today's feature schema, in event-time order."""

    features: NDArray[np.float32]
    """Shape (n, F)."""
    score: NDArray[np.float64]
    """Shape (n,); NaN where another model answered than the one that is looked at."""
    event_time_ms: NDArray[np.int64]
    """Shape (n,), not decreasing."""

    def __len__(self) -> int:
        return len(self.event_time_ms)


class FeatureDrift(NamedTuple):
    """One feature now and at training."""

    name: str
    psi: float
    missing_before: float
    missing_now: float
    judged: bool
    """False: a time feature in a window that spans no whole week."""


class Performance(NamedTuple):
    """One measure, estimated the same way then and now."""

    name: str
    before: float
    now: cbpe.Estimate


@dataclass(frozen=True, slots=True)
class Findings:
    """One check; without transactions enough, only `rows` and `notes` say something."""

    model_version: str
    rows: int
    scored: int
    """Of these, answered by the model."""
    first_ms: int | None
    last_ms: int | None
    features: list[FeatureDrift]
    """Furthest first."""
    score: ScoreDrift | None
    performance: list[Performance]
    notes: list[str]


def inspect(
    model_version: str,
    thresholds: Thresholds,
    profile: Profile,
    window: Window,
    *,
    limits: DriftSettings,
    seed: int = 7,
) -> Findings:
    """Compares `window` with `profile`; the same input and seed give the same findings."""
    scores = window.score[~np.isnan(window.score)]
    times = window.event_time_ms[~np.isnan(window.score)]
    notes: list[str] = []
    enough, enough_scored = len(window) >= limits.rows_min, len(scores) >= limits.rows_min
    if not enough:
        notes.append(
            f"{len(window):,} transactions in the window, {limits.rows_min:,} are needed: features are not judged"
        )
    if not enough_scored:
        notes.append(
            f"the model answered {len(scores):,} of them, {limits.rows_min:,} are needed: scores are not judged"
        )
    if profile.score_mean == 0:
        notes.append("at training the model gave every transaction a score of 0")
    performance = _performance(profile, thresholds, scores, seed, notes) if enough_scored else []
    delta = limits.score_delta
    return Findings(
        model_version=model_version,
        rows=len(window),
        scored=len(scores),
        first_ms=int(window.event_time_ms[0]) if len(window) else None,
        last_ms=int(window.event_time_ms[-1]) if len(window) else None,
        features=_features(profile, window, notes) if enough else [],
        score=score_drift(np.array(profile.scores), profile.score_mean, scores, times, delta=delta, seed=seed)
        if enough_scored
        else None,
        performance=performance,
        notes=notes,
    )


class _Said(NamedTuple):
    kind: str
    subject: str
    text: str
    remedy: str
    values: dict[str, float]
    severity: AlarmSeverity = "warning"


def list_alarms(findings: Findings, retailer: str, limits: DriftSettings, now: datetime) -> list[Alarm]:
    """What a person should look at. The same drift on the same day of the data has the same alarm_id, however often it is seen."""
    said = [*_moved(findings, limits), *_scored(findings, limits), *_fallen(findings, limits)]
    day = (findings.last_ms or 0) // DAY_MS
    occurrences = (f"{findings.model_version}|{each.subject}|{day}".encode() for each in said)
    return [
        Alarm(
            alarm_id=f"{each.kind}-{hashlib.blake2b(occurrence, digest_size=8).hexdigest()}",
            retailer=retailer,
            severity=each.severity,
            raised_at=now,
            part="trainer",
            subject=each.subject,
            kind=each.kind,
            text=each.text,
            remedy=each.remedy,
            values=each.values,
        )
        for each, occurrence in zip(said, occurrences, strict=True)
    ]


def _moved(findings: Findings, limits: DriftSettings) -> Iterator[_Said]:
    moved = [each for each in findings.features if each.judged and each.psi >= limits.psi_alarm]
    texts = {feature.name: feature.text for feature in get_schema()}
    for each in moved[:FEATURE_ALARMS_MAX]:
        text = (
            f"{each.name} ({texts[each.name]}) moved since training: PSI {each.psi:.2f}, alarm from {limits.psi_alarm:g}; "
            f"missing {each.missing_before:.1%} then, {each.missing_now:.1%} now. Features that moved so far: {len(moved)}."
        )
        values = {"psi": each.psi, "missing_before": each.missing_before, "missing_now": each.missing_now}
        yield _Said("drift_feature", each.name, text, REMEDY_FEATURE, values)


def _scored(findings: Findings, limits: DriftSettings) -> Iterator[_Said]:
    score = findings.score
    if score is None or not score.changed or abs(score.change) < limits.score_change_min:
        return
    since = "" if score.since_ms is None else f" since {from_epoch_ms(score.since_ms):%Y-%m-%d %H:%M} UTC"
    text = f"the mean score is {score.mean_now:.4f}{since}; at training it was {score.mean_before:.4f}"
    values = {"mean_before": score.mean_before, "mean_now": score.mean_now}
    yield _Said("drift_score", findings.model_version, text, REMEDY_SCORE, values)


def _fallen(findings: Findings, limits: DriftSettings) -> Iterator[_Said]:
    for one in find_lost(findings, limits):
        text = (
            f"estimated without labels, {_words(one.name)} is {one.now.value:.3f} (95% interval {one.now.low:.3f} to "
            f"{one.now.high:.3f}); at training it was {one.before:.3f}. It holds only while scores are calibrated."
        )
        values = {"before": one.before, "now": one.now.value, "low": one.now.low, "high": one.now.high}
        severe = one.before - one.now.value >= CRITICAL_TIMES * limits.performance_loss_max
        yield _Said(
            "drift_performance", one.name, text, REMEDY_PERFORMANCE, values, "critical" if severe else "warning"
        )


def find_lost(findings: Findings, limits: DriftSettings) -> list[Performance]:
    """Measures that have surely fallen by more than the limit: the whole interval lies below it."""
    limit = limits.performance_loss_max
    return [each for each in findings.performance if each.now.high < each.before - limit]


def _features(profile: Profile, window: Window, notes: list[str]) -> list[FeatureDrift]:
    span_days = (int(window.event_time_ms[-1]) - int(window.event_time_ms[0])) / DAY_MS
    whole_week = span_days >= 7 * WEEK_SHARE
    if not whole_week:
        notes.append(f"the window spans {span_days:.1f} days: time of day and week are shown and raise no alarm")
    weight = np.ones(len(window))
    found = []
    for place, (feature, one) in enumerate(zip(get_schema(), profile.features, strict=True)):
        now = psi.compute_shares(window.features[:, place], weight, one.edges, one.buckets)
        moved = psi.compute_psi((one.missing, one.shares), now)
        judged = whole_week or feature.group != "time"
        found.append(FeatureDrift(one.name, moved, one.missing, now[0], judged))
    return sorted(found, key=lambda each: -each.psi)


def _performance(
    profile: Profile, thresholds: Thresholds, scores: NDArray[np.float64], seed: int, notes: list[str]
) -> list[Performance]:
    if cbpe.count_expected_frauds(scores) < cbpe.FRAUDS_MIN:
        notes.append(
            f"the scores promise fewer than {cbpe.FRAUDS_MIN:g} frauds: precision and recall are not estimated"
        )
        return []
    now = cbpe.estimate_with_intervals(scores, thresholds, seed)
    return [
        Performance(name, profile.performance[name], now[name])
        for name in cbpe.NAMES
        if name in now and name in profile.performance
    ]


def _words(name: str) -> str:
    measure, _, decision = name.partition("_")
    return "average precision" if measure == "average" else f"{measure} from {decision} on"
