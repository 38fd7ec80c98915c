"""A transaction's row: what was told of it, its newest verdict, and the case that follows from both. Pure."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from backoffice.projection.changes import TransactionChange, VerdictChange
from backoffice.projection.gathering import rank_transaction
from backoffice.projection.results import CaseState
from contract.verdicts import REVISION_FULL

EXPIRED = "expired"
REVIEWABLE = frozenset({"flag", "hold", "block"})


class Head(NamedTuple):
    """The row, in the columns of `tables.TRANSACTIONS`."""

    transaction_id: str
    event_ms: int = 0
    ingest_ms: int | None = None
    base_minor: int | None = None
    document: str | None = None
    history: bool = False
    revision: int | None = None
    decision: str | None = None
    score: float | None = None
    outcome: str | None = None
    scored_ms: int | None = None
    hold_ms: int | None = None
    resolved: bool = False
    case_state: CaseState | None = None
    loss_minor: int = 0
    due_ms: int | None = None

    def as_row(self, retailer: str) -> dict[str, Any]:
        """For SQL."""
        return {"retailer": retailer, **self._asdict()}


def merge(
    known: Head, transaction: TransactionChange | None, verdicts: Iterable[VerdictChange], *, resolved: bool
) -> Head:
    """The row after all of this.

    Args:
        known: the row before.
        transaction: as it was told, if it was.
        verdicts: those that hold among all of their revision.
        resolved: whether a resolution is known by now.
    """
    head = known if transaction is None else _tell_transaction(known, transaction)
    for verdict in verdicts:
        head = _tell_verdict(head, verdict)
    return _derive(head._replace(resolved=known.resolved or resolved))


def compute_loss_minor(score: float | None, base_minor: int | None) -> int:
    """Score times amount, in minor units of the base currency; 0 where one of them is unknown."""
    return 0 if score is None or base_minor is None else round(score * base_minor)


def find_case_state(head: Head) -> CaseState | None:
    """None: nobody has to look at it."""
    if head.revision is None or head.revision < REVISION_FULL:
        return None
    if head.outcome == EXPIRED:
        return "resolved" if head.resolved else "expired"
    if head.outcome is not None:
        return "resolved"
    if head.decision not in REVIEWABLE:
        return None
    if head.resolved:
        return "resolved"
    return "history" if head.history else "open"


def _tell_transaction(head: Head, told: TransactionChange) -> Head:
    if head.document is not None and head.ingest_ms is not None:
        known = told._replace(ingest_ms=head.ingest_ms, document=head.document)
        if rank_transaction(known) <= rank_transaction(told):
            return head
    return head._replace(
        event_ms=told.event_ms,
        ingest_ms=told.ingest_ms,
        base_minor=told.base_minor,
        history=told.history,
        document=told.document,
    )


def _tell_verdict(head: Head, told: VerdictChange) -> Head:
    if head.revision is not None and told.revision < head.revision:
        return head
    return head._replace(
        # the transaction's own word counts; both say the same
        event_ms=told.event_ms if head.document is None else head.event_ms,
        revision=told.revision,
        decision=told.decision,
        score=told.score,
        outcome=told.outcome,
        scored_ms=told.scored_ms,
        hold_ms=told.hold_ms,
    )


def _derive(head: Head) -> Head:
    state = find_case_state(head)
    due = {"open": head.hold_ms if head.decision == "hold" else None, "expired": head.scored_ms}
    return head._replace(
        case_state=state,
        loss_minor=compute_loss_minor(head.score, head.base_minor),
        due_ms=None if state is None else due.get(state),
    )
