"""What coordinators of a federation said, read back from its logs: which decisions stand, and in which order. Pure.

A signature does not tell that: whoever may write to a log can append again what a coordinator once signed, anywhere, in part, and
after a checkpoint also what is older than it. So no record counts for the place where it stands. A decision's messages bear its
epoch and time, which no other decision has, and its ledger entries name by digest the head of the chain that they follow.

Of a transaction that failed anybody may have read records, and append some later, or all. A coordinator whose transaction failed
says nothing more, and its successor builds on what it finds whole; so of several decisions that follow the same, that one counts
upon which most was built. Where nothing was built upon a decision and some of it is missing, it does not count, whether it
failed or its records were lost: all that it decided is decided again. What participants may have followed of it is told by `followed`,
for the next coordinator to make good (`federation.coordinator.reconciliation`). Where something was built upon what is missing, records were lost
that counted, and nothing may continue: see `_check_rest`.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from contract.errors import InvariantError
from contract.federation.messages import (
    Claim,
    Failure,
    GlobalModel,
    Halted,
    LedgerEntry,
    Published,
    Roster,
    RoundPlan,
    SiteModels,
    Step,
    get_type_name,
)
from federation.audit.ledger import Head, make_head_after
from federation.coordinator.recording import TOLD_KINDS, Say
from federation.messages.envelope import Opened
from federation.transports.ports import LogName

_Key = tuple[int, int]
"""Epoch and time of an envelope."""


_BEGINNING = {"claim", "global_model"}
"""What a coordinator begins with."""


class Decision(NamedTuple):
    """What one transaction said."""

    step: Step
    epoch: int
    at_ms: int
    said: list[Say]
    """In the order in which it is applied."""


class Followed(NamedTuple):
    """What a participant has heard by the end of the control log, whether or not it counts."""

    plan: RoundPlan | None = None
    """Of the newest attempt; the first of it, since no second is followed."""
    roster_version: int = 0


class Journal:
    """Collects a coordinator's own messages from its three logs, then gives the decisions that they make."""

    def __init__(self, epoch: int = 0) -> None:
        """`epoch`: of the newest claim before all that it takes."""
        self.epoch = epoch
        """The newest of any message."""
        self.followed = Followed()
        self.spoken_of = (0, 0)
        """Round and attempt of the newest that anything but a plan, or the failure said with one, speaks of."""
        self.dropped = 0
        """Messages that `read_decisions` found behind the end of the chain."""
        self._claimed = epoch
        self._seen: set[bytes] = set()
        self._decisions: dict[_Key, list[Decision]] = {}
        """Several under one key only where an earlier build made two within a millisecond."""
        self._models: dict[_Key, list[Say]] = {}
        self._entries: dict[_Key, dict[Head, LedgerEntry]] = {}
        """By the head that they follow."""
        self._following: dict[Head, list[_Key]] = {}

    def take(self, log: LogName, opened: Opened) -> None:
        """One message whose signature is the coordinator's own; repeated ones are dropped, and those on another's log."""
        heading, message = opened.envelope, opened.message
        if log != {GlobalModel: "models", LedgerEntry: "ledger"}.get(type(message), "control"):
            return
        digest = hashlib.sha256(opened.signed.envelope).digest()
        if digest in self._seen:
            return
        self._seen.add(digest)
        key = (heading.epoch, heading.sent_at_ms)
        self.epoch = max(self.epoch, heading.epoch)
        self._hear(opened)
        if isinstance(message, Step):
            self._decisions.setdefault(key, []).append(Decision(message, *key, []))
        elif isinstance(message, LedgerEntry):
            head = Head(message.index, message.previous)
            self._entries.setdefault(key, {})[head] = message
            self._following.setdefault(head, []).append(key)
        elif isinstance(message, GlobalModel):
            self._models.setdefault(key, []).append(Say("models", message, heading.round, heading.attempt))
        elif key in self._decisions:
            if isinstance(message, SiteModels):
                # What is applied again needs neither the models nor their keys, and they may be long.
                message = msgspec.structs.replace(message, keys=(), box=b"")
            say = Say("control", message, heading.round, heading.attempt)  # type: ignore[arg-type]
            self._decisions[key][-1].said.append(say)

    def _hear(self, opened: Opened) -> None:
        """As a participant does: of the newest claim's epoch alone."""
        heading, message, followed = opened.envelope, opened.message, self.followed
        if isinstance(message, Claim):
            self._claimed = max(self._claimed, heading.epoch)
        elif isinstance(message, RoundPlan):
            newer = followed.plan is None or _attempt(message) > _attempt(followed.plan)
            if newer and heading.epoch >= self._claimed:
                self.followed = followed._replace(plan=message)
        elif isinstance(message, Roster):
            if heading.epoch >= self._claimed:
                self.followed = followed._replace(roster_version=max(followed.roster_version, message.version))
        elif not isinstance(message, LedgerEntry | Failure | Halted):
            self.spoken_of = max(self.spoken_of, (heading.round, heading.attempt))

    def read_decisions(self, head: Head, epoch: int) -> list[Decision]:
        """All that stand after `head` of the ledger, at which the coordinator had `epoch`, in their order.

        Raises InvariantError where records are missing of what counted: that must not be forgotten.
        """
        branches = self._branches(head)
        built: dict[Head, int] = {}
        for start in sorted(branches, reverse=True):
            built[start] = max((1 + built[_end(one)] for one in branches[start]), default=0)
        found: list[Decision] = []
        while branches[head]:
            # As much built upon both: the later, since a coordinator builds on the earlier where it is there. Of equals the first.
            found.append(max(branches[head], key=lambda one: (built[_end(one)], one.epoch, -one.step.ledger_index)))
            head, epoch = _end(found[-1]), found[-1].epoch
        chosen = {(one.epoch, one.at_ms) for one in found}
        self._check_rest(head, epoch, [key for key in self._beyond(head, branches) if key not in chosen], branches)
        return found

    def _branches(self, head: Head) -> dict[Head, list[Decision]]:
        """Whole decisions, by the head that they follow, as far as they go from `head`."""
        found: dict[Head, list[Decision]] = {}
        waiting = [head]
        while waiting:
            start = waiting.pop()
            if start not in found:
                found[start] = list(self._after(start))
                waiting += map(_end, found[start])
        return found

    def _beyond(self, head: Head, branches: Mapping[Head, object]) -> list[_Key]:
        """Of what there is something behind `head`, and that is not known to begin before it."""
        found = []
        for key in {**self._decisions, **self._entries}:
            entries = self._entries.get(key, {})
            ends = [start.following + 1 for start in entries]
            ends += [one.step.ledger_index for one in self._decisions.get(key, [])]
            before = any(start in branches and start.following < head.following for start in entries)
            if max(ends, default=0) > head.following and not before:
                found.append(key)
        return found

    def _check_rest(self, head: Head, epoch: int, beyond: Sequence[_Key], branches: Mapping[Head, object]) -> None:
        """Raises InvariantError unless all this can be what coordinators left behind whose transaction failed.

        Each leaves one decision: the newest of the chain any, a later one that with which it began. None is built upon.
        """
        newer = [key for key in beyond if key[0] >= epoch]
        owners = {make_head_after(entry): key for key in newer for entry in self._entries.get(key, {}).values()}
        built_upon = any(
            start in owners and owners[start] != key and start not in branches
            for key in newer
            for start in self._entries.get(key, {})
        )
        several = sum(key[0] == epoch for key in newer) > 1
        if built_upon or several or any(key[0] > epoch and self._kinds(key) - _BEGINNING for key in newer):
            raise InvariantError(
                f"after entry {head.following - 1} of the ledger a decision is there only in part upon which others were built:"
                " records of the federation's topics are lost; restore them"
            )
        self.dropped = sum(
            len(self._entries.get(key, {})) + sum(1 + len(one.said) for one in self._decisions.get(key, []))
            for key in newer
        )

    def _kinds(self, key: _Key) -> set[str]:
        """Of messages of which something is there: they, or the ledger's word of them."""
        told = {entry.kind for entry in self._entries.get(key, {}).values()} & TOLD_KINDS
        return told | {get_type_name(say.message) for one in self._decisions.get(key, []) for say in one.said}

    def _after(self, head: Head) -> Iterator[Decision]:
        for key in self._following.get(head, []):
            for decision in self._decisions.get(key, []):
                entries = self._entries_of(decision, key, head)
                said = self._with_models(decision, key)
                if entries and _is_whole(said, entries):
                    said = _in_order(said, entries)
                    yield decision._replace(said=[*said, *(Say("ledger", entry) for entry in entries)])

    def _entries_of(self, decision: Decision, key: _Key, head: Head) -> list[LedgerEntry]:
        """Empty where one is missing."""
        found: list[LedgerEntry] = []
        while head.following < decision.step.ledger_index:
            entry = self._entries[key].get(head)
            if entry is None:
                return []
            found.append(entry)
            head = make_head_after(entry)
        return found

    def _with_models(self, decision: Decision, key: _Key) -> list[Say]:
        """Each model after what it was published with: what the strategy keeps is made from the model before."""
        said: list[Say] = []
        for say in decision.said:
            said.append(say)
            said += [model for model in self._models.get(key, []) if _belongs(model.message, say)]  # type: ignore[arg-type]
        return said


