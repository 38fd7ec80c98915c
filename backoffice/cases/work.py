"""Case work in the database: locks and notes. Every change stands in one transaction with its audit entry.

Invariant: at any moment at most one person holds a case, whatever threads and processes ask at once.
"""

import secrets
from collections.abc import Iterable, Mapping

import sqlalchemy as sa

from backoffice.accounts.permissions import Action
from backoffice.accounts.principal import Principal
from backoffice.audit.trail import AuditTrail
from backoffice.cases.locks import LOCK_FOR, LOCKS_MAX, CaseLock, describe
from backoffice.cases.results import CaseNote
from backoffice.cases.tables import LOCKS, NOTES
from backoffice.refusals import StateConflictError
from contract.clock import Clock, from_epoch_ms, to_epoch_ms
from runtime.database import Database

NOTES_MAX = 200
"""Of one case: a loop gone wrong fills no table."""
_ENSURE = sa.text(
    "INSERT INTO case_locks (retailer, transaction_id, holder_kind, holder_id, holder_name, taken_ms, until_ms) "
    "VALUES (:retailer, :transaction_id, '', '', '', 0, 0) ON CONFLICT DO NOTHING"
)


class CaseWork:
    """Used by any number of threads and processes. Every method raises TransientError."""

    def __init__(self, database: Database, trail: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    def take(self, by: Principal, retailer: str, transaction_id: str) -> CaseLock:
        """The case for `by` alone, for LOCK_FOR; extends what `by` has already.

        Raises StateConflictError where another has it, or `by` has LOCKS_MAX others.
        """
        with self._database.begin() as connection:
            lock = take_with(connection, self._clock, by, retailer, transaction_id)
            if _count_held(connection, self._clock, by, retailer) > LOCKS_MAX:
                raise StateConflictError("too_many", f"you hold {LOCKS_MAX} cases: decide or release some first")
            self._trail.record_with(connection, by.who, retailer, Action.TAKE_CASES, f"case:{transaction_id}")
        return lock

    def release(self, by: Principal, retailer: str, transaction_id: str) -> bool:
        """Gives the case back; False where `by` did not have it."""
        now_ms = to_epoch_ms(self._clock.now())
        held = _one(retailer, transaction_id) & (LOCKS.c.holder_id == by.principal_id) & (LOCKS.c.until_ms > now_ms)
        with self._database.begin() as connection:
            if not connection.execute(LOCKS.update().where(held).values(until_ms=0)).rowcount:
                return False
            details = {"released": True}
            self._trail.record_with(
                connection, by.who, retailer, Action.TAKE_CASES, f"case:{transaction_id}", details=details
            )
        return True

    def find_locks(self, retailer: str, transaction_ids: Iterable[str]) -> Mapping[str, CaseLock]:
        """Valid locks by transaction."""
        named = LOCKS.c.transaction_id.in_(list(transaction_ids))
        valid = (LOCKS.c.retailer == retailer) & named & (LOCKS.c.until_ms > to_epoch_ms(self._clock.now()))
        with self._database.begin() as connection:
            rows = connection.execute(LOCKS.select().where(valid)).all()
        return {row.transaction_id: _as_lock(row) for row in rows}

    def note(self, by: Principal, retailer: str, transaction_id: str, text: str) -> CaseNote:
        """Adds a note; raises StateConflictError where the case has NOTES_MAX."""
        with self._database.begin() as connection:
            note = note_with(connection, self._clock, by, retailer, transaction_id, text=text)
            self._trail.record_with(connection, by.who, retailer, Action.NOTE_CASES, f"case:{transaction_id}")
        return note

    def list_notes(self, retailer: str, transaction_id: str) -> tuple[CaseNote, ...]:
        """The earliest first."""
        chosen = NOTES.select().where(_notes_of(retailer, transaction_id))
        with self._database.begin() as connection:
            rows = connection.execute(chosen.order_by(NOTES.c.noted_ms, NOTES.c.note_id)).all()
        return tuple(
            CaseNote(note_id=row.note_id, text=row.text, by=row.who_name, noted_at=from_epoch_ms(row.noted_ms))
            for row in rows
        )


def take_with(connection: sa.Connection, clock: Clock, by: Principal, retailer: str, transaction_id: str) -> CaseLock:
    """The lock in the caller's transaction, which others that ask for the same case wait for."""
    now = clock.now()
    now_ms = to_epoch_ms(now)
    connection.execute(_ENSURE, {"retailer": retailer, "transaction_id": transaction_id})
    is_own = (LOCKS.c.holder_id == by.principal_id) & (LOCKS.c.until_ms > now_ms)
    free = _one(retailer, transaction_id) & ((LOCKS.c.until_ms <= now_ms) | is_own)
    taken = (
        LOCKS.update()
        .where(free)
        .values(
            holder_kind=by.kind,
            holder_id=by.principal_id,
            holder_name=by.name,
            taken_ms=sa.case((is_own, LOCKS.c.taken_ms), else_=now_ms),
            until_ms=to_epoch_ms(now + LOCK_FOR),
        )
    )
    is_taken = connection.execute(taken).rowcount
    lock = _as_lock(connection.execute(LOCKS.select().where(_one(retailer, transaction_id))).one())
    if not is_taken:
        raise StateConflictError("locked", describe(lock))
    return lock


def release_with(connection: sa.Connection, retailer: str, transaction_id: str) -> None:
    """Ends whatever lock there is, in the caller's transaction."""
    connection.execute(LOCKS.update().where(_one(retailer, transaction_id)).values(until_ms=0))


def note_with(
    connection: sa.Connection, clock: Clock, by: Principal, retailer: str, transaction_id: str, *, text: str
) -> CaseNote:
    """A note in the caller's transaction."""
    count = sa.select(sa.func.count()).select_from(NOTES).where(_notes_of(retailer, transaction_id))
    if (connection.scalar(count) or 0) >= NOTES_MAX:
        raise StateConflictError("too_many", f"the case has {NOTES_MAX} notes")
    note = CaseNote(note_id=secrets.token_hex(12), text=text, by=by.name, noted_at=clock.now())
    connection.execute(
        NOTES.insert().values(
            note_id=note.note_id,
            retailer=retailer,
            transaction_id=transaction_id,
            text=text,
            who_kind=by.kind,
            who_id=by.principal_id,
            who_name=by.name,
            noted_ms=to_epoch_ms(note.noted_at),
        )
    )
    return note


def _one(retailer: str, transaction_id: str) -> sa.ColumnElement[bool]:
    return (LOCKS.c.retailer == retailer) & (LOCKS.c.transaction_id == transaction_id)


def _notes_of(retailer: str, transaction_id: str) -> sa.ColumnElement[bool]:
    return (NOTES.c.retailer == retailer) & (NOTES.c.transaction_id == transaction_id)


def _count_held(connection: sa.Connection, clock: Clock, by: Principal, retailer: str) -> int:
    held = (LOCKS.c.holder_id == by.principal_id) & (LOCKS.c.until_ms > to_epoch_ms(clock.now()))
    chosen = sa.select(sa.func.count()).select_from(LOCKS).where(held, LOCKS.c.retailer == retailer)
    return connection.scalar(chosen) or 0


def _as_lock(row: sa.Row[tuple[object, ...]]) -> CaseLock:
    return CaseLock(
        holder_id=row.holder_id,
        by=row.holder_name,
        taken_at=from_epoch_ms(row.taken_ms),
        until=from_epoch_ms(row.until_ms),
    )
