"""What one record changes: the record, read and checked, in the columns of the tables. Pure."""

from typing import NamedTuple


class TransactionChange(NamedTuple):
    """A transaction was told."""

    transaction_id: str
    event_ms: int
    ingest_ms: int
    base_minor: int | None
    history: bool
    """A snapshot or a replay read it: nobody waits for its verdict."""
    entities: tuple[tuple[str, str], ...]
    """Kind and token, each once."""
    document: str


class VerdictChange(NamedTuple):
    """A revision was told."""

    transaction_id: str
    revision: int
    event_ms: int
    scored_ms: int
    appended_ms: int
    decision: str
    score: float | None
    degraded: bool
    late: bool
    outcome: str | None
    hold_ms: int | None
    document: str


class LabelChange(NamedTuple):
    """A label was told."""

    transaction_id: str
    digest: str
    label_ms: int
    appended_ms: int
    offset: int
    document: str


class ResolutionChange(NamedTuple):
    """A resolution was told."""

    transaction_id: str
    resolution_id: str
    resolved_ms: int
    document: str


class AlarmChange(NamedTuple):
    """An alarm was raised."""

    alarm_id: str
    raised_ms: int
    document: str


class ProcessChange(NamedTuple):
    """A process said how it is."""

    part: str
    process: str
    appended_ms: int
    offset: int
    document: str


class LetterChange(NamedTuple):
    """A dead letter was told."""

    topic_id: str
    partition: int
    offset: int
    key: str | None
    reason: str
    part: str
    failed_ms: int
    document: str


class ErasureChange(NamedTuple):
    """A transaction is to be forgotten, with everything that belongs to it."""

    transaction_id: str
    appended_ms: int


class LetterErasureChange(NamedTuple):
    """Dead letters of this key that stand before this offset are taken back."""

    topic_id: str
    partition: int
    offset: int
    key: str


Change = (
    TransactionChange
    | VerdictChange
    | LabelChange
    | ResolutionChange
    | AlarmChange
    | ProcessChange
    | LetterChange
    | ErasureChange
    | LetterErasureChange
)


def is_older(change: Change, horizon_ms: int) -> bool:
    """Whether the change tells of something before the horizon, so that pruning would take it out again."""
    if isinstance(change, TransactionChange | VerdictChange):
        return change.event_ms < horizon_ms
    if isinstance(change, LabelChange | ProcessChange):
        return change.appended_ms < horizon_ms
    if isinstance(change, ResolutionChange):
        return change.resolved_ms < horizon_ms
    if isinstance(change, AlarmChange):
        return change.raised_ms < horizon_ms
    return isinstance(change, LetterChange) and change.failed_ms < horizon_ms
