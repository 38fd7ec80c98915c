"""What coordinators of a federation said, read back from its logs: which decisions stand, and in which order. Pure.

A signature does not tell that: whoever may write to a log can append again what a coordinator once signed, anywhere, in part, and
after a checkpoint also what is older than it. So no record counts for the place where it stands. A decision's messages bear its
epoch and time, which no other decision has, and its ledger entries name by digest the head of the chain that they follow.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from contract.errors import InvariantError
from contract.federation import Claim, GlobalModel, LedgerEntry, Published, SiteModels, Step, type_of
from federation.envelope import Opened
from federation.ledger import Head, head_after
from federation.recording import TOLD_KINDS, Say
from federation.transports.ports import LogName

_Key = tuple[int, int]
"""Epoch and time of an envelope."""


class Decision(NamedTuple):
    """What one transaction said."""

    step: Step
    epoch: int
    at_ms: int
    said: list[Say]
    """In the order in which it is applied."""


class Journal:
    """Collects a coordinator's own messages from its three logs, then gives the decisions that they make."""

    def __init__(self) -> None:
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

    def decisions(self, head: Head, epoch: int) -> list[Decision]:
        """All that stand after `head` of the ledger, at which the coordinator had `epoch`, in their order.

        Raises InvariantError where a decision is there in part: what was said must not be forgotten.
        """
        found: list[Decision] = []
        complete: set[tuple[int, int, int]] = set()
        while candidates := list(self._after(head)):
            complete.update(map(_name, candidates))
            # Of two that follow the same, the earlier was never said: its transaction failed with its coordinator, and somebody
            # who reads without waiting for transactions appended it.
            found.append(max(candidates, key=lambda one: (one.epoch, one.at_ms, -one.step.ledger_index)))
            epoch = found[-1].epoch
            head = head_after(found[-1].said[-1].message)  # type: ignore[arg-type]
        for decision in (each for several in self._decisions.values() for each in several):
            beyond = decision.step.ledger_index > head.following and decision.epoch >= epoch
            if beyond and _name(decision) not in complete:
                raise InvariantError(f"after entry {head.following - 1} of the ledger a decision is there only in part")
        return found

    def _after(self, head: Head) -> Iterator[Decision]:
        for key in self._following.get(head, []):
            for decision in self._decisions.get(key, []):
                entries = self._entries_of(decision, key, head)
                said = self._with_models(decision, key)
                if entries and _is_whole(said, entries):
                    yield decision._replace(said=[*said, *(Say("ledger", entry) for entry in entries)])

    def _entries_of(self, decision: Decision, key: _Key, head: Head) -> list[LedgerEntry]:
        """Empty where one is missing."""
        found: list[LedgerEntry] = []
        while head.following < decision.step.ledger_index:
            entry = self._entries[key].get(head)
            if entry is None:
                return []
            found.append(entry)
            head = head_after(entry)
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
    return wanted <= {type_of(say.message) for say in said}


def _name(decision: Decision) -> tuple[int, int, int]:
    return decision.epoch, decision.at_ms, decision.step.ledger_index
