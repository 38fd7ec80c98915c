"""The changes of a batch, without what another change of the batch makes void. Pure.

Of two changes to the same thing one is chosen by what they say, not by which came first: the transaction that was read first at its
source, the resolution that was made first, the label that was appended last. So the order of records does not matter, nor
that a record comes twice.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from backoffice.projection.changes import (
    AlarmChange,
    Change,
    ErasureChange,
    LabelChange,
    LetterChange,
    LetterErasureChange,
    ProcessChange,
    ResolutionChange,
    TransactionChange,
    VerdictChange,
)

K = TypeVar("K")
C = TypeVar("C")


def rank_transaction(change: TransactionChange) -> tuple[int, str]:
    """The least holds: redelivery tells a transaction again, later; and scoring judged what came first."""
    return change.ingest_ms, change.document


def rank_verdict(change: VerdictChange) -> tuple[int, str, int]:
    """The least holds."""
    return change.scored_ms, change.document, change.appended_ms


def rank_newest(change: LabelChange | ProcessChange) -> tuple[int, int]:
    """The least holds: the one that came last."""
    return -change.appended_ms, -change.offset


def rank_resolution(change: ResolutionChange) -> tuple[int, str]:
    """The least holds."""
    return change.resolved_ms, change.document


def rank_alarm(change: AlarmChange) -> tuple[int, str]:
    """The least holds."""
    return change.raised_ms, change.document


@dataclass(slots=True)
class Gathered:
    """What a batch of records changes."""

    transactions: dict[str, TransactionChange] = field(default_factory=dict)
    verdicts: dict[tuple[str, int], VerdictChange] = field(default_factory=dict)
    labels: dict[tuple[str, str], LabelChange] = field(default_factory=dict)
    resolutions: dict[tuple[str, str], ResolutionChange] = field(default_factory=dict)
    alarms: dict[str, AlarmChange] = field(default_factory=dict)
    processes: dict[tuple[str, str], ProcessChange] = field(default_factory=dict)
    letters: dict[tuple[str, int, int], LetterChange] = field(default_factory=dict)
    erasures: dict[str, ErasureChange] = field(default_factory=dict)
    letter_erasures: dict[tuple[str, int, str], LetterErasureChange] = field(default_factory=dict)

    def list_ids(self) -> list[str]:
        """The transactions that are changed, in a fixed order."""
        keys = (*self.verdicts, *self.labels, *self.resolutions)
        return sorted({*self.transactions, *self.erasures, *(transaction_id for transaction_id, _ in keys)})

    def drop(self, erased: Iterable[str]) -> None:
        """Takes out what is told of these transactions."""
        gone = {*erased}
        for transaction_id in gone:
            self.transactions.pop(transaction_id, None)
        for told in (self.verdicts, self.labels, self.resolutions):
            _remove(told, gone)


def gather(changes: Iterable[Change]) -> Gathered:
    """What the changes come to; erasures are not applied to the rest yet, since earlier ones count too."""
    gathered = Gathered()
    for change in changes:
        _ADD[type(change)](gathered, change)
    _take_back(gathered)
    return gathered


def _choose(told: dict[K, C], key: K, change: C, rank: Callable[[C], Any]) -> None:
    known = told.get(key)
    if known is None or rank(change) < rank(known):
        told[key] = change


def _add_erasure(gathered: Gathered, change: ErasureChange) -> None:
    _choose(gathered.erasures, change.transaction_id, change, lambda each: -each.appended_ms)


def _add_letter_erasure(gathered: Gathered, change: LetterErasureChange) -> None:
    key = (change.topic_id, change.partition, change.key)
    _choose(gathered.letter_erasures, key, change, lambda each: -each.offset)


_ADD: dict[type, Callable[[Gathered, Any], None]] = {
    TransactionChange: lambda g, c: _choose(g.transactions, c.transaction_id, c, rank_transaction),
    VerdictChange: lambda g, c: _choose(g.verdicts, (c.transaction_id, c.revision), c, rank_verdict),
    LabelChange: lambda g, c: _choose(g.labels, (c.transaction_id, c.digest), c, rank_newest),
    ResolutionChange: lambda g, c: _choose(g.resolutions, (c.transaction_id, c.resolution_id), c, rank_resolution),
    AlarmChange: lambda g, c: _choose(g.alarms, c.alarm_id, c, rank_alarm),
    ProcessChange: lambda g, c: _choose(g.processes, (c.part, c.process), c, rank_newest),
    LetterChange: lambda g, c: g.letters.__setitem__((c.topic_id, c.partition, c.offset), c),
    ErasureChange: _add_erasure,
    LetterErasureChange: _add_letter_erasure,
}


def _take_back(gathered: Gathered) -> None:
    """Letters that an erasure of the same batch takes back."""
    for place, letter in list(gathered.letters.items()):
        erasure = gathered.letter_erasures.get((letter.topic_id, letter.partition, letter.key or ""))
        if letter.key is not None and erasure is not None and letter.offset < erasure.offset:
            del gathered.letters[place]


def _remove(told: dict[tuple[str, Any], Any], gone: set[str]) -> None:
    for key in [key for key in told if key[0] in gone]:
        del told[key]
