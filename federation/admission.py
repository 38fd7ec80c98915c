"""Who may take part: enrolment, approval, revocation and leaving, as changes of the coordinator's state. Pure.

Everything raises EnvelopeRefusedError with a code of DROP_REASONS where it does not count. What counts leaves a note for the
ledger, with names and fingerprints; a mere request leaves none, because anyone who may write to the topic can make requests.
"""

import math

from msgspec.structs import replace

from contract.federation import (
    RESERVED_NAMES,
    Adoption,
    EnrolmentRequest,
    Envelope,
    Member,
    Order,
    Withdrawal,
)
from federation.coordinator_state import CoordinatorState, Note, Waiting
from federation.identity import PublicIdentity
from federation.refusals import EnvelopeRefusedError

SHARED = ("auc", "ap", "accuracy")
"""Figures that are kept of those that a participant shares."""
ROUNDS_WANTED_MAX = 1_000_000


def identity_of(member: Member) -> PublicIdentity:
    """The member's keys."""
    return PublicIdentity(name=member.name, signing_key=member.signing_key, sealing_key=member.sealing_key)


def admit_once(state: CoordinatorState, envelope: Envelope) -> None:
    """Outside of rounds a sender's messages of a type count in the order of their times: a repeated one is a replay."""
    key = f"{envelope.sender}/{envelope.type}"
    if envelope.sent_at_ms <= state.said_ms.get(key, -1):
        raise EnvelopeRefusedError("duplicate", f"type {envelope.type}")
    state.said_ms[key] = envelope.sent_at_ms


def enrol(state: CoordinatorState, name: str, request: EnrolmentRequest, at_ms: int, *, waiting_max: int) -> None:
    """`name` asks to take part; where it waits already with these keys, nothing changes."""
    if name in RESERVED_NAMES:
        raise EnvelopeRefusedError("refused", "the name is reserved")
    member = state.members.get(name)
    if member is not None and member.status == "approved":
        raise EnvelopeRefusedError("duplicate", "a participant of this name is approved")
    if member is not None and (member.signing_key, member.sealing_key) == (request.signing_key, request.sealing_key):
        raise EnvelopeRefusedError("revoked", "these keys were used before: make new ones")
    waiting = Waiting(name=name, request=request, asked_ms=at_ms)
    fingerprint = waiting.identity.fingerprint
    if fingerprint in state.waiting:
        raise EnvelopeRefusedError("duplicate", "waits already")
    if len(state.waiting) >= waiting_max:
        # The oldest goes: whoever fills the list pushes out its own requests as well, and asking again is free.
        del state.waiting[min(state.waiting, key=lambda key: state.waiting[key].asked_ms)]
    state.waiting[fingerprint] = waiting


def withdraw(state: CoordinatorState, name: str, message: Withdrawal, at_ms: int) -> None:
    """`name` leaves; its signature was checked against the roster."""
    member = state.members.get(name)
    if member is None or member.status != "approved":
        raise EnvelopeRefusedError("revoked", "it takes no part any more")
    _become(state, replace(member, status="left", since_ms=at_ms))
    state.notes.append(Note(kind="left", content={"participant": name, "reason": message.reason}))


def adopted(state: CoordinatorState, name: str, message: Adoption) -> None:
    """What `name` did with a model, and, where it shares them, its figures; those stay here, since the ledger is for everyone to read."""
    if message.model_version > state.model.version:
        raise EnvelopeRefusedError("refused", "field model_version names no model")
    if not all(map(math.isfinite, message.metrics.values())):
        raise EnvelopeRefusedError("refused", "field metrics must be finite")
    state.adoptions[name] = f"{message.decision} {message.model_version}"
    state.shared[name] = {figure: message.metrics[figure] for figure in SHARED if figure in message.metrics}


def obey(state: CoordinatorState, order: Order, at_ms: int, *, members_max: int) -> None:
    """Carries out an operator's order."""
    if order.action == "run":
        state.rounds_wanted = min(state.rounds_wanted + order.rounds, ROUNDS_WANTED_MAX)
        state.notes.append(Note(kind="run_ordered", content={"rounds": order.rounds, "wanted": state.rounds_wanted}))
    elif order.action == "pause":
        state.rounds_wanted = 0
        state.notes.append(Note(kind="pause_ordered", content={}))
    elif order.action == "approve":
        _approve(state, order, at_ms, members_max)
    else:
        _revoke(state, order, at_ms)


def _approve(state: CoordinatorState, order: Order, at_ms: int, members_max: int) -> None:
    waiting = state.waiting.get(order.fingerprint or "")
    if waiting is None or waiting.name != order.participant:
        raise EnvelopeRefusedError("refused", "nobody of this name waits with this fingerprint")
    member = state.members.get(waiting.name)
    if member is not None and member.status == "approved":
        raise EnvelopeRefusedError("duplicate", "a participant of this name is approved")
    if member is None and len(state.members) >= members_max:
        raise EnvelopeRefusedError("refused", f"the roster has {members_max} participants, as many as settings allow")
    state.waiting = {key: other for key, other in state.waiting.items() if other.name != waiting.name}
    request = waiting.request
    _become(
        state,
        Member(
            name=waiting.name,
            signing_key=request.signing_key,
            sealing_key=request.sealing_key,
            allow_robust=request.allow_robust,
            status="approved",
            since_ms=at_ms,
        ),
    )
    state.notes.append(
        Note(kind="approved", content={"participant": waiting.name, "fingerprint": order.fingerprint or ""})
    )


def _revoke(state: CoordinatorState, order: Order, at_ms: int) -> None:
    member = state.members.get(order.participant or "")
    if member is None or member.status != "approved":
        raise EnvelopeRefusedError("refused", "no approved participant has this name")
    _become(state, replace(member, status="revoked", since_ms=at_ms))
    state.notes.append(
        Note(kind="revoked", content={"participant": member.name, "fingerprint": identity_of(member).fingerprint})
    )


def _become(state: CoordinatorState, member: Member) -> None:
    state.members[member.name] = member
    state.roster_changed = True
