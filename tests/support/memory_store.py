"""In-memory ports of the engine: windows by the reference implementation, cases, rules. They fail when told to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from contract.verdicts import REVISION_FULL
from contract.windows import ENTITY_NAMES
from scoring.engine.answers import read_answer
from scoring.ports import (
    Answer,
    Applied,
    Case,
    ListHit,
    NewCase,
    RevisionConflictError,
    SnoozeHit,
    StoreUnavailableError,
    WindowUpdate,
)
from support.breaker import Breaker
from support.reference import Reference


@dataclass
class Sight:
    """First-sight record."""

    applied_seq: int
    digest: bytes
    aggregates: list[float]
    model_version: str
    rules_version: str
    marks: tuple[ListHit, ...]
    snoozes: tuple[SnoozeHit, ...]


@dataclass
class MemoryStore:
    """WindowStore and its records. `broken` refuses to send, `silent` applies and never answers, `deaf` loses what is sent."""

    sights: dict[str, Sight] = field(default_factory=dict)
    marks: dict[tuple[str, str], str] = field(default_factory=dict)
    """(entity, value) → mark."""
    snoozes: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """(entity, value) → rules."""
    broken: bool = False
    silent: bool = False
    deaf: bool = False
    on_wait: Callable[[float], None] = lambda _timeout_s: None
    timeouts_s: list[float] = field(default_factory=list)
    reference: Reference = field(default_factory=Reference)
    batches: int = 0

    def send(
        self,
        window_updates: Sequence[WindowUpdate],
        model_version: str,
        rules_version: str,
        others: Mapping[int, str] | None = None,
    ) -> "MemoryTicket":
        if self.broken:
            raise StoreUnavailableError("told to fail")
        self.batches += 1
        if self.deaf:
            return MemoryTicket(self, None)
        versions = [(others or {}).get(place, model_version) for place in range(len(window_updates))]
        return MemoryTicket(self, self.apply(window_updates, versions, rules_version))

    def apply(
        self, window_updates: Sequence[WindowUpdate], model_versions: Sequence[str], rules_version: str
    ) -> Applied:
        """What the store answers."""
        rows: list[Sight] = []
        first: list[bool] = []
        for window_update, model_version in zip(window_updates, model_versions, strict=True):
            known = self.sights.get(window_update.transaction_id)
            first.append(known is None)
            if known is None:
                seq = len(self.sights) + 1
                known = Sight(
                    seq,
                    window_update.digest,
                    self.reference.apply(seq, window_update),
                    model_version,
                    rules_version,
                    self._marks_of(window_update),
                    self._snoozes_of(window_update),
                )
                self.sights[window_update.transaction_id] = known
            elif not known.model_version and model_version:
                known.model_version, known.rules_version, known.digest = (
                    model_version,
                    rules_version,
                    window_update.digest,
                )
            rows.append(known)
        return Applied(
            applied_seq=np.array([row.applied_seq for row in rows], dtype=np.int64),
            first=np.array(first, dtype=np.bool_),
            conflict=np.array(
                [row.digest != one.digest for row, one in zip(rows, window_updates, strict=True)], dtype=np.bool_
            ),
            aggregates=np.array([row.aggregates for row in rows], dtype=np.float64),
            model_versions=[row.model_version for row in rows],
            rules_versions=[row.rules_version for row in rows],
            marks=[row.marks for row in rows],
            snoozes=[row.snoozes for row in rows],
        )

    def _marks_of(self, window_update: WindowUpdate) -> tuple[ListHit, ...]:
        pairs = zip(ENTITY_NAMES, window_update.entities, strict=True)
        return tuple(
            ListHit(name, self.marks[name, value])
            for name, value in pairs
            if value is not None and (name, value) in self.marks
        )

    def _snoozes_of(self, window_update: WindowUpdate) -> tuple[SnoozeHit, ...]:
        named = zip(ENTITY_NAMES, window_update.entities, strict=True)
        return tuple(
            SnoozeHit(name, rule) for name, value in named for rule in self.snoozes.get((name, value or ""), ())
        )


class MemoryTicket:
    def __init__(self, store: MemoryStore, applied: Applied | None) -> None:
        self._store = store
        self._applied = applied

    def wait(self, timeout_s: float) -> Applied:
        self._store.timeouts_s.append(timeout_s)
        self._store.on_wait(timeout_s)
        if self._applied is None or self._store.silent:
            raise StoreUnavailableError("told to fail")
        return self._applied


@dataclass
class MemoryCases:
    """CaseStore."""

    newest: dict[str, Case] = field(default_factory=dict)
    causes: dict[tuple[str, str], bytes] = field(default_factory=dict)
    first: dict[str, bytes] = field(default_factory=dict)
    """Verdicts as they were before they were resolved."""
    breaker: Breaker | None = None
    now_ms: Callable[[], int] = lambda: 0
    broken: bool = False

    def _check(self) -> None:
        if self.broken:
            raise StoreUnavailableError("told to fail")

    def open(self, cases: Sequence[NewCase], passed: int = 0) -> list[Answer]:
        self._check()
        if passed:
            self.count_passed(passed)
        return [self._open(case) for case in cases]

    def _open(self, new: NewCase) -> Answer:
        known = self.newest.get(new.transaction_id)
        if known is not None:
            return read_answer(known.verdict if known.revision == REVISION_FULL else self.first[new.transaction_id])
        answer, open_until = new.wanted, new.open_until
        if new.otherwise is not None and self.breaker is not None and not self.breaker.admits(self.now_ms()):
            answer, open_until = new.otherwise, None
        self.newest[new.transaction_id] = Case(new.transaction_id, REVISION_FULL, answer.verdict, open_until)
        return answer

    def count_passed(self, transactions: int) -> None:
        self._check()
        if self.breaker is not None:
            self.breaker.passed(transactions, self.now_ms())

    def get(self, transaction_id: str) -> Case | None:
        self._check()
        return self.newest.get(transaction_id)

    def close(self, case: Case, *, expected_revision: int, cause_id: str) -> bytes:
        self._check()
        if (case.transaction_id, cause_id) in self.causes:
            return self.causes[case.transaction_id, cause_id]
        known = self.newest.get(case.transaction_id)
        if known is None or known.revision != expected_revision:
            raise RevisionConflictError
        if known.revision == 1:
            self.first.setdefault(case.transaction_id, known.verdict)
        self.newest[case.transaction_id] = case
        self.causes[case.transaction_id, cause_id] = case.verdict
        return case.verdict

    def list_expired(self, now: datetime, limit: int) -> list[Case]:
        self._check()
        due = [(case.open_until, case) for case in self.newest.values() if case.open_until is not None]
        return [case for until, case in sorted(due, key=lambda pair: pair[0]) if until <= now][:limit]


@dataclass
class MemoryRules:
    """RulesArchive."""

    sources: dict[str, str] = field(default_factory=dict)
    broken: bool = False

    def keep(self, version: str, source: str) -> None:
        if self.broken:
            raise StoreUnavailableError("told to fail")
        self.sources[version] = source

    def find(self, version: str) -> str | None:
        if self.broken:
            raise StoreUnavailableError("told to fail")
        return self.sources.get(version)
