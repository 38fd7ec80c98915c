"""What other rooms ask of the read model. Every call is bounded, filters by retailer, and raises TransientError."""

from datetime import datetime
from typing import Protocol

from backoffice.projection.results import (
    CaseCount,
    CaseQuery,
    DecisionCount,
    Entity,
    EntitySummary,
    KnownTransaction,
    Latencies,
    LetterCount,
    Neighbourhood,
    Page,
    ResolvedCase,
    StoredLetter,
    TransactionLine,
    VerdictPage,
)
from contract.alarms import Alarm
from contract.status.words import Heard
from contract.verdicts import Decision

PAGE_MAX = 200
"""Items of a page at most; a greater `limit` is taken as this."""
SUMMARY_MAX = 2_000
"""Transactions of an entity that a summary counts."""
DEGREE_MAX = 50
"""An entity with more transactions than these is named as a neighbour, and not looked into."""
NEIGHBOURS_MAX = 200
SAMPLE_MAX = 10_000
"""Verdicts that percentiles are taken of."""
COUNT_STEPS_MAX = 2_000
"""Steps of a series of counts."""


class ReadModel(Protocol):
    """Sync calls, safe from any thread. A `after` is the `next` of an earlier page; a strange one raises CursorError."""

    def find_transaction(self, retailer: str, transaction_id: str) -> KnownTransaction | None:
        """All that is known of it: every revision, label and resolution; None where nothing is."""
        ...

    def is_erased(self, retailer: str, transaction_id: str) -> bool:
        """Whether it was erased by `tillguard forget`, as long as that is remembered."""
        ...

    def list_transactions(
        self, retailer: str, *, since: datetime, until: datetime, after: str | None = None, limit: int = 50
    ) -> Page[TransactionLine]:
        """By event time in [since, until), the newest first."""
        ...

    def list_verdicts_after(self, retailer: str, cursor: str | None, limit: int = 100) -> VerdictPage:
        """Every revision in the order of arrival. A cursor from before a rebuild repeats some verdicts and leaves out none.

        Args:
            retailer: whose.
            cursor: of the page before; None begins with the oldest verdict that is kept.
            limit: verdicts at most.
        """
        ...

    def find_feed_end(self, retailer: str) -> str:
        """The cursor after which only verdicts to come follow."""
        ...

    def list_cases(
        self, retailer: str, query: CaseQuery, *, after: str | None = None, limit: int = 50
    ) -> Page[TransactionLine]:
        """A page of the queue."""
        ...

    def count_cases(self, retailer: str) -> tuple[CaseCount, ...]:
        """By state and decision, of what is not resolved."""
        ...

    def count_expired(self, retailer: str, since: datetime, until: datetime) -> int:
        """Holds that the hold policy ended in [since, until) and that nobody resolved since."""
        ...

    def list_resolved(
        self, retailer: str, *, since: datetime, until: datetime, after: str | None = None, limit: int = 50
    ) -> Page[ResolvedCase]:
        """Resolutions by resolved_at in [since, until), the newest first."""
        ...

    def list_entity_history(
        self,
        retailer: str,
        entity: Entity,
        *,
        at: datetime,
        later: bool = False,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[TransactionLine]:
        """Transactions that name the entity, from `at` back in time, or with `later` from `at` on in time."""
        ...

    def summarise_entity(self, retailer: str, entity: Entity, *, since: datetime, until: datetime) -> EntitySummary:
        """What it did by event time in [since, until)."""
        ...

    def find_neighbours(self, retailer: str, entity: Entity, *, depth: int = 1) -> Neighbourhood:
        """Entities that share transactions with it; `depth` is 1 or 2."""
        ...

    def list_alarms(self, retailer: str, *, after: str | None = None, limit: int = 50) -> Page[Alarm]:
        """The newest first."""
        ...

    def list_processes(self, retailer: str, since: datetime) -> tuple[Heard, ...]:
        """The newest heartbeat of each process that was heard since, by part and process."""
        ...

    def count_dead_letters(self, retailer: str) -> tuple[LetterCount, ...]:
        """By reason and part, the most frequent first."""
        ...

    def list_dead_letters(
        self,
        retailer: str,
        *,
        reason: str | None = None,
        part: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[StoredLetter]:
        """The newest first."""
        ...

    def measure_latencies(self, retailer: str, since: datetime, until: datetime) -> Latencies:
        """Percentiles of each stage over verdicts by scored_at in [since, until)."""
        ...

    def count_decisions(
        self,
        retailer: str,
        since: datetime,
        until: datetime,
        *,
        step_minutes: int = 1,
        decision: Decision | None = None,
    ) -> tuple[DecisionCount, ...]:
        """Verdicts of revision 0 and 1 by scored_at in [since, until), in steps; raises ValueError above COUNT_STEPS_MAX."""
        ...
