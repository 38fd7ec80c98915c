"""Alarms: what a person should look at, each with its remedy. Topic `<retailer>.alarms.v1`; the same thing is a metric too."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from contract.events import Identifier, Moment, RetailerName

ALARMS = {
    "breaker_open": "more holds and blocks than the breaker allows: what would be held or blocked is flagged",
    "breaker_closed": "holds and blocks are back within the breaker's limits",
    "drift_feature": "a feature's values have moved away from what the serving model learned from",
    "drift_score": "the serving model's scores have changed",
    "drift_performance": "without waiting for labels, the serving model's estimated precision or recall has fallen",
    "state_incomplete": "windows or known frauds do not reach as far back as the serving model's features look",
    "model_refused": "a newly trained model was not put in service",
    "training_failed": "a training ended without a model",
}
"""Every kind of alarm, and what it means."""

AlarmSeverity = Literal["info", "warning", "critical"]


class Alarm(Struct, frozen=True, kw_only=True):
    """One alarm."""

    alarm_id: Identifier
    """The same occurrence raised again has the same id."""
    retailer: RetailerName
    kind: Annotated[str, Meta(max_length=64)]
    """A code of ALARMS."""
    severity: AlarmSeverity
    raised_at: Moment
    part: Annotated[str, Meta(max_length=64)]
    """`scoring` or `trainer`."""
    subject: Annotated[str, Meta(max_length=128)]
    """What it is about: a feature's name, a model version, the retailer."""
    text: Annotated[str, Meta(max_length=1024)]
    """What is the matter, with numbers, for a person to read."""
    remedy: Annotated[str, Meta(max_length=1024)]
    """What to do."""
    values: dict[str, float]
    """The numbers in `text`, for machines."""
