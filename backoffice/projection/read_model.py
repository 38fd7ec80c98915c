"""The read model as other rooms ask it: implements ports.ReadModel over SQL."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from backoffice.projection import case_queries, entity_queries, feed_queries, operation_queries
from backoffice.projection.lines import choose_ids, load_known
from backoffice.projection.ports import COUNT_STEPS_MAX
from backoffice.projection.ranges import make_cut, make_span
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
from backoffice.projection.store import ReadModelStore
from backoffice.projection.tables import ERASURES
from contract.alarms import Alarm
from contract.clock import Clock, to_epoch_ms
from contract.status.words import Heard
from contract.verdicts import Decision


class SqlReadModel:
    """See ports.ReadModel."""

    def __init__(self, store: ReadModelStore, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def find_transaction(self, retailer: str, transaction_id: str) -> KnownTransaction | None:
        with self._store.begin() as connection:
            return load_known(connection, retailer, transaction_id)

    def is_erased(self, retailer: str, transaction_id: str) -> bool:
        chosen = sa.select(ERASURES.c.transaction_id).where(choose_ids(ERASURES, retailer, [transaction_id]))
        with self._store.begin() as connection:
            return connection.scalar(chosen) is not None

    def list_transactions(
        self, retailer: str, *, since: datetime, until: datetime, after: str | None = None, limit: int = 50
    ) -> Page[TransactionLine]:
        with self._store.begin() as connection:
            return feed_queries.list_transactions(connection, retailer, make_span(since, until), make_cut(after, limit))

    def list_verdicts_after(self, retailer: str, cursor: str | None, limit: int = 100) -> VerdictPage:
        with self._store.begin() as connection:
            return feed_queries.list_verdicts_after(connection, retailer, cursor, make_cut(None, limit).limit)

    def find_feed_end(self, retailer: str) -> str:
        with self._store.begin() as connection:
            return feed_queries.find_feed_end(connection, retailer, to_epoch_ms(self._clock.now()))

    def list_cases(
        self, retailer: str, query: CaseQuery, *, after: str | None = None, limit: int = 50
    ) -> Page[TransactionLine]:
        with self._store.begin() as connection:
            return case_queries.list_cases(connection, retailer, query, make_cut(after, limit))

    def count_cases(self, retailer: str) -> tuple[CaseCount, ...]:
        with self._store.begin() as connection:
            return case_queries.count_cases(connection, retailer)

    def count_expired(self, retailer: str, since: datetime, until: datetime) -> int:
        with self._store.begin() as connection:
            return case_queries.count_expired(connection, retailer, make_span(since, until))

    def list_resolved(
        self, retailer: str, *, since: datetime, until: datetime, after: str | None = None, limit: int = 50
    ) -> Page[ResolvedCase]:
        with self._store.begin() as connection:
            return case_queries.list_resolved(connection, retailer, make_span(since, until), make_cut(after, limit))

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
        with self._store.begin() as connection:
            return entity_queries.list_history(
                connection, retailer, entity, make_cut(after, limit), at_ms=to_epoch_ms(at), later=later
            )

    def summarise_entity(self, retailer: str, entity: Entity, *, since: datetime, until: datetime) -> EntitySummary:
        with self._store.begin() as connection:
            return entity_queries.summarise(connection, retailer, entity, make_span(since, until))

    def find_neighbours(self, retailer: str, entity: Entity, *, depth: int = 1) -> Neighbourhood:
        with self._store.begin() as connection:
            return entity_queries.find_neighbours(connection, retailer, entity, depth)

    def list_alarms(self, retailer: str, *, after: str | None = None, limit: int = 50) -> Page[Alarm]:
        with self._store.begin() as connection:
            return operation_queries.list_alarms(connection, retailer, make_cut(after, limit))

    def list_processes(self, retailer: str, since: datetime) -> tuple[Heard, ...]:
        with self._store.begin() as connection:
            return operation_queries.list_processes(connection, retailer, to_epoch_ms(since))

    def count_dead_letters(self, retailer: str) -> tuple[LetterCount, ...]:
        with self._store.begin() as connection:
            return operation_queries.count_dead_letters(connection, retailer)

    def list_dead_letters(
        self,
        retailer: str,
        *,
        reason: str | None = None,
        part: str | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[StoredLetter]:
        with self._store.begin() as connection:
            return operation_queries.list_dead_letters(connection, retailer, reason, part, make_cut(after, limit))

    def measure_latencies(self, retailer: str, since: datetime, until: datetime) -> Latencies:
        with self._store.begin() as connection:
            return operation_queries.measure_latencies(connection, retailer, make_span(since, until))

    def count_decisions(
        self,
        retailer: str,
        since: datetime,
        until: datetime,
        *,
        step_minutes: int = 1,
        decision: Decision | None = None,
    ) -> tuple[DecisionCount, ...]:
        if step_minutes < 1 or (until - since) / timedelta(minutes=step_minutes) > COUNT_STEPS_MAX:
            raise ValueError(f"a series has 1 to {COUNT_STEPS_MAX} steps of at least a minute")
        with self._store.begin() as connection:
            return operation_queries.count_decisions(
                connection, retailer, make_span(since, until), step_minutes, decision
            )