def _belongs(model: GlobalModel, say: Say) -> bool:
    if isinstance(say.message, Published):
        return model.model_version == say.message.model_version
    # Told with a claim, it is made from none but itself.
    return isinstance(say.message, Claim) and model.model_version == model.base_version


def _is_whole(said: list[Say], entries: list[LedgerEntry]) -> bool:
    """Whether all that the ledger tells of is there."""
    wanted = {entry.kind for entry in entries} & TOLD_KINDS
    if any(entry.kind == "global_model" and entry.round for entry in entries):
        wanted.add("published")
    return wanted <= {get_type_name(say.message) for say in said}


def _in_order(said: list[Say], entries: Sequence[LedgerEntry]) -> list[Say]:
    """As the ledger tells it: a copy of a decision may stand in any order."""
    places = {entry.kind: place for place, entry in reversed(list(enumerate(entries)))}
    # Told by its model, after which it comes nevertheless.
    places["published"] = places.get("global_model", 0) - 1
    return sorted(said, key=lambda say: places.get(get_type_name(say.message), 0))


def _end(decision: Decision) -> Head:
    return make_head_after(decision.said[-1].message)  # type: ignore[arg-type]


def _attempt(plan: RoundPlan) -> tuple[int, int]:
    return plan.round, plan.attempt
