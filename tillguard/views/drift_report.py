"""Drift in words and tables, and as JSON. Pure: gives what rich prints."""

from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from contract.alarms import Alarm
from contract.clock import from_epoch_ms
from scoring.engine.coverage import Gap
from tillguard.views.training_report import format_minute
from trainer.drift.check import Checked
from trainer.drift.findings import PSI_LOOK, FeatureDrift, Findings
from trainer.drift.score_drift import ScoreDrift

TOP = 12
"""Features that are shown; --json has them all."""


def render(checked: Checked, gaps: Sequence[Gap] = ()) -> RenderableType:
    """The page of `tillguard drift`; `gaps` are those of the live state."""
    findings = checked.findings
    if findings is None:
        return Text(checked.unknown or "")
    parts: list[RenderableType] = [
        Text(f"Model {findings.model_version} and what it sees now", style="bold"),
        Text(_window(findings)),
    ]
    if findings.features:
        parts += [_features(findings), Text(_stable(findings))]
    if findings.score is not None:
        parts.append(Text(_score(findings.score)))
    if findings.performance:
        parts.append(_performance(findings))
    parts += [Text(f"Note: {note}.") for note in findings.notes]
    parts += [Text(f"Attention: {gap.text}. To do: {gap.remedy}.") for gap in gaps]
    parts += [_alarm(alarm) for alarm in checked.alarms] or [Text("Nothing to raise an alarm about.")]
    return Group(*parts)


def as_json(checked: Checked, gaps: Sequence[Gap] = ()) -> dict[str, Any]:
    """The same for machines."""
    findings = checked.findings
    if findings is None:
        return {"unknown": checked.unknown, "alarms": []}
    return {
        "model_version": findings.model_version,
        "rows": findings.rows,
        "scored": findings.scored,
        "first": None if findings.first_ms is None else from_epoch_ms(findings.first_ms),
        "last": None if findings.last_ms is None else from_epoch_ms(findings.last_ms),
        "features": [feature._asdict() for feature in findings.features],
        "score": None
        if findings.score is None
        else {
            "changed": findings.score.changed,
            "since": None if findings.score.since_ms is None else from_epoch_ms(findings.score.since_ms),
            "mean_before": findings.score.mean_before,
            "mean_now": findings.score.mean_now,
        },
        "performance": [{"name": one.name, "before": one.before, **one.now._asdict()} for one in findings.performance],
        "notes": findings.notes,
        "state": [gap._asdict() for gap in gaps],
        "alarms": checked.alarms,
    }


def _window(findings: Findings) -> str:
    if findings.first_ms is None or findings.last_ms is None:
        return "The feature log holds no transaction of the window."
    first, last = from_epoch_ms(findings.first_ms), from_epoch_ms(findings.last_ms)
    return (
        f"{findings.rows:,} transactions, {format_minute(first)} to {format_minute(last)}, {findings.scored:,} of them answered by it; "
        "compared with its training."
    )


def _features(findings: Findings) -> Table:
    table = Table("feature", "PSI", "missing at training", "missing now", "", title="Features that moved most")
    table.title_justify = "left"
    for feature in findings.features[:TOP]:
        table.add_row(
            feature.name,
            f"{feature.psi:.3f}",
            f"{feature.missing_before:.1%}",
            f"{feature.missing_now:.1%}",
            _said(feature),
        )
    return table


def _said(feature: FeatureDrift) -> str:
    if feature.psi < PSI_LOOK:
        return "as it was"
    return "look at it" if feature.judged else "the window is no whole week"


def _stable(findings: Findings) -> str:
    still = sum(feature.psi < PSI_LOOK for feature in findings.features)
    return f"{still} of {len(findings.features)} features are as they were (PSI below {PSI_LOOK:g})."


def _score(score: ScoreDrift) -> str:
    means = f"the mean is {score.mean_now:.4f}, at training it was {score.mean_before:.4f}"
    if not score.changed:
        return f"Scores: no change that chance could not explain; {means}."
    since = "before the window" if score.since_ms is None else format_minute(from_epoch_ms(score.since_ms))
    return f"Scores changed (ADWIN), since {since}: {means} ({score.change:+.0%})."


def _performance(findings: Findings) -> Table:
    table = Table(
        "estimated without labels",
        "at training",
        "now",
        "95% interval",
        title="Precision and recall, as far as scores tell (they must be calibrated; a new kind of fraud shows in labels only)",
    )
    table.title_justify = "left"
    for one in findings.performance:
        now = one.now
        table.add_row(
            one.name.replace("_", " "), f"{one.before:.3f}", f"{now.value:.3f}", f"{now.low:.3f} to {now.high:.3f}"
        )
    return table


def _alarm(alarm: Alarm) -> Text:
    style = "bold red" if alarm.severity == "critical" else "yellow"
    return Text(f"{alarm.kind} ({alarm.severity}): {alarm.text}\n  do: {alarm.remedy}.", style=style)
