"""Who may take part: enrolment, approval, revocation and leaving, as changes of the coordinator's state. Pure.

Everything raises EnvelopeRefusedError with a code of DROP_REASONS where it does not count. What participants and strangers say is
checked without a change of the state; what it changes is given back (federation.messages.foreign says why). What counts leaves a note for the
ledger, with names and fingerprints; a mere request leaves none, because anyone who may write to the topic can make requests.
An order leaves one also where it is refused, which answers the operator; a replayed order leaves none, for the same reason.
"""

import math
from collections.abc import Mapping
from functools import partial

from msgspec.structs import replace

from contract.federation.fields import RESERVED_NAMES
from contract.federation.frames import Envelope
from contract.federation.messages import Adoption, EnrolmentRequest, Member, Order, SiteFigures, Withdrawal
from federation.coordinator.state import Change, CoordinatorState, Note, Waiting
from federation.messages import cross_site
from federation.messages.identity import PublicIdentity, get_identity
from federation.refusals import EnvelopeRefusedError

SHARED = ("auc", "ap", "accuracy")
"""Figures that are kept of those that a participant shares."""
ROUNDS_WANTED_MAX = 1_000_000
ORDERS_KEPT = 1_024
"""More than are ever given in one moment: only an order older than this many others that came before it is taken for a replay."""


def check_new(state: CoordinatorState, envelope: Envelope) -> None:
    """Outside of rounds a sender's messages of a type count in the order of their times: a repeated one is a replay."""
    if envelope.sent_at_ms <= state.said_ms.get(_said_key(envelope), -1):
        raise EnvelopeRefusedError("duplicate", f"type {envelope.type}")


def _said_key(envelope: Envelope) -> str:
    return f"{envelope.sender}/{envelope.type}"


def _said(state: CoordinatorState, envelope: Envelope) -> None:
    state.said_ms[_said_key(envelope)] = envelope.sent_at_ms


def admit_order(state: CoordinatorState, envelope: Envelope, order: Order) -> None:
    """An order counts once by its order_id, whatever its time: two operators may give theirs in the same moment.

    One without (of an earlier build) counts in the order of times, as it did then.
    """
    if order.order_id is None:
        check_new(state, envelope)
        _said(state, envelope)
        return
    if order.order_id in state.orders or envelope.sent_at_ms <= state.orders_forgotten_ms:
        raise EnvelopeRefusedError("duplicate", f"type {envelope.type}")
    state.orders[order.order_id] = envelope.sent_at_ms
    if len(state.orders) > ORDERS_KEPT:
        oldest = min(state.orders, key=lambda order_id: state.orders[order_id])
        state.orders_forgotten_ms = max(state.orders_forgotten_ms, state.orders.pop(oldest))


def enrol(state: CoordinatorState, name: str, request: EnrolmentRequest, at_ms: int, *, waiting_max: int) -> Change:
    """`name` asks to take part; refused where it waits already with these keys."""
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
    return partial(_wait, state, fingerprint, waiting, waiting_max)


def _wait(state: CoordinatorState, fingerprint: str, waiting: Waiting, waiting_max: int) -> None:
    if len(state.waiting) >= waiting_max:
        # The oldest goes: whoever fills the list pushes out its own requests as well, and asking again is free.
        del state.waiting[min(state.waiting, key=lambda key: state.waiting[key].asked_ms)]
    state.waiting[fingerprint] = waiting


def can_enrol(member: Member | None, keys: PublicIdentity, asked_ms: int) -> bool:
    """Whether a request on the log is one that an operator can approve, as `enrol` sees it; `member`: who has its name."""
    if member is None:
        return keys.name not in RESERVED_NAMES
    return member.status != "approved" and asked_ms >= member.since_ms and get_identity(member) != keys


