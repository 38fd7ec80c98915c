"""A second person: what one proposes, another with the same right approves, and then it is applied once. Pure.

    proposed → approved → applying → applied | failed
       └────────┴→ withdrawn                       a proposal that nobody applies in time can only be withdrawn

A machine proposes and approves nothing: whoever made its token could otherwise be both persons.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

import msgspec

from backoffice.accounts.permissions import APPROVABLE, Action
from backoffice.accounts.principal import Principal
from backoffice.refusals import NotAllowedError, StateConflictError

State = Literal["proposed", "approved", "applying", "applied", "failed", "withdrawn"]
Step = Literal["approve", "withdraw", "apply"]
COMES_FROM: Mapping[Step, tuple[State, ...]] = {
    "approve": ("proposed",),
    "withdraw": ("proposed", "approved"),
    "apply": ("approved",),
}
LEADS_TO: Mapping[Step, State] = {"approve": "approved", "withdraw": "withdrawn", "apply": "applying"}
_JSON = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody wants to be done, and how far it has come."""

    approval_id: str
    retailer: str
    action: Action
    document: dict[str, Any]
    """All that is needed to do it; approved as it stands."""
    document_sha256: str
    reason: str
    proposed_by_id: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    state: State
    approved_by: str | None = None
    approved_at: datetime | None = None
    ended_at: datetime | None = None


def needs_second_person(action: Action, asked_for: Collection[str]) -> bool:
    """Whether the installation asks for one; `asked_for` are `rules`, `models` and `thresholds`."""
    return action in APPROVABLE and action.partition(".")[0] in asked_for


def encode_document(document: Mapping[str, Any]) -> bytes:
    """One spelling for the same content: JSON with sorted keys."""
    return _JSON.encode(document)


def hash_document(document: Mapping[str, Any]) -> str:
    """By which the audit trail names it: SHA-256 of its one spelling, in hexadecimal digits."""
    return sha256(encode_document(document)).hexdigest()


def check_step(proposal: Proposal, step: Step, by: Principal, now: datetime) -> None:
    """Raises NotAllowedError where `by` may not take this step, StateConflictError where the proposal is not that far."""
    check_right(proposal.action, proposal.retailer, by)
    if step == "approve" and by.principal_id == proposal.proposed_by_id:
        raise NotAllowedError("a second person approves: it was you who proposed this")
    if proposal.state not in COMES_FROM[step]:
        raise StateConflictError(proposal.state, f"this is {proposal.state} already")
    if step != "withdraw" and now >= proposal.expires_at:
        raise StateConflictError("expired", "nobody approved this in time: propose it again")
    if step == "apply" and hash_document(proposal.document) != proposal.document_sha256:
        raise StateConflictError("changed", "this is not what was approved: withdraw it and propose it again")


def check_right(action: Action, retailer: str, by: Principal) -> None:
    """Raises NotAllowedError where `by` could not do it either, or is no person."""
    if by.kind != "person":
        raise NotAllowedError("a person proposes and approves this, not a machine")
    if not by.may(action, retailer):
        raise NotAllowedError(f"this needs the right {action}")
