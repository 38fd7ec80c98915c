"""The answer to a transaction, read by checkout systems. Topic `<retailer>.verdicts.v1`, key = transaction_id.

Two verdicts with equal transaction_id and revision have equal decision and score. Revision 0 is a degraded answer,
1 the full answer, 2 and above follow resolutions and hold expiry. The highest revision holds.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from contract.events import Identifier, Moment, RetailerName

Decision = Literal["allow", "flag", "hold", "block"]
DECISIONS: tuple[Decision, ...] = ("allow", "flag", "hold", "block")
"""From mildest to most severe; a decision's place is its severity."""
REVISION_DEGRADED = 0
REVISION_FULL = 1

DegradedCause = Literal["state_unavailable", "state_late", "model_unavailable", "model_late"]


class Reason(Struct, frozen=True, kw_only=True):
    """One reason for a decision; the most telling first."""

    code: str
    """`rule:<id>`, `group:<feature group>`, `list:<allow|deny>` or `policy:<name>`."""
    text: str
    """For a person to read."""
    weight: float
    """For groups: how far the score falls when the group is made ordinary, in [-1, 1]. For rules and lists: 1."""


class SnoozedRule(Struct, frozen=True, kw_only=True):
    """A rule that matched and did not count."""

    rule: str
    """Its id."""
    entity: str
    """The field for whose value it is snoozed, as `card`."""


class Verdict(Struct, frozen=True, kw_only=True):
    """One answer. Every field is always present; `score`, `model_version`, `hold_until`, `cause`, `outcome` may be null."""

    transaction_id: Identifier
    retailer: RetailerName
    revision: Annotated[int, Meta(ge=0)]
    decision: Decision
    score: Annotated[float, Meta(ge=0, le=1)] | None
    """Calibrated probability of fraud; null only where `degraded` is true."""
    reasons: list[Reason]
    model_version: str | None
    """Null only where `degraded` is true."""
    rules_version: str
    feature_schema: str
    """Hash of the feature schema."""
    rules: list[str]
    """Ids of the rules that fired."""
    degraded: bool
    """True: rules alone decided within the time budget; the full answer follows as revision 1."""
    cause: DegradedCause | None
    """Why it is degraded."""
    late: bool
    """True: the transaction is history (a snapshot, a replay, a long outage); nobody is waiting at the till."""
    event_time: Moment
    scored_at: Moment
    latency_ms: float
    """From the append of the transaction to Kafka to `scored_at`."""
    stage_us: dict[str, float]
    """Microseconds per stage (decode, windows, features, model, decide), a batch's time divided by its events."""
    hold_until: Moment | None = None
    """For `hold`: when the hold policy decides in the absence of a resolution."""
    outcome: str | None = None
    """For revisions above 1: the resolution's outcome, or `expired`."""
    incomplete: list[str] = []
    """What the score did not know of: `risk` (no fraud became known lately) or `windows` (history begins less than 30 days before)."""
    snoozed: list[SnoozedRule] = []
    """Rules that matched and did not count, because an analyst snoozed them for one of the transaction's entities."""
