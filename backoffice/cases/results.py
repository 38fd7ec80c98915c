"""What the desk answers."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from backoffice.cases.locks import CaseLock
from backoffice.cases.marks import ListEntry, Snooze
from backoffice.projection.results import Entity, EntitySummary, TransactionLine
from contract.events import Resolution, ResolutionKind
from contract.verdicts import Verdict

DecisionState = Literal["pending", "applied", "refused"]
"""`pending`: written down, and sent until an answer is seen. `applied`: its revision stands on the topic. `refused`: a dead letter said why."""
MarkState = Literal["pending", "applied", "refused"]


class CaseDecision(Struct, frozen=True, kw_only=True):
    """What somebody decided about a case."""

    decision_id: str
    transaction_id: str
    outcome: ResolutionKind
    by: str
    decided_at: datetime
    state: DecisionState
    revision: int | None
    """The verdict's revision that it made."""
    reason: str | None
    """For `refused`: a code of the dead letters."""
    detail: str | None

    @property
    def resolution_id(self) -> str:
        """The same however often it is sent, so that it is applied once."""
        return f"desk-{self.decision_id}"


class HandledDecision(Struct, frozen=True):
    """A decision with how long its case was held for it, seconds; 0 where nobody had taken it before."""

    decision: CaseDecision
    took_s: float


class CaseNote(Struct, frozen=True, kw_only=True):
    """What somebody wrote about a case."""

    note_id: str
    text: str
    by: str
    noted_at: datetime


class CaseMark(Struct, frozen=True, kw_only=True):
    """A snooze or a list entry that a decision asked for."""

    mark_id: str
    decision_id: str
    snooze: Snooze | None
    entry: ListEntry | None
    made_at: datetime
    state: MarkState
    detail: str | None
    """For `refused`: why."""


class EntityStrip(Struct, frozen=True, kw_only=True):
    """What one entity did up to a moment, and what people say of it."""

    entity: Entity
    hour: EntitySummary
    day: EntitySummary
    month: EntitySummary
    """30 days."""
    listed: ListEntry | None
    snoozes: tuple[Snooze, ...]


class EarlierDecision(Struct, frozen=True, kw_only=True):
    """An earlier case of the same entities, and how it turned out."""

    transaction_id: str
    shares: tuple[str, ...]
    """Kinds of the entities that both name."""
    outcome: str
    decided_at: datetime
    fraud: bool | None
    """What became known since, from others than whoever decided; None: nothing yet."""
    right: bool | None


class TimelineEntry(Struct, frozen=True, kw_only=True):
    """Something that happened to a case."""

    at: datetime
    kind: Literal["transaction", "verdict", "resolution", "label", "note", "decision", "taken"]
    text: str
    by: str | None = None


class CaseLine(Struct, frozen=True, kw_only=True):
    """A case in the queue."""

    line: TransactionLine
    left_s: float | None
    """Seconds until the hold policy decides; null where nobody waits."""
    priority_minor: int
    """Expected loss times urgency, in minor units of the base currency."""
    lock: CaseLock | None
    decision: CaseDecision | None
    """Decided at this desk; the topics have not said so yet, or the case is resolved."""


class CasePage(Struct, frozen=True, kw_only=True):
    """Part of the queue."""

    cases: tuple[CaseLine, ...]
    next: str | None
    """The cursor of the page that follows, for `after`; null on the last one, and with `order=priority`, which shows the top alone."""
    base_currency: str


class CaseRecord(Struct, frozen=True, kw_only=True):
    """The case work on one transaction."""

    lock: CaseLock | None
    """Only while it is valid."""
    decisions: tuple[CaseDecision, ...]
    """The earliest first; all but the last were refused."""
    notes: tuple[CaseNote, ...]
    marks: tuple[CaseMark, ...]


class CaseView(Struct, frozen=True, kw_only=True):
    """All that one needs to decide a case."""

    case: CaseLine
    version: str
    """Changes when a decision or a verdict comes; also the answer's ETag, for If-Match."""
    base_currency: str
    verdicts: tuple[Verdict, ...]
    resolutions: tuple[Resolution, ...]
    entities: tuple[EntityStrip, ...]
    earlier: tuple[EarlierDecision, ...]
    work: CaseRecord
    timeline: tuple[TimelineEntry, ...]


class DeskFigures(Struct, frozen=True, kw_only=True):
    """How the desk does."""

    since: datetime
    until: datetime
    by: str | None
    """Whose; null: everybody's."""
    decided: int
    approved: int
    rejected: int
    pending: int
    refused: int
    judged: int
    """Decisions of which others said since what the transaction was: chargebacks, customers, reviews."""
    right: int
    """Of those, how many agree."""
    hit_rate: float | None
    median_handling_s: float | None
    """From taking a case to deciding it."""
    expired_unseen: int
    """Holds that ended without anybody's decision; of the whole desk."""
    capped: bool
    """There are more decisions than were counted."""
