"""Proposals that wait for a second person, in the database.

Invariant: each step is taken once, by whoever comes first, and stands in the audit trail with it.
"""

import secrets
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from backoffice.accounts.approvals import (
    COMES_FROM,
    LEADS_TO,
    Proposal,
    Step,
    check_right,
    check_step,
    encode_document,
    hash_document,
)
from backoffice.accounts.permissions import APPROVABLE, Action
from backoffice.accounts.principal import Principal
from backoffice.audit.trail import AuditTrail
from backoffice.refusals import FieldFault, InvalidInputError, StateConflictError, UnknownObjectError
from contract.clock import Clock, from_epoch_ms, to_epoch_ms
from runtime.database import Database

LASTS = timedelta(days=1)
DOCUMENT_BYTES_MAX = 65_536
REASON_MAX = 512
LISTED_MAX = 200
APPROVALS = sa.Table(
    "approvals",
    sa.MetaData(),
    sa.Column("approval_id", sa.String(16), primary_key=True),
    sa.Column("retailer", sa.String(48)),
    sa.Column("action", sa.String(48)),
    sa.Column("document", sa.Text),
    sa.Column("document_sha256", sa.String(64)),
    sa.Column("reason", sa.String(REASON_MAX)),
    sa.Column("proposed_by_id", sa.String(64)),
    sa.Column("proposed_by", sa.String(128)),
    sa.Column("proposed_ms", sa.BigInteger),
    sa.Column("expires_ms", sa.BigInteger),
    sa.Column("state", sa.String(16)),
    sa.Column("approved_by", sa.String(128)),
    sa.Column("approved_ms", sa.BigInteger),
    sa.Column("ended_ms", sa.BigInteger),
)