def withdraw(state: CoordinatorState, envelope: Envelope, message: Withdrawal, at_ms: int) -> Change:
    """Its sender leaves; the signature was checked against the roster."""
    check_new(state, envelope)
    member = state.members.get(envelope.sender)
    if member is None or member.status != "approved":
        raise EnvelopeRefusedError("revoked", "it takes no part any more")

    def change() -> None:
        _said(state, envelope)
        _become(state, replace(member, status="left", since_ms=at_ms))
        state.notes.append(Note(kind="left", content={"participant": member.name, "reason": message.reason}))

    return change


def record_adoption(state: CoordinatorState, envelope: Envelope, message: Adoption) -> Change:
    """What its sender did with a model, and, where it shares them, its figures; those stay here: everyone may read the ledger."""
    check_new(state, envelope)
    if message.model_version > state.model.version:
        raise EnvelopeRefusedError("refused", "field model_version names no model")
    if not all(map(math.isfinite, message.metrics.values())):
        raise EnvelopeRefusedError("refused", "field metrics must be finite")
    name, shared = envelope.sender, {figure: message.metrics[figure] for figure in SHARED if figure in message.metrics}

    def change() -> None:
        _said(state, envelope)
        state.adoptions[name] = f"{message.decision} {message.model_version}"
        state.shared[name] = shared

    return change


def record_judgement(state: CoordinatorState, name: str, message: SiteFigures) -> Change:
    """How models of others do at `name`, once; the ledger says that it was told, and no figure."""
    sites = cross_site.record_judgement(state.evaluations, name, message)
    told = {"participant": name, "model_version": message.model_version, "models": len(message.figures)}

    def change() -> None:
        sites.figures[name] = dict(message.figures)
        state.notes.append(Note(kind="site_figures", content=told))

    return change


def apply_order(state: CoordinatorState, order: Order, at_ms: int, *, members_max: int) -> None:
    """Carries out an operator's order, or refuses it; the ledger tells the operator which, by the order's order_id."""
    try:
        note = _carry_out(state, order, at_ms, members_max)
    except EnvelopeRefusedError as error:
        if order.order_id is not None:
            refused = {"action": order.action, "participant": order.participant}
            state.notes.append(
                _answer("order_refused", order, refused | {"reason": error.reason, "detail": error.detail})
            )
        raise
    state.notes.append(note)


def _carry_out(state: CoordinatorState, order: Order, at_ms: int, members_max: int) -> Note:
    if order.action == "run":
        state.rounds_wanted = min(state.rounds_wanted + order.rounds, ROUNDS_WANTED_MAX)
        return _answer("run_ordered", order, {"rounds": order.rounds, "wanted": state.rounds_wanted})
    if order.action == "pause":
        state.rounds_wanted = 0
        return _answer("pause_ordered", order, {})
    if order.action == "approve":
        return _approve(state, order, at_ms, members_max)
    return _revoke(state, order, at_ms)


def _answer(kind: str, order: Order, content: Mapping[str, object]) -> Note:
    return Note(kind=kind, content={**content} if order.order_id is None else {**content, "order_id": order.order_id})


def _approve(state: CoordinatorState, order: Order, at_ms: int, members_max: int) -> Note:
    waiting = state.waiting.get(order.fingerprint or "")
    if waiting is None or waiting.name != order.participant:
        known = state.members.get(order.participant or "")
        if known is not None and known.status == "approved" and get_identity(known).fingerprint == order.fingerprint:
            raise EnvelopeRefusedError("duplicate", "the participant is approved already, with this fingerprint")
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
    return _answer("approved", order, {"participant": waiting.name, "fingerprint": order.fingerprint or ""})


def _revoke(state: CoordinatorState, order: Order, at_ms: int) -> Note:
    member = state.members.get(order.participant or "")
    if member is None or member.status != "approved":
        raise EnvelopeRefusedError("refused", "no approved participant has this name")
    _become(state, replace(member, status="revoked", since_ms=at_ms))
    return _answer("revoked", order, {"participant": member.name, "fingerprint": get_identity(member).fingerprint})


def _become(state: CoordinatorState, member: Member) -> None:
    state.members[member.name] = member
    state.roster_changed = True
