"""What people say of single entities: which list one is on, and which rules are snoozed for it. The port, and what an entry needs. Pure."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol

from msgspec import Struct

from backoffice.cases.texts import COMMENT_MAX, find_fault, has_card_number
from backoffice.projection.results import Entity
from backoffice.refusals import FieldFault
from contract.sections.section import LONG_NAME
from contract.windows import ENTITY_NAMES

ListName = Literal["allow", "deny", "watch"]
SHORT_MAX = timedelta(days=30)
"""For analysts; who may set long ones has no bound on lists, and SNOOZE_MAX on snoozes."""
SNOOZE_MAX = timedelta(days=180)
_RULE = re.compile(LONG_NAME)


class ListEntry(Struct, frozen=True, kw_only=True):
    """An entity on a list."""

    entity: Entity
    list: ListName
    expires_at: datetime | None
    """None: until it is removed."""
    by: str
    reason: str


class Snooze(Struct, frozen=True, kw_only=True):
    """A rule that does not count for one entity, for a time."""

    rule: str
    entity: Entity
    until: datetime
    by: str
    comment: str


class MarkBook(Protocol):
    """Lists and snoozes of one retailer, where scoring reads them. Safe for threads; every method raises TransientError."""

    def list_entries(self) -> Sequence[ListEntry]:
        """Every entry in force."""
        ...

    def put_on_list(self, entry: ListEntry) -> None:
        """Instead of the list that the entity was on."""
        ...

    def take_off_list(self, entity: Entity) -> bool:
        """False where it was on none."""
        ...

    def list_snoozes(self) -> Sequence[Snooze]:
        """Every snooze in force."""
        ...

    def add_snooze(self, snooze: Snooze) -> None:
        """Instead of an earlier snooze of the same rule for the same entity; raises ValueError, in words, where there is no room."""
        ...

    def end_snooze(self, rule: str, entity: Entity) -> bool:
        """False where there was none."""
        ...


def check_entry(entry: ListEntry, now: datetime, *, may_last: bool, at: str = "") -> list[FieldFault]:
    """Every fault of an entry. `may_last`: longer than SHORT_MAX, or without an end. `at`: the pointer of the object that holds it."""
    faults = _check_entity(entry.entity, at)
    if entry.expires_at is None:
        if not may_last:
            faults.append(FieldFault(f"{at}/expires_at", "missing", f"within {SHORT_MAX.days} days, or ask an admin"))
    else:
        faults += _check_end(f"{at}/expires_at", entry.expires_at, now, None if may_last else SHORT_MAX)
    fault = find_fault(f"{at}/reason", entry.reason, COMMENT_MAX)
    return faults if fault is None else [*faults, fault]


def check_snooze(snooze: Snooze, now: datetime, *, may_last: bool, at: str = "") -> list[FieldFault]:
    """Every fault of a snooze; arguments as for `check_entry`."""
    faults = _check_entity(snooze.entity, at)
    if _RULE.fullmatch(snooze.rule) is None:
        faults.append(FieldFault(f"{at}/rule", "pattern", "a rule's id is small letters, digits and dashes"))
    faults += _check_end(f"{at}/until", snooze.until, now, SNOOZE_MAX if may_last else SHORT_MAX)
    fault = find_fault(f"{at}/comment", snooze.comment, COMMENT_MAX)
    return faults if fault is None else [*faults, fault]


def describe_mark(mark: Snooze | ListEntry) -> dict[str, str | int | bool]:
    """For the audit trail."""
    if isinstance(mark, Snooze):
        return {"rule": mark.rule, "until": mark.until.isoformat(), "comment": mark.comment}
    end = "" if mark.expires_at is None else mark.expires_at.isoformat()
    return {"list": mark.list, "expires_at": end, "reason": mark.reason}


def _check_entity(entity: Entity, at: str) -> list[FieldFault]:
    faults = []
    if entity.kind not in ENTITY_NAMES:
        faults.append(FieldFault(f"{at}/kind", "unknown", f"one of {', '.join(ENTITY_NAMES)}"))
    if not 0 < len(entity.token) <= 128 or not entity.token.isprintable():
        faults.append(FieldFault(f"{at}/token", "length", "1 to 128 visible characters are needed"))
    elif has_card_number(entity.token):
        faults.append(
            FieldFault(f"{at}/token", "card_number", "is a card's number; POST /v1/entities/lookup tells its token")
        )
    return faults


def _check_end(pointer: str, end: datetime, now: datetime, lasts_max: timedelta | None) -> list[FieldFault]:
    if end.tzinfo is None:
        return [FieldFault(pointer, "time_zone", "without a time zone")]
    if end <= now:
        return [FieldFault(pointer, "past", "must lie in the future")]
    if lasts_max is not None and end > now + lasts_max:
        return [FieldFault(pointer, "too_far", f"within {lasts_max.days} days")]
    return []
