"""Settings of models in service: what their decisions may ask of people, and when to raise an alarm about them."""

from pydantic import Field

from contract.sections.section import Seconds, Section


class CapacitySettings(Section):
    """What there are people and patience for in a day, on average; thresholds keep within it. Absent: as much as is worth it."""

    reviews_per_day: float | None = Field(None, ge=0, description="flagged transactions that analysts can look at")
    step_ups_per_day: float | None = Field(None, ge=0, description="holds: customers who may be asked for verification")


class DriftSettings(Section):
    """What counts as drift of the serving model; every alarm names its remedy."""

    window_days: float = Field(
        7.0, gt=0, le=365, description="newest part of the feature log that is looked at, by event_time"
    )
    rows_max: int = Field(
        50_000, ge=1_000, le=2_000_000, description="transactions read for one check, spread evenly over the window"
    )
    rows_min: int = Field(
        1_000, ge=100, description="with fewer in the window nothing is said: chance alone would speak"
    )
    psi_alarm: float = Field(
        0.25,
        gt=0,
        description="population stability index of a feature from which an alarm is raised (0.1: look at it)",
    )
    score_delta: float = Field(0.002, gt=0, lt=1, description="ADWIN's delta: chance of an alarm where nothing changed")
    score_change_min: float = Field(
        0.5,
        ge=0,
        description="the mean score must have changed by this share of what it was (0.5: by half) for an alarm",
    )
    performance_loss_max: float = Field(
        0.1, gt=0, le=1, description="estimated precision or recall may fall by so much below what it was at training"
    )
    every_s: Seconds = Field(3600.0, description="pause between checks of `trainer run` and `drift --watch`")
