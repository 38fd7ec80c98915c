"""One retailer's desk: the queue, one case with all that belongs to it, and decisions. Asks the read model, writes case work."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from backoffice.accounts.principal import Principal
from backoffice.cases.decisions import CaseDecisions
from backoffice.cases.entities import EntityDesk
from backoffice.cases.figures import summarise
from backoffice.cases.locks import CaseLock
from backoffice.cases.queue import measure_left_s, sort_queue, weigh
from backoffice.cases.results import CaseDecision, CaseLine, CaseNote, CasePage, CaseRecord, CaseView, DeskFigures
from backoffice.cases.story import list_earlier, list_entities, tell_timeline
from backoffice.cases.texts import NOTE_MAX, find_fault
from backoffice.cases.wishes import DecisionAsked, build_wish, check_decidable
from backoffice.cases.work import CaseWork
from backoffice.projection.ports import PAGE_MAX, ReadModel
from backoffice.projection.results import CaseQuery, Entity, KnownTransaction, TransactionLine
from backoffice.refusals import InvalidInputError, StateConflictError, UnknownObjectError
from contract.clock import Clock
from contract.events import Label

TRIES_MAX = 10
"""Pages of the queue that a search for the next case looks at."""
COUNTED_MAX = 5_000
"""Decisions that figures are made of."""
BULK_MAX = 100


class Desk:
    """Safe for threads. Every method raises TransientError; those about one case UnknownObjectError."""

    def __init__(
        self,
        retailer: str,
        read_model: ReadModel,
        work: CaseWork,
        decisions: CaseDecisions,
        *,
        entities: EntityDesk,
        clock: Clock,
        base_currency: str,
    ) -> None:
        self.retailer = retailer
        self.entities = entities
        self.decisions = decisions
        self._read_model = read_model
        self._work = work
        self._clock = clock
        self._base_currency = base_currency

    def list_cases(self, query: CaseQuery, *, after: str | None = None, limit: int = 50) -> CasePage:
        """A page of the queue, by the query's order."""
        page = self._read_model.list_cases(self.retailer, query, after=after, limit=limit)
        return CasePage(cases=self._tell(page.items), next=page.next, base_currency=self._base_currency)

    def list_pressing(self, query: CaseQuery, *, limit: int = 50) -> CasePage:
        """The top of the queue by expected loss and time left: of the greatest losses, and of the holds that expire first."""
        chosen = sort_queue(self._list_candidates(query, None), self._clock.now())[:limit]
        return CasePage(cases=self._tell(chosen), next=None, base_currency=self._base_currency)

    def take_next(self, by: Principal) -> str | None:
        """The most pressing case that nobody has, for `by` alone; None where there is none."""
        query, after = CaseQuery(), None
        for _ in range(TRIES_MAX):
            page = self._read_model.list_cases(self.retailer, query, after=after, limit=PAGE_MAX)
            candidates = page.items if after else (*page.items, *self._list_urgent(query))
            if (found := self._take_first(by, sort_queue(candidates, self._clock.now()))) is not None:
                return found
            if (after := page.next) is None:
                return None
        return None

    def take(self, by: Principal, transaction_id: str) -> CaseLock:
        """One case for `by` alone, or for longer; raises StateConflictError where another has it, or it is decided."""
        check_decidable(self._find(transaction_id))
        if (standing := self.decisions.find_standing(self.retailer, [transaction_id]).get(transaction_id)) is not None:
            raise StateConflictError("decided", f"{standing.by} decided this case: {standing.outcome}")
        return self._work.take(by, self.retailer, transaction_id)

    def release(self, by: Principal, transaction_id: str) -> bool:
        """False where `by` did not have it."""
        self._find(transaction_id)
        return self._work.release(by, self.retailer, transaction_id)

    def note(self, by: Principal, transaction_id: str, text: str) -> CaseNote:
        """Adds a note; raises InvalidInputError for a text that cannot be kept."""
        if fault := find_fault("/text", text, NOTE_MAX):
            raise InvalidInputError([fault])
        self._find(transaction_id)
        return self._work.note(by, self.retailer, transaction_id, text)

    def view(self, transaction_id: str) -> CaseView:
        """All that one screen needs."""
        known = self._find(transaction_id)
        now = self._clock.now()
        record = self._load_record(transaction_id)
        named = list_entities(known.line.transaction)
        until = now if known.line.transaction is None else known.line.transaction.event_time
        histories = {each.kind: self._list_before(each, until) for each in named}
        return CaseView(
            case=self._tell([known.line])[0],
            version=make_version(known, record.decisions),
            base_currency=self._base_currency,
            verdicts=known.verdicts,
            resolutions=known.resolutions,
            entities=self.entities.tell_strips(named, until + timedelta(milliseconds=1)),
            earlier=list_earlier(histories, transaction_id, now),
            work=record,
            timeline=tell_timeline(known, record),
        )

    def decide(
        self,
        by: Principal,
        transaction_id: str,
        asked: DecisionAsked,
        *,
        request_key: str | None = None,
        version: str | None = None,
    ) -> CaseDecision:
        """Writes down a decision with all that follows from it; sending it is the outbox's.

        Args:
            by: who decides.
            transaction_id: the case.
            asked: what is asked for.
            request_key: names the request; the same again is told the same decision.
            version: what the one who decides has seen, or None for whatever there is.

        Raises InvalidInputError; StateConflictError where another has the case, it is decided, or `version` is not what it is now
        (code `changed`).
        """
        again = self.decisions.find_again(by, self.retailer, transaction_id, request_key)
        if again is not None:
            return again
        known = self._find(transaction_id)
        if version is not None:
            made = self.decisions.list_of_case(self.retailer, transaction_id)
            if version != make_version(known, made):
                raise StateConflictError("changed", "the case changed since it was read; read it again")
        wish = build_wish(asked, check_decidable(known), by, self._clock.now(), request_key)
        return self.decisions.decide(by, self.retailer, wish)

    def find_open_ids(self, entity: Entity) -> tuple[list[str], bool]:
        """Open cases of an entity, the greatest loss first, BULK_MAX at most; and whether there are more."""
        query = CaseQuery(entity=entity)
        page = self._read_model.list_cases(self.retailer, query, limit=BULK_MAX)
        return [line.transaction_id for line in page.items], page.next is not None

    def measure(self, since: datetime, until: datetime, by: Principal | None) -> DeskFigures:
        """Figures of [since, until); `by`: of one person."""
        who_id = None if by is None else by.principal_id
        handled = self.decisions.list_decided(self.retailer, since, until, who_id=who_id, limit=COUNTED_MAX)
        labels: dict[str, Sequence[Label]] = {}
        after = None
        for _ in range(COUNTED_MAX // PAGE_MAX):
            page = self._read_model.list_resolved(self.retailer, since=since, until=until, after=after, limit=PAGE_MAX)
            labels |= {each.line.transaction_id: each.line.labels for each in page.items}
            if (after := page.next) is None:
                break
        return summarise(
            handled,
            labels,
            since=since,
            until=until,
            now=self._clock.now(),
            by=None if by is None else by.name,
            expired_unseen=self._read_model.count_expired(self.retailer, since, until),
            capped=len(handled) == COUNTED_MAX,
        )

    def describe_winner(self, transaction_id: str, but: str) -> str | None:
        """Whose resolution came first, where it is known by now and is not `but`."""
        known = self._read_model.find_transaction(self.retailer, transaction_id)
        others = [] if known is None else [each for each in known.resolutions if each.resolution_id != but]
        return f"{others[0].actor} decided this case: {others[0].outcome}" if others else None

    def _find(self, transaction_id: str) -> KnownTransaction:
        known = self._read_model.find_transaction(self.retailer, transaction_id)
        if known is None or known.line.verdict is None:
            raise UnknownObjectError("no such case")
        return known

    def _load_record(self, transaction_id: str) -> CaseRecord:
        return CaseRecord(
            lock=self._work.find_locks(self.retailer, [transaction_id]).get(transaction_id),
            decisions=self.decisions.list_of_case(self.retailer, transaction_id),
            notes=self._work.list_notes(self.retailer, transaction_id),
            marks=self.decisions.list_marks(self.retailer, transaction_id),
        )

    def _list_before(self, entity: Entity, until: datetime) -> Sequence[TransactionLine]:
        return self._read_model.list_entity_history(self.retailer, entity, at=until, limit=50).items

    def _list_candidates(self, query: CaseQuery, after: str | None) -> tuple[TransactionLine, ...]:
        page = self._read_model.list_cases(self.retailer, query, after=after, limit=PAGE_MAX)
        return (*page.items, *self._list_urgent(query))

    def _list_urgent(self, query: CaseQuery) -> tuple[TransactionLine, ...]:
        if query.state != "open":
            return ()
        urgent = msgspec.structs.replace(query, order="time_left", due_after=self._clock.now())
        return self._read_model.list_cases(self.retailer, urgent, limit=PAGE_MAX).items

    def _take_first(self, by: Principal, lines: Sequence[TransactionLine]) -> str | None:
        """Not what `by` has already: that is no next one."""
        ids = [line.transaction_id for line in lines]
        locks = self._work.find_locks(self.retailer, ids)
        standing = self.decisions.find_standing(self.retailer, ids)
        for line in lines:
            over = measure_left_s(line, self._clock.now()) == 0.0
            if over or line.transaction_id in locks or line.transaction_id in standing:
                continue
            try:
                self._work.take(by, self.retailer, line.transaction_id)
            except StateConflictError as error:
                if error.code != "locked":
                    raise
                continue  # another was faster
            return line.transaction_id
        return None

    def _tell(self, lines: Iterable[TransactionLine]) -> tuple[CaseLine, ...]:
        lines, now = tuple(lines), self._clock.now()
        ids = [line.transaction_id for line in lines]
        locks = self._work.find_locks(self.retailer, ids)
        standing = self.decisions.find_standing(self.retailer, ids)
        return tuple(
            CaseLine(
                line=line,
                left_s=measure_left_s(line, now),
                priority_minor=round(weigh(line, now)),
                lock=locks.get(line.transaction_id),
                decision=standing.get(line.transaction_id),
            )
            for line in lines
        )


def make_version(known: KnownTransaction, decisions: Sequence[CaseDecision]) -> str:
    """What a case's version is: it changes when a verdict or a decision comes."""
    revision = known.line.verdict.revision if known.line.verdict is not None else "none"
    return f"{revision}.{len(decisions)}.{decisions[-1].state if decisions else 'open'}"
