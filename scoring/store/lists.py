"""Allow, deny and watch lists, and overrides of single entities until a given time, on Redis."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from contract.clock import Clock
from contract.settings import Settings
from scoring.store.keys import LIVE
from scoring.store.marks import Mark, MarkStore

MarkKind = Literal["allow", "deny", "watch"]
_KINDS: Mapping[str, MarkKind] = {"a": "allow", "d": "deny", "w": "watch"}


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One entry of a list."""

    entity: str
    """Field name, as `card`."""
    value: str
    mark: MarkKind
    expires_at: datetime | None
    """UTC, by the wall clock of Redis; None: until it is removed."""
    by: str
    """Who set it: a user or system name."""
    reason_code: str


class ListStore:
    """The lists of one retailer; an entity carries one mark at a time. Safe for threads.

    A transaction's marks are pinned at its first sight; a change concerns later transactions only. Every method raises
    StoreUnavailableError.
    """

    def __init__(self, settings: Settings, namespace: str = LIVE, clock: Clock | None = None) -> None:
        self._marks = MarkStore(settings, namespace, clock)

    def set(
        self, entity: str, value: str, mark: MarkKind, *, expires_at: datetime | None = None, by: str, reason_code: str
    ) -> None:
        """Lists an entity, instead of the mark it had; raises ValueError for an unknown entity or mark."""
        if mark not in _KINDS.values():
            raise ValueError(f"a mark is one of {', '.join(_KINDS.values())}")
        about = {"entity": entity, "value": value, "by": by, "reason_code": reason_code}
        self._marks.put(entity, value, Mark(mark[0], expires_at, "", about))

    def remove(self, entity: str, value: str) -> bool:
        """Takes an entity off its list; False where it was on none."""
        return self._marks.remove_list(entity, value)

    def list(self) -> list[ListEntry]:
        """Every mark in force, by entity and value; removes the expired ones."""
        entries = [
            ListEntry(mark=_KINDS[mark.letter], expires_at=mark.until, **mark.about)
            for mark in self._marks.list()
            if mark.letter in _KINDS
        ]
        return sorted(entries, key=lambda entry: (entry.entity, entry.value))

    def close(self) -> None:
        """Ends the connections."""
        self._marks.close()
