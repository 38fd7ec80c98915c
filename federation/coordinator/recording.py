"""What the audit ledger says of each thing that the coordinator does. Pure.

An entry holds names, numbers and digests: never an update, a key's private half or a figure about a single participant's data; of an
update, only in mode robust, what it did to the model.
Dropped messages are one entry of counts per decision, so nobody can make the ledger grow by sending rubbish.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from contract.errors import InvariantError
from contract.federation.messages import (
    Claim,
    CoordinatorMessage,
    Evaluated,
    Failure,
    GlobalModel,
    Halted,
    KeyList,
    LedgerEntry,
    Roster,
    RoundPlan,
    ShareList,
    SiteModels,
    StageOver,
    SurvivorList,
    get_type_name,
)
from federation.audit.ledger import TOO_MANY, make_head_after, make_next_entry
from federation.coordinator.attempt import Attempt, Candidate, read_closing
from federation.coordinator.state import CoordinatorState
from federation.messages.identity import PublicIdentity
from federation.privacy.budget import release_of
from federation.transports.ports import LogName

Content = dict[str, object]
NAMES_MAX = 1_000
"""Names of which an entry says something, in each of its parts: more would not fit; they are told by number and digest."""


class Say(NamedTuple):
    """One message that the coordinator wants to stand on a log."""

    log: LogName
    message: CoordinatorMessage
    round: int = 0
    attempt: int = 0


def build_entries(state: CoordinatorState, said: Sequence[Say], attempt: Attempt | None, now_ms: int) -> list[Say]:
    """Ledger entries for what happened since the last decision, and for this one, in that order."""
    wanted: list[tuple[str, int, int, Content]] = [(note.kind, 0, 0, note.content) for note in state.notes]
    if state.drops:
        wanted.append(("dropped", 0, 0, dict(sorted(state.drops.items()))))
    for say in said:
        tell = _TOLD.get(type(say.message))
        if tell is not None:
            content = tell(say.message)
            if attempt is not None and isinstance(say.message, _STAGES):
                content["refused"] = _by_name(attempt.refusals)
            if attempt is not None and attempt.received and isinstance(say.message, Evaluated | Failure):
                received = attempt.received
                content["bytes"] = {"up": sum(received.values()), "of": _by_name(received)}
            if attempt is not None and attempt.candidate is not None and isinstance(say.message, Evaluated):
                content |= _standings(attempt.plan, attempt.candidate)
            wanted.append((get_type_name(say.message), say.round, say.attempt, content))
    chained: list[Say] = []
    head = state.ledger
    for kind, number, attempt_number, content in wanted:
        entry = make_next_entry(head, kind, content, at_ms=now_ms, round_number=number, attempt=attempt_number)
        chained.append(Say("ledger", entry, number, attempt_number))
        head = make_head_after(entry)
    return chained


def mark_recorded(state: CoordinatorState, entry: LedgerEntry) -> None:
    """The entry stands in the ledger: what it tells is not told again."""
    if (entry.index, entry.previous) != state.ledger:
        raise InvariantError(f"entry {entry.index} does not follow {state.ledger.following - 1} in the ledger")
    state.ledger = make_head_after(entry)
    if entry.kind == "dropped":
        state.drops = {}
    elif state.notes and state.notes[0].kind == entry.kind:
        del state.notes[0]


def _standings(plan: RoundPlan, candidate: Candidate) -> Content:
    """What is known of each participant; nothing of it where updates were promised privacy that no noise here gives."""
    if plan.mode == "robust" and plan.privacy.level == "client":
        return {}
    found = {"contributions": candidate.contributions, "reputations": candidate.reputations}
    return {what: _by_name(values) for what, values in found.items() if values}


_STAGES = (KeyList, ShareList, SurvivorList, StageOver)


def _claim(message: Claim) -> Content:
    keys = PublicIdentity(name="", signing_key=message.signing_key, sealing_key=message.sealing_key)
    return {"instance": message.instance, "coordinator": keys.fingerprint}


def _plan(message: RoundPlan) -> Content:
    """Who, how, and what it costs; written together with the plan, before anyone can train."""
    return {
        "mode": message.mode,
        "purpose": message.purpose,
        "cohort": _named(message.cohort),
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
    closed = read_closing(message)
    return {"stage": closed.stage, "members": _named(closed.members)}


def _named(names: Sequence[str]) -> object:
    return names if len(names) <= NAMES_MAX else _digested(names)


def _by_name(values: Mapping[str, object]) -> object:
    ordered = dict(sorted(values.items()))
    return ordered if len(ordered) <= NAMES_MAX else _digested(ordered)


def _digested(whole: Sequence[str] | Mapping[str, object]) -> Content:
    """SHA-256 of the JSON that would stand here: whoever has the names, from the messages themselves, can check it."""
    return {TOO_MANY: len(whole), "sha256": hashlib.sha256(msgspec.json.encode(whole)).hexdigest()}


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
    SiteModels: lambda message: {"model_version": message.model_version, "shown": message.shown},
    Failure: lambda message: {"reason": message.reason, "final": message.final},
    Halted: lambda message: {"reason": message.reason},
}
TOLD_KINDS = frozenset(str(kind.__struct_config__.tag) for kind in _TOLD)  # type: ignore[attr-defined]
"""Kinds of entries that tell of a message, and are named as its type is."""
