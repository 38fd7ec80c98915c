"""What the audit ledger says of each thing that the coordinator does. Pure.

An entry holds names, numbers and digests: never an update, a key's private half or a figure about a single participant's data.
Dropped messages are one entry of counts per decision, so nobody can make the ledger grow by sending rubbish.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from contract.federation import (
    Claim,
    CoordinatorMessage,
    Evaluated,
    Failure,
    GlobalModel,
    Halted,
    KeyList,
    Roster,
    RoundPlan,
    ShareList,
    StageOver,
    SurvivorList,
    type_of,
)
from federation.attempt import Attempt, closed_by
from federation.budget import release_of
from federation.coordinator_state import CoordinatorState
from federation.identity import PublicIdentity
from federation.ledger import head_after, next_entry
from federation.transports.ports import LogName

Content = dict[str, object]


class Say(NamedTuple):
    """One message that the coordinator wants to stand on a log."""

    log: LogName
    message: CoordinatorMessage
    round: int = 0
    attempt: int = 0


def entries(state: CoordinatorState, said: Sequence[Say], attempt: Attempt | None, now_ms: int) -> list[Say]:
    """Ledger entries for what happened since the last decision, and for this one, in that order."""
    wanted: list[tuple[str, int, int, Content]] = [(note.kind, 0, 0, note.content) for note in state.notes]
    if state.drops:
        wanted.append(("dropped", 0, 0, dict(sorted(state.drops.items()))))
    for say in said:
        tell = _TOLD.get(type(say.message))
        if tell is not None:
            content = tell(say.message)
            if attempt is not None and isinstance(say.message, _STAGES):
                content["refused"] = dict(sorted(attempt.refusals.items()))
            wanted.append((type_of(say.message), say.round, say.attempt, content))
    chained: list[Say] = []
    head = state.ledger
    for kind, number, attempt_number, content in wanted:
        entry = next_entry(head, kind, content, at_ms=now_ms, round_number=number, attempt=attempt_number)
        chained.append(Say("ledger", entry, number, attempt_number))
        head = head_after(entry)
    return chained


_STAGES = (KeyList, ShareList, SurvivorList, StageOver)


def _claim(message: Claim) -> Content:
    keys = PublicIdentity(name="", signing_key=message.signing_key, sealing_key=message.sealing_key)
    return {"instance": message.instance, "coordinator": keys.fingerprint}


def _plan(message: RoundPlan) -> Content:
    """Who, how, and what it costs; written together with the plan, before anyone can train."""
    return {
        "mode": message.mode,
        "purpose": message.purpose,
        "cohort": message.cohort,
        "updates_min": message.updates_min,
        "base_version": message.base_version,
        "clip_norm": message.clip_norm,
        "privacy": msgspec.to_builtins(message.privacy),
        "release": None
        if message.privacy.level == "none"
        else msgspec.to_builtins(release_of(message.privacy, message.training, message.purpose)),
    }


def _model(message: GlobalModel) -> Content:
    return {
        "model_version": message.model_version,
        "base_version": message.base_version,
        "purpose": message.purpose,
        "payload_sha256": hashlib.sha256(message.payload).hexdigest(),
        "participants": message.participants,
        "metrics": message.metrics,
    }


def _closed(message: KeyList | ShareList | SurvivorList | StageOver) -> Content:
    closed = closed_by(message)
    return {"stage": closed.stage, "members": closed.members}


_TOLD: dict[type, Callable[[Any], Content]] = {
    Claim: _claim,
    Roster: lambda message: {
        "version": message.version,
        "approved": sum(member.status == "approved" for member in message.members),
    },
    RoundPlan: _plan,
    KeyList: _closed,
    ShareList: _closed,
    SurvivorList: _closed,
    StageOver: _closed,
    Evaluated: lambda message: {"model_version": message.model_version, "metrics": message.metrics},
    GlobalModel: _model,
    Failure: lambda message: {"reason": message.reason, "final": message.final},
    Halted: lambda message: {"reason": message.reason},
}
