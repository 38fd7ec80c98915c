"""Decisions in the database: written down before anything is sent, and marked once an answer was seen.

Invariant: a case has at most one decision that is not refused. Its resolution_id never changes, so that sending it again does no harm.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import sqlalchemy as sa

from backoffice.accounts.permissions import Action
from backoffice.accounts.principal import Principal
from backoffice.audit.chain import Details
from backoffice.audit.trail import AuditTrail
from backoffice.cases.marks import ListEntry, Snooze, describe_mark
from backoffice.cases.results import CaseDecision, CaseMark, HandledDecision
from backoffice.cases.tables import DECISIONS, MARKS
from backoffice.cases.wishes import Wish
from backoffice.cases.work import note_with, release_with, take_with
from backoffice.refusals import StateConflictError
from contract.clock import Clock, from_epoch_ms, to_epoch_ms
from runtime.database import Database

FIRST_SEND = timedelta(seconds=15)
"""For as long whoever decided sends it; afterwards the outbox does."""
RESEND_MAX = timedelta(minutes=5)
DETAIL_MAX = 512
PENDING, APPLIED, REFUSED = "pending", "applied", "refused"


class CaseDecisions:
    """Used by any number of threads and processes. Every method raises TransientError."""

    def __init__(self, database: Database, trail: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    def decide(self, by: Principal, retailer: str, wish: Wish) -> CaseDecision:
        """Writes down decision, note and marks, and releases the case.

        Raises StateConflictError where another person has the case, or it is decided already.
        """
        with self._database.begin() as connection:
            lock = take_with(connection, self._clock, by, retailer, wish.transaction_id)
            known = connection.execute(_of_case(retailer, wish.transaction_id)).all()
            standing = next((row for row in known if row.state != REFUSED), None)
            if standing is not None:
                decided = _as_decision(standing)
                raise StateConflictError(
                    "decided", f"{decided.by} decided this case: {decided.outcome} at {decided.decided_at:%H:%M:%S} UTC"
                )
            decision = self._insert(connection, by, retailer, wish, number=len(known), taken_at=lock.taken_at)
            if wish.note is not None:
                note_with(connection, self._clock, by, retailer, wish.transaction_id, text=wish.note)
            self._insert_marks(connection, retailer, wish, decision.decision_id)
            release_with(connection, retailer, wish.transaction_id)
            self._record(connection, by, retailer, wish)
        return decision

    def find_again(
        self, by: Principal, retailer: str, transaction_id: str, request_key: str | None
    ) -> CaseDecision | None:
        """What the same request of the same person decided before, whoever has the case since."""
        if request_key is None:
            return None
        c = DECISIONS.c
        same = (c.retailer == retailer) & (c.transaction_id == transaction_id) & (c.request_key == request_key)
        with self._database.begin() as connection:
            row = connection.execute(DECISIONS.select().where(same, c.who_id == by.principal_id)).one_or_none()
        return None if row is None else _as_decision(row)

    def list_of_case(self, retailer: str, transaction_id: str) -> tuple[CaseDecision, ...]:
        """The earliest first."""
        with self._database.begin() as connection:
            rows = connection.execute(_of_case(retailer, transaction_id)).all()
        return tuple(_as_decision(row) for row in rows)

    def find_standing(self, retailer: str, transaction_ids: Iterable[str]) -> Mapping[str, CaseDecision]:
        """Decisions that are not refused, by transaction."""
        named = DECISIONS.c.transaction_id.in_(list(transaction_ids))
        chosen = (DECISIONS.c.retailer == retailer) & named & (DECISIONS.c.state != REFUSED)
        with self._database.begin() as connection:
            rows = connection.execute(DECISIONS.select().where(chosen)).all()
        return {row.transaction_id: _as_decision(row) for row in rows}

    def list_due(self, retailer: str, until: datetime, limit: int) -> Sequence[CaseDecision]:
        """Decisions without an answer that are to be sent again by `until`, the longest waiting first."""
        c = DECISIONS.c
        due = (c.retailer == retailer) & (c.state == PENDING) & (c.next_ms <= to_epoch_ms(until))
        with self._database.begin() as connection:
            rows = connection.execute(DECISIONS.select().where(due).order_by(c.next_ms).limit(limit)).all()
        return [_as_decision(row) for row in rows]

    def note_send(self, retailer: str, decision: CaseDecision) -> None:
        """That it is sent now: the next time comes later and later, up to RESEND_MAX."""
        c = DECISIONS.c
        with self._database.begin() as connection:
            row = connection.execute(sa.select(c.sends).where(_one(retailer, decision))).one_or_none()
            if row is not None:
                later = min(FIRST_SEND * 2 ** min(row.sends, 10), RESEND_MAX)
                values = {"sends": row.sends + 1, "next_ms": to_epoch_ms(self._clock.now() + later)}
                connection.execute(DECISIONS.update().where(_one(retailer, decision)).values(values))

    def settle(
        self,
        retailer: str,
        decision: CaseDecision,
        *,
        revision: int | None = None,
        refusal: tuple[str, str] | None = None,
    ) -> CaseDecision:
        """The answer that was seen: a revision, or a dead letter's reason and detail. What is settled stays so."""
        values = {"state": APPLIED, "revision": revision, "settled_ms": to_epoch_ms(self._clock.now())}
        if refusal is not None:
            values |= {"state": REFUSED, "reason": refusal[0], "detail": refusal[1][:DETAIL_MAX]}
        pending = _one(retailer, decision) & (DECISIONS.c.state == PENDING)
        with self._database.begin() as connection:
            connection.execute(DECISIONS.update().where(pending).values(values))
            return _as_decision(connection.execute(DECISIONS.select().where(_one(retailer, decision))).one())

    def list_decided(
        self, retailer: str, since: datetime, until: datetime, *, who_id: str | None = None, limit: int
    ) -> Sequence[HandledDecision]:
        """Decisions made in [since, until), the newest first; `who_id`: of one person."""
        c = DECISIONS.c
        chosen = (c.retailer == retailer) & (c.decided_ms >= to_epoch_ms(since)) & (c.decided_ms < to_epoch_ms(until))
        if who_id is not None:
            chosen &= c.who_id == who_id
        with self._database.begin() as connection:
            rows = connection.execute(DECISIONS.select().where(chosen).order_by(c.decided_ms.desc()).limit(limit)).all()
        return [HandledDecision(_as_decision(row), (row.decided_ms - row.taken_ms) / 1000) for row in rows]

    def list_marks(self, retailer: str, transaction_id: str) -> tuple[CaseMark, ...]:
        """Those of one case, the earliest first."""
        chosen = (MARKS.c.retailer == retailer) & (MARKS.c.transaction_id == transaction_id)
        return self._list_marks(MARKS.select().where(chosen).order_by(MARKS.c.made_ms, MARKS.c.mark_id))

    def list_pending_marks(
        self, retailer: str, limit: int, *, decision_id: str | None = None, made_before: datetime | None = None
    ) -> tuple[CaseMark, ...]:
        """Marks that are not in force yet, the earliest first: of one decision, or those made before a moment."""
        chosen = (MARKS.c.retailer == retailer) & (MARKS.c.state == PENDING)
        if decision_id is not None:
            chosen &= MARKS.c.decision_id == decision_id
        if made_before is not None:
            chosen &= MARKS.c.made_ms <= to_epoch_ms(made_before)
        return self._list_marks(MARKS.select().where(chosen).order_by(MARKS.c.made_ms).limit(limit))

    def settle_mark(self, retailer: str, mark: CaseMark, refusal: str | None = None) -> None:
        """That a mark is in force, or why it is not."""
        chosen = (MARKS.c.retailer == retailer) & (MARKS.c.mark_id == mark.mark_id)
        values = {"state": APPLIED if refusal is None else REFUSED, "detail": refusal and refusal[:DETAIL_MAX]}
        with self._database.begin() as connection:
            connection.execute(MARKS.update().where(chosen).values(values))

    def _insert(
        self,
        connection: sa.Connection,
        by: Principal,
        retailer: str,
        wish: Wish,
        *,
        number: int,
        taken_at: datetime,
    ) -> CaseDecision:
        now = self._clock.now()
        values = {
            "retailer": retailer,
            "transaction_id": wish.transaction_id,
            "number": number,
            "decision_id": secrets.token_hex(12),
            "outcome": wish.outcome,
            "who_kind": by.kind,
            "who_id": by.principal_id,
            "who_name": by.name,
            "taken_ms": to_epoch_ms(taken_at),
            "decided_ms": to_epoch_ms(now),
            "request_key": wish.request_key,
            "state": PENDING,
            "next_ms": to_epoch_ms(now + FIRST_SEND),
            "sends": 0,
        }
        connection.execute(DECISIONS.insert().values(values))
        return _as_decision(connection.execute(_of_case(retailer, wish.transaction_id)).all()[-1])

    def _insert_marks(self, connection: sa.Connection, retailer: str, wish: Wish, decision_id: str) -> None:
        for mark in (wish.snooze, wish.entry):
            if mark is not None:
                values = {
                    "mark_id": secrets.token_hex(12),
                    "retailer": retailer,
                    "transaction_id": wish.transaction_id,
                    "decision_id": decision_id,
                    "document": msgspec.json.encode({"snooze" if mark is wish.snooze else "entry": mark}).decode(),
                    "made_ms": to_epoch_ms(self._clock.now()),
                    "state": PENDING,
                }
                connection.execute(MARKS.insert().values(values))

    def _record(self, connection: sa.Connection, by: Principal, retailer: str, wish: Wish) -> None:
        """One entry for each thing that follows from the decision, by the action that it needs."""
        about = f"case:{wish.transaction_id}"
        told: Details = {"outcome": wish.outcome, "note": wish.note is not None}
        self._trail.record_with(connection, by.who, retailer, Action.DECIDE_CASES, about, details=told)
        for action, mark in ((Action.SET_SNOOZES, wish.snooze), (Action.SET_LISTS, wish.entry)):
            if mark is not None:
                details = describe_mark(mark) | {"case": wish.transaction_id}
                about = f"{mark.entity.kind}:{mark.entity.token}"
                self._trail.record_with(connection, by.who, retailer, action, about, details=details)

    def _list_marks(self, statement: sa.Select[tuple[object, ...]]) -> tuple[CaseMark, ...]:
        with self._database.begin() as connection:
            return tuple(_as_mark(row) for row in connection.execute(statement).all())


