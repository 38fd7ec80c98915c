"""What counts of what the cohort says in an attempt: whose, in which stage, and once; as changes of the attempt and the state. Pure.

Everything raises FederationRefusedError where it does not count. What is said outside of rounds is for federation.coordinator.admission.
"""

import hashlib
from functools import partial

from contract.federation.messages import Refusal, RoundPlan, Update
from contract.federation.reasons import REFUSALS
from federation.coordinator import rounds
from federation.coordinator.attempt import Attempt
from federation.coordinator.state import Change, CoordinatorState
from federation.messages.envelope import Opened
from federation.refusals import EnvelopeRefusedError


def take(state: CoordinatorState, attempt: Attempt | None, opened: Opened) -> Change:
    """A message of the attempt under way, or of an earlier one, where its update still counts.

    What it holds is in the attempt's collection then, which keeps nothing of what does not fit; the rest is given back.
    """
    envelope, message = opened.envelope, opened.message
    stage = None if attempt is None or isinstance(message, Refusal) else attempt.find_stage(message)
    if attempt is not None and stage is None and not isinstance(message, Refusal):
        raise EnvelopeRefusedError("wrong_stage", f"type {envelope.type} is not awaited in this mode")
    objection = rounds.find_objection(
        None if attempt is None else attempt.state, envelope.round, envelope.attempt, envelope.sender, stage
    )
    if attempt is not None and objection == "wrong_round" and _comes_late(state, attempt, opened):
        return partial(_arrived, state, attempt, opened)
    if objection is not None or attempt is None:
        raise EnvelopeRefusedError(objection or "wrong_round", f"type {envelope.type}{_second(attempt, opened)}")
    if isinstance(message, Refusal):
        return partial(_refused, attempt, envelope.sender, message.reason if message.reason in REFUSALS else "training")
    if stage is None:
        raise EnvelopeRefusedError("wrong_stage", f"type {envelope.type} is of no stage")
    attempt.collection.accept(stage, opened)
    return partial(_arrived, state, attempt, opened)


def _second(attempt: Attempt | None, opened: Opened) -> str:
    """What tells of two processes that take part under one name: each signs an answer of its own to the same stage."""
    counted = None if attempt is None else attempt.said.get((opened.envelope.sender, opened.envelope.type))
    if counted is None or counted == _digest(opened):
        return ""
    return ", another one than the one that counted: do two processes of this participant run?"


def _digest(opened: Opened) -> bytes:
    return hashlib.sha256(opened.signed.envelope).digest()


def _refused(attempt: Attempt, sender: str, reason: str) -> None:
    attempt.refusals[sender] = reason
    attempt.state = rounds.leave(attempt.state, sender)


def _arrived(state: CoordinatorState, attempt: Attempt, opened: Opened) -> None:
    attempt.said[opened.envelope.sender, opened.envelope.type] = _digest(opened)
    attempt.state = rounds.record_arrival(attempt.state, opened.envelope.sender)
    if attempt.plan.staleness_max:
        state.counted.setdefault(opened.envelope.round, []).append(opened.envelope.sender)


def keep_late_rounds(state: CoordinatorState, plan: RoundPlan) -> None:
    """FedBuff, when `plan` begins: of the rounds from which an update may still come late, what must be known of them is kept."""
    if plan.staleness_max:
        oldest = plan.round - plan.staleness_max
        state.bases = {number: base for number, base in state.bases.items() if number >= oldest}
        state.bases[plan.round] = plan.base_version
        state.counted = {number: names for number, names in state.counted.items() if number >= oldest}


def count_bytes(state: CoordinatorState, attempt: Attempt | None, opened: Opened) -> None:
    """Counts a message's bytes; only those that counted, since anybody may append a copy of another's record."""
    sender, size = opened.envelope.sender, len(opened.signed.envelope) + len(opened.signed.signature)
    if sender in state.members:
        state.received[sender] = state.received.get(sender, 0) + size
    if attempt is not None and opened.envelope.round and sender in attempt.state.cohort:
        attempt.received[sender] = attempt.received.get(sender, 0) + size


def _comes_late(state: CoordinatorState, attempt: Attempt, opened: Opened) -> bool:
    """FedBuff: whether an update of an earlier round is taken into the one under way; each of a sender's counts once."""
    envelope, plan = opened.envelope, attempt.plan
    base = state.bases.get(envelope.round)
    if not plan.staleness_max or base is None or not isinstance(opened.message, Update):
        return False
    if envelope.sender in state.counted.get(envelope.round, []):
        raise EnvelopeRefusedError("duplicate", "it counted before")
    objection = rounds.find_objection(attempt.state, plan.round, plan.attempt, envelope.sender, "updates")
    if objection is not None:
        raise EnvelopeRefusedError(objection, "a late update, for the round under way")
    attempt.collection.accept_late(opened, max(plan.base_version - base, 0))
    return True
