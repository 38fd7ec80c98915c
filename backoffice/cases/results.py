"""What the desk answers."""

from datetime import datetime
from typing import Literal

from msgspec import Struct

from backoffice.cases.locks import CaseLock
from backoffice.cases.marks import ListEntry, Snooze
from contract.events import ResolutionKind

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


class CaseRecord(Struct, frozen=True, kw_only=True):
    """The case work on one transaction."""

    lock: CaseLock | None
    """Only while it is valid."""
    decisions: tuple[CaseDecision, ...]
    """The earliest first; all but the last were refused."""
    notes: tuple[CaseNote, ...]
    marks: tuple[CaseMark, ...]