class _Document(msgspec.Struct):
    snooze: Snooze | None = None
    entry: ListEntry | None = None


def _of_case(retailer: str, transaction_id: str) -> sa.Select[tuple[object, ...]]:
    c = DECISIONS.c
    chosen = (c.retailer == retailer) & (c.transaction_id == transaction_id)
    return DECISIONS.select().where(chosen).order_by(c.number)


def _one(retailer: str, decision: CaseDecision) -> sa.ColumnElement[bool]:
    return (DECISIONS.c.retailer == retailer) & (DECISIONS.c.decision_id == decision.decision_id)


def _as_decision(row: sa.Row[tuple[object, ...]]) -> CaseDecision:
    return CaseDecision(
        decision_id=row.decision_id,
        transaction_id=row.transaction_id,
        outcome=row.outcome,
        by=row.who_name,
        decided_at=from_epoch_ms(row.decided_ms),
        state=row.state,
        revision=row.revision,
        reason=row.reason,
        detail=row.detail,
    )


def _as_mark(row: sa.Row[tuple[object, ...]]) -> CaseMark:
    document = msgspec.json.decode(row.document, type=_Document)
    return CaseMark(
        mark_id=row.mark_id,
        decision_id=row.decision_id,
        snooze=document.snooze,
        entry=document.entry,
        made_at=from_epoch_ms(row.made_ms),
        state=row.state,
        detail=row.detail,
    )
