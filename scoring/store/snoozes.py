"""Rules that are snoozed for single entities until a given time, on Redis, next to the lists."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from contract.clock import Clock, SystemClock
from contract.sections.section import LONG_NAME
from contract.settings import Settings
from scoring.store.keys import LIVE
from scoring.store.marks import SNOOZE, SNOOZES_MAX, Mark, MarkStore

SNOOZE_MAX = timedelta(days=180)
"""A rule that is wrong for longer than this should be changed."""
COMMENT_MAX = 500
"""Characters."""
_RULE = re.compile(LONG_NAME)


@dataclass(frozen=True, slots=True)
class Snooze:
    """A rule that does not count for one entity, for a time."""

    rule: str
    entity: str
    """Field name, as `card`."""
    value: str
    until: datetime
    """UTC, by the wall clock of Redis."""
    by: str
    """Who asked for it: a user or system name."""
    comment: str
    """Why, for whoever asks later. No personal data."""


class SnoozeStore:
    """The snoozes of one retailer. Safe for threads.

    They are pinned at a transaction's first sight, as lists are; a change concerns later transactions only. Every method raises
    StoreUnavailableError.
    """

    def __init__(self, settings: Settings, namespace: str = LIVE, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._marks = MarkStore(settings, namespace, self._clock)

    def add(self, snooze: Snooze) -> None:
        """Snoozes a rule, instead of an earlier snooze of the same rule for the same entity.

        Raises ValueError, with what to do, for an unknown entity, a name that no rule can have, an end that is over or too far away,
        a comment that is missing or too long, and an entity that has SNOOZES_MAX snoozes already.
        """
        self._check(snooze)
        about = {"entity": snooze.entity, "value": snooze.value, "by": snooze.by, "comment": snooze.comment}
        if not self._marks.put(snooze.entity, snooze.value, Mark(SNOOZE, snooze.until, snooze.rule, about)):
            raise ValueError(
                f"{SNOOZES_MAX} rules are snoozed for this {snooze.entity} already; end one of them, or put it on the allow list"
            )

    def remove(self, rule: str, entity: str, value: str) -> bool:
        """Ends a snooze; False where there was none. Raises ValueError for an unknown entity and a name that no rule can have."""
        _check_rule(rule)
        return self._marks.remove_snooze(entity, value, rule)

    def list(self) -> list[Snooze]:
        """Every snooze in force, by rule, entity and value; removes the expired ones."""
        found = [
            Snooze(rule=mark.rule, until=mark.until, **mark.about)
            for mark in self._marks.list()
            if mark.letter == SNOOZE and mark.until is not None
        ]
        return sorted(found, key=lambda one: (one.rule, one.entity, one.value))

    def close(self) -> None:
        """Ends the connections."""
        self._marks.close()

    def _check(self, snooze: Snooze) -> None:
        _check_rule(snooze.rule)
        lasts = snooze.until - self._clock.now()
        if not timedelta(0) < lasts <= SNOOZE_MAX:
            raise ValueError(f"a snooze ends within {SNOOZE_MAX.days} days; change a rule that is wrong for longer")
        if not snooze.comment.strip() or len(snooze.comment) > COMMENT_MAX:
            raise ValueError(f"a snooze needs a comment of 1 to {COMMENT_MAX} characters: say why")


def _check_rule(rule: str) -> None:
    if not _RULE.fullmatch(rule):
        raise ValueError("a rule's id is lower-case letters, digits and dashes, at most 64, the first a letter")