class ApprovalStore:
    """Used by any number of threads and processes."""

    def __init__(self, database: Database, trail: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    def propose(
        self, by: Principal, retailer: str, action: Action, document: Mapping[str, Any], reason: str
    ) -> Proposal:
        """Asks for a second person; raises NotAllowedError, InvalidInputError, TransientError."""
        if action not in APPROVABLE:
            raise ValueError(f"{action} waits for no second person")
        check_right(action, retailer, by)
        encoded, now = encode_document(document), self._clock.now()
        _check(encoded, reason)
        row = {
            "approval_id": secrets.token_hex(8),
            "retailer": retailer,
            "action": action,
            "document": encoded.decode(),
            "document_sha256": hash_document(document),
            "reason": reason,
            "proposed_by_id": by.principal_id,
            "proposed_by": by.name,
            "proposed_ms": to_epoch_ms(now),
            "expires_ms": to_epoch_ms(now + LASTS),
            "state": "proposed",
        }
        with self._database.begin() as connection:
            connection.execute(APPROVALS.insert().values(**row))
            proposal = _read(connection, retailer, str(row["approval_id"]))
            self._record(connection, by, proposal)
        return proposal

    def approve(self, by: Principal, retailer: str, approval_id: str) -> Proposal:
        """The second person agrees. Raises UnknownObjectError, NotAllowedError, StateConflictError, TransientError."""
        values = {"approved_by": by.name, "approved_ms": to_epoch_ms(self._clock.now())}
        return self._take_step("approve", by, retailer, approval_id, values)

    def withdraw(self, by: Principal, retailer: str, approval_id: str) -> Proposal:
        """Whoever proposed it, or another with the right, wants it no more. Raises as `approve`."""
        return self._take_step("withdraw", by, retailer, approval_id, {"ended_ms": to_epoch_ms(self._clock.now())})

    def begin(self, by: Principal, retailer: str, approval_id: str) -> Proposal:
        """To be called right before it is done: who comes second is refused, and so is what was changed. Raises as `approve`.

        A process that is killed between this and `finish` leaves it `applying`: look whether it was done, and propose it again if not.
        """
        return self._take_step("apply", by, retailer, approval_id, {})

    def finish(self, by: Principal, retailer: str, approval_id: str, *, done: bool) -> Proposal:
        """What became of it, after `begin`. Raises UnknownObjectError, StateConflictError, TransientError."""
        state = "applied" if done else "failed"
        chosen = _choose(retailer, approval_id) & (APPROVALS.c.state == "applying")
        values = {"state": state, "ended_ms": to_epoch_ms(self._clock.now())}
        with self._database.begin() as connection:
            changed = connection.execute(APPROVALS.update().where(chosen).values(**values)).rowcount
            proposal = _read(connection, retailer, approval_id)
            if not changed:
                raise StateConflictError(proposal.state, f"this is {proposal.state}, and nobody is applying it")
            self._record(connection, by, proposal)
        return proposal

    def get(self, retailer: str, approval_id: str) -> Proposal:
        """One proposal of this retailer; raises UnknownObjectError, TransientError."""
        with self._database.begin() as connection:
            return _read(connection, retailer, approval_id)

    def list_proposals(self, retailer: str) -> Sequence[Proposal]:
        """The retailer's newest ones, newest first; raises TransientError."""
        chosen = APPROVALS.select().where(APPROVALS.c.retailer == retailer)
        newest = chosen.order_by(APPROVALS.c.proposed_ms.desc(), APPROVALS.c.approval_id).limit(LISTED_MAX)
        with self._database.begin() as connection:
            return [_from_row(row) for row in connection.execute(newest).all()]

    def _take_step(
        self, step: Step, by: Principal, retailer: str, approval_id: str, values: Mapping[str, object]
    ) -> Proposal:
        with self._database.begin() as connection:
            check_step(_read(connection, retailer, approval_id), step, by, self._clock.now())
            chosen = _choose(retailer, approval_id) & APPROVALS.c.state.in_(COMES_FROM[step])
            taken = APPROVALS.update().where(chosen).values(state=LEADS_TO[step], **values)
            changed = connection.execute(taken).rowcount
            proposal = _read(connection, retailer, approval_id)
            if not changed:
                raise StateConflictError(proposal.state, f"somebody was faster: this is {proposal.state} already")
            self._record(connection, by, proposal)
        return proposal

    def _record(self, connection: sa.Connection, by: Principal, proposal: Proposal) -> None:
        details = {"state": proposal.state, "document_sha256": proposal.document_sha256}
        target = f"approval:{proposal.approval_id}"
        self._trail.record_with(connection, by.who, proposal.retailer, proposal.action, target, details=details)


def _check(encoded: bytes, reason: str) -> None:
    faults = []
    if len(encoded) > DOCUMENT_BYTES_MAX:
        faults.append(FieldFault("/document", "length", f"must be at most {DOCUMENT_BYTES_MAX} bytes of JSON"))
    if not (reason.strip() and len(reason) <= REASON_MAX and "\x00" not in reason):
        faults.append(FieldFault("/reason", "length", f"say why, in at most {REASON_MAX} letters"))
    if faults:
        raise InvalidInputError(faults)


def _choose(retailer: str, approval_id: str) -> sa.ColumnElement[bool]:
    return (APPROVALS.c.retailer == retailer) & (APPROVALS.c.approval_id == approval_id)


def _read(connection: sa.Connection, retailer: str, approval_id: str) -> Proposal:
    row = connection.execute(APPROVALS.select().where(_choose(retailer, approval_id))).one_or_none()
    if row is None:
        raise UnknownObjectError("there is no such proposal")
    return _from_row(row)


def _from_row(row: sa.Row[tuple[object, ...]]) -> Proposal:
    return Proposal(
        approval_id=row.approval_id,
        retailer=row.retailer,
        action=Action(row.action),
        document=msgspec.json.decode(row.document),
        document_sha256=row.document_sha256,
        reason=row.reason,
        proposed_by_id=row.proposed_by_id,
        proposed_by=row.proposed_by,
        proposed_at=from_epoch_ms(row.proposed_ms),
        expires_at=from_epoch_ms(row.expires_ms),
        state=row.state,
        approved_by=row.approved_by,
        approved_at=None if row.approved_ms is None else from_epoch_ms(row.approved_ms),
        ended_at=None if row.ended_ms is None else from_epoch_ms(row.ended_ms),
    )
