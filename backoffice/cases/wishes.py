"""From what somebody asks for about a case to what is written down: defaults filled in, every fault told at once. Pure."""

from dataclasses import dataclass
from datetime import datetime

from msgspec import Struct

from backoffice.accounts.permissions import Action
from backoffice.accounts.principal import Principal
from backoffice.cases.marks import SHORT_MAX, ListEntry, ListName, Snooze, check_entry, check_snooze
from backoffice.cases.outcomes import OUTCOMES, ActionName
from backoffice.cases.texts import NOTE_MAX, find_fault
from backoffice.projection.results import Entity, KnownTransaction
from backoffice.refusals import FieldFault, InvalidInputError, StateConflictError, UnknownObjectError
from contract.events import ResolutionKind, Transaction
from contract.windows import ENTITY_NAMES


class SnoozeAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Silence a rule for one entity of the case."""

    rule: str
    """A rule that fired, by its id."""
    kind: str
    """Which of the transaction's entities, as `card`."""
    until: datetime | None = None
    """At most 30 days ahead, which is also what absence means."""
    comment: str | None = None
    """Why; the note where absent."""


class EntryAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Put one entity of the case on a list."""

    list: ListName
    kind: str
    expires_at: datetime | None = None
    """At most 30 days ahead, which is also what absence means."""
    reason: str | None = None
    """Why; the note where absent."""


class DecisionAsked(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision, and what follows from it."""

    outcome: ActionName
    """`approved`, `approve`, `genuine`, `a` and `g` let it through; `rejected`, `block`, `fraud`, `b` and `f` stop it."""
    note: str | None = None
    snooze: SnoozeAsked | None = None
    list: EntryAsked | None = None


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be written down about one case."""

    transaction_id: str
    outcome: ResolutionKind
    note: str | None = None
    snooze: Snooze | None = None
    entry: ListEntry | None = None
    request_key: str | None = None
    """Names the request, so that the same one again is told the same decision."""


def check_decidable(known: KnownTransaction | None) -> KnownTransaction:
    """The case; raises UnknownObjectError where there is none, StateConflictError where nobody has to decide it."""
    if known is None or known.line.verdict is None:
        raise UnknownObjectError("no such case")
    if known.line.case is None:
        raise StateConflictError("no_case", "the verdict stops nothing: there is nothing to decide")
    if known.line.case == "resolved":
        raise StateConflictError("decided", describe_resolved(known))
    return known


def describe_resolved(known: KnownTransaction) -> str:
    """Who decided it, and what."""
    if not known.resolutions:
        return "this case is decided"
    first = known.resolutions[0]
    return f"{first.actor} decided this case: {first.outcome} at {first.resolved_at:%H:%M:%S} UTC"


def build_wish(
    asked: DecisionAsked,
    known: KnownTransaction,
    by: Principal,
    now: datetime,
    request_key: str | None = None,
) -> Wish:
    """What `asked` means for this case; raises InvalidInputError with every fault."""
    faults = []
    if asked.note is not None and (fault := find_fault("/note", asked.note, NOTE_MAX)):
        faults.append(fault)
    transaction = known.line.transaction
    snooze = entry = None
    if asked.snooze is not None:
        snooze = _build_snooze(asked.snooze, asked.note, transaction, by, now)
        may_last = by.may(Action.SET_SNOOZES_LONG, _get_retailer(known))
        faults += _check_kind("/snooze", snooze.entity) or check_snooze(snooze, now, may_last=may_last, at="/snooze")
    if asked.list is not None:
        entry = _build_entry(asked.list, asked.note, transaction, by, now)
        may_last = by.may(Action.SET_LISTS_LONG, _get_retailer(known))
        faults += _check_kind("/list", entry.entity) or check_entry(entry, now, may_last=may_last, at="/list")
    if faults:
        raise InvalidInputError(faults)
    return Wish(known.line.transaction_id, OUTCOMES[asked.outcome], asked.note, snooze, entry, request_key)


def find_entity(transaction: Transaction | None, kind: str) -> Entity:
    """The transaction's entity of that kind; its token is empty where it names none."""
    token = getattr(transaction, kind, None) if transaction is not None and kind in ENTITY_NAMES else None
    return Entity(kind, token or "")


def _get_retailer(known: KnownTransaction) -> str:
    assert known.line.verdict is not None  # noqa: S101 - `check_decidable` lets no other through
    return known.line.verdict.retailer


def _check_kind(at: str, entity: Entity) -> list[FieldFault]:
    if entity.token:
        return []
    return [FieldFault(f"{at}/kind", "not_named", "the transaction names no entity of this kind")]


def _build_snooze(
    asked: SnoozeAsked, note: str | None, transaction: Transaction | None, by: Principal, now: datetime
) -> Snooze:
    return Snooze(
        rule=asked.rule,
        entity=find_entity(transaction, asked.kind),
        until=asked.until or now + SHORT_MAX,
        by=by.name,
        comment=asked.comment or note or "",
    )


def _build_entry(
    asked: EntryAsked, note: str | None, transaction: Transaction | None, by: Principal, now: datetime
) -> ListEntry:
    return ListEntry(
        entity=find_entity(transaction, asked.kind),
        list=asked.list,
        expires_at=asked.expires_at or now + SHORT_MAX,
        by=by.name,
        reason=asked.reason or note or "",
    )
