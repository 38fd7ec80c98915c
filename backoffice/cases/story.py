"""What happened to a case, and how earlier cases of the same entities turned out. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from backoffice.cases.outcomes import is_right
from backoffice.cases.results import CaseRecord, EarlierDecision, TimelineEntry
from backoffice.projection.labels import find_holding
from backoffice.projection.results import Entity, KnownTransaction, TransactionLine
from contract.events import Label, Transaction
from contract.windows import ENTITY_NAMES

EARLIER_MAX = 20
OWN_SOURCES = frozenset({"analyst", "step_up"})
"""Labels that resolutions make: they say what was decided, not whether that was right."""
EXPIRED = "expired"


def list_entities(transaction: Transaction | None) -> tuple[Entity, ...]:
    """Those that a transaction names and windows count."""
    named = [(kind, getattr(transaction, kind, None)) for kind in ENTITY_NAMES]
    return tuple(Entity(kind, token) for kind, token in named if token)


def find_truth(labels: Sequence[Label], now: datetime) -> bool | None:
    """Whether it was fraud, as others than the desk say; None where nobody does."""
    found = find_holding([label for label in labels if label.source not in OWN_SOURCES], now)
    return None if found is None else found.fraud


def list_earlier(
    histories: Mapping[str, Iterable[TransactionLine]], but: str, now: datetime
) -> tuple[EarlierDecision, ...]:
    """Decided cases among the histories of a case's entities, by kind; the newest first, EARLIER_MAX at most."""
    lines = {line.transaction_id: line for history in histories.values() for line in history}
    found = [
        _tell_earlier(line, outcome, _list_shared(histories, identity), now)
        for identity, line in lines.items()
        if identity != but and (outcome := _get_outcome(line)) is not None
    ]
    found.sort(key=lambda each: (each.decided_at, each.transaction_id), reverse=True)
    return tuple(found[:EARLIER_MAX])


def tell_timeline(known: KnownTransaction, record: CaseRecord) -> tuple[TimelineEntry, ...]:
    """All of it, the earliest first."""
    return tuple(sorted(_list_entries(known, record), key=lambda entry: entry.at))


def _get_outcome(line: TransactionLine) -> str | None:
    outcome = None if line.verdict is None else line.verdict.outcome
    return None if outcome == EXPIRED else outcome


def _list_shared(histories: Mapping[str, Iterable[TransactionLine]], identity: str) -> tuple[str, ...]:
    return tuple(
        kind for kind, history in histories.items() if any(line.transaction_id == identity for line in history)
    )


def _tell_earlier(line: TransactionLine, outcome: str, shares: tuple[str, ...], now: datetime) -> EarlierDecision:
    assert line.verdict is not None  # noqa: S101 - it has an outcome
    fraud = find_truth(line.labels, now)
    return EarlierDecision(
        transaction_id=line.transaction_id,
        shares=shares,
        outcome=outcome,
        decided_at=line.verdict.scored_at,
        fraud=fraud,
        right=None if fraud is None else is_right(outcome, fraud=fraud),
    )


def _list_entries(known: KnownTransaction, record: CaseRecord) -> Iterator[TimelineEntry]:
    if known.line.transaction is not None:
        yield TimelineEntry(at=known.line.transaction.event_time, kind="transaction", text="the customer acted")
    for verdict in known.verdicts:
        told = f"{verdict.decision} (revision {verdict.revision})"
        reason = verdict.reasons[0].text if verdict.reasons else ""
        yield TimelineEntry(at=verdict.scored_at, kind="verdict", text=f"{told}: {reason}" if reason else told)
    for resolution in known.resolutions:
        yield TimelineEntry(at=resolution.resolved_at, kind="resolution", text=resolution.outcome, by=resolution.actor)
    for label in known.line.labels:
        text = f"{'fraud' if label.fraud else 'genuine'}, by {label.source}"
        yield TimelineEntry(at=label.label_time, kind="label", text=text)
    for note in record.notes:
        yield TimelineEntry(at=note.noted_at, kind="note", text=note.text, by=note.by)
    for decision in record.decisions:
        text = decision.outcome if decision.reason is None else f"{decision.outcome}, refused: {decision.reason}"
        yield TimelineEntry(at=decision.decided_at, kind="decision", text=text, by=decision.by)
    if record.lock is not None:
        yield TimelineEntry(at=record.lock.taken_at, kind="taken", text="took the case", by=record.lock.by)
