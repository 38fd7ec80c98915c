"""One retailer's entities at the desk: what each did, what people say of it, and whose raw value it is. Lists and snoozes, audited."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Literal

from msgspec import Struct

from backoffice.accounts.permissions import Action
from backoffice.accounts.principal import Principal
from backoffice.audit.chain import Details
from backoffice.audit.trail import AuditTrail
from backoffice.cases.marks import (
    ListEntry,
    MarkBook,
    Snooze,
    check_entry,
    check_snooze,
    describe_mark,
)
from backoffice.cases.results import EntityStrip
from backoffice.cases.texts import has_card_number
from backoffice.projection.ports import ReadModel
from backoffice.projection.results import ENTITY_KINDS, Entity, Neighbourhood, Page, TransactionLine
from backoffice.refusals import FieldFault, InvalidInputError, UnknownObjectError
from contract.clock import Clock
from contract.errors import ConfigurationError, TransientError

PERIODS = (timedelta(hours=1), timedelta(days=1), timedelta(days=30))
VALUE_MAX = 512
FindTokens = Callable[[str, str], Sequence[str]]
"""Kind and raw value to the tokens under which records may hold it; raises ConfigurationError."""


class FoundEntity(Struct, frozen=True, kw_only=True):
    """Whose raw value was looked up."""

    entity: Entity
    """As records name it; the likeliest where none does."""
    known: bool
    """Some transaction names it."""


class EntityDesk:
    """Safe for threads. Every method raises TransientError."""

    def __init__(
        self,
        retailer: str,
        read_model: ReadModel,
        marks: MarkBook,
        trail: AuditTrail,
        *,
        clock: Clock,
        find_tokens: FindTokens,
    ) -> None:
        self._retailer = retailer
        self._read_model = read_model
        self._marks = marks
        self._trail = trail
        self._clock = clock
        self._find_tokens = find_tokens

    def tell_strips(self, entities: Iterable[Entity], until: datetime) -> tuple[EntityStrip, ...]:
        """What each did up to `until`."""
        listed = {entry.entity: entry for entry in self._marks.list_entries()}
        snoozes = self._marks.list_snoozes()
        return tuple(
            self._tell_strip(each, until, listed.get(each), tuple(one for one in snoozes if one.entity == each))
            for each in entities
        )

    def view(self, entity: Entity) -> EntityStrip:
        """What it did up to now; raises UnknownObjectError for a kind that there is not."""
        check_kind(entity.kind)
        return self.tell_strips([entity], self._clock.now())[0]

    def list_history(
        self, entity: Entity, *, at: datetime | None, later: bool, after: str | None, limit: int
    ) -> Page[TransactionLine]:
        """Its transactions from `at`, or now, back in time, or from there on; raises UnknownObjectError."""
        check_kind(entity.kind)
        begin = at or self._clock.now()
        return self._read_model.list_entity_history(
            self._retailer, entity, at=begin, later=later, after=after, limit=limit
        )

    def find_neighbours(self, entity: Entity, depth: Literal[1, 2]) -> Neighbourhood:
        """Entities that share transactions with it; raises UnknownObjectError."""
        check_kind(entity.kind)
        return self._read_model.find_neighbours(self._retailer, entity, depth=depth)

    def look_up(self, by: Principal, kind: str, value: str) -> FoundEntity:
        """The entity of a raw value, which is kept nowhere; that it was asked for stands in the audit trail, by its token.

        Raises InvalidInputError.
        """
        tokens = self._tokenise(kind, value)
        known = [token for token in tokens if self._is_known(Entity(kind, token))]
        entity = Entity(kind, (known or tokens)[0])
        self._trail.record(by.who, self._retailer, Action.LOOK_UP_ENTITIES, name_object(entity))
        return FoundEntity(entity=entity, known=bool(known))

    def list_entries(self) -> Sequence[ListEntry]:
        """Every entry in force."""
        return self._marks.list_entries()

    def list_snoozes(self) -> Sequence[Snooze]:
        """Every snooze in force."""
        return self._marks.list_snoozes()

    def put_on_list(self, by: Principal, entry: ListEntry) -> None:
        """Instead of the list that the entity was on; raises InvalidInputError."""
        may_last = by.may(Action.SET_LISTS_LONG, self._retailer)
        if faults := check_entry(entry, self._clock.now(), may_last=may_last):
            raise InvalidInputError(faults)
        self._change(by, Action.SET_LISTS, entry.entity, describe_mark(entry), lambda: self._marks.put_on_list(entry))

    def take_off_list(self, by: Principal, entity: Entity) -> bool:
        """False where it was on none."""
        check_kind(entity.kind)
        if all(entry.entity != entity for entry in self._marks.list_entries()):
            return False
        self._change(by, Action.SET_LISTS, entity, {"removed": True}, lambda: self._marks.take_off_list(entity))
        return True

    def add_snooze(self, by: Principal, snooze: Snooze) -> None:
        """Instead of an earlier one of the same rule and entity; raises InvalidInputError."""
        may_last = by.may(Action.SET_SNOOZES_LONG, self._retailer)
        if faults := check_snooze(snooze, self._clock.now(), may_last=may_last):
            raise InvalidInputError(faults)
        try:
            self._change(
                by, Action.SET_SNOOZES, snooze.entity, describe_mark(snooze), lambda: self._marks.add_snooze(snooze)
            )
        except ValueError as error:
            raise InvalidInputError([FieldFault("", "refused", str(error))]) from None

    def end_snooze(self, by: Principal, rule: str, entity: Entity) -> bool:
        """False where there was none."""
        check_kind(entity.kind)
        if all((one.rule, one.entity) != (rule, entity) for one in self._marks.list_snoozes()):
            return False
        details: Details = {"rule": rule, "removed": True}
        self._change(by, Action.SET_SNOOZES, entity, details, lambda: self._marks.end_snooze(rule, entity))
        return True

    def _change(
        self, by: Principal, action: Action, entity: Entity, details: Details, change: Callable[[], object]
    ) -> None:
        """The entry first, so that nothing changes without one; a change that failed gets a second."""
        about = name_object(entity)
        self._trail.record(by.who, self._retailer, action, about, details=details)
        try:
            change()
        except (TransientError, ValueError):
            self._trail.record(by.who, self._retailer, action, about, outcome="failed", details=details)
            raise

    def _tell_strip(
        self, entity: Entity, until: datetime, listed: ListEntry | None, snoozes: tuple[Snooze, ...]
    ) -> EntityStrip:
        hour, day, month = (
            self._read_model.summarise_entity(self._retailer, entity, since=until - each, until=until)
            for each in PERIODS
        )
        return EntityStrip(entity=entity, hour=hour, day=day, month=month, listed=listed, snoozes=snoozes)

    def _tokenise(self, kind: str, value: str) -> Sequence[str]:
        if kind not in ENTITY_KINDS:
            raise InvalidInputError([FieldFault("/kind", "unknown", f"one of {', '.join(ENTITY_KINDS)}")])
        if not 0 < len(value.strip()) <= VALUE_MAX or not value.isprintable():
            raise InvalidInputError([FieldFault("/value", "length", f"1 to {VALUE_MAX} visible characters are needed")])
        if kind != "card" and has_card_number(value):
            raise InvalidInputError([FieldFault("/value", "card_number", "is a card's number; ask with kind card")])
        try:
            return self._find_tokens(kind, value)
        except ConfigurationError:
            raise InvalidInputError([FieldFault("/value", "field_invalid", f"is no {kind}")]) from None

    def _is_known(self, entity: Entity) -> bool:
        page = self._read_model.list_entity_history(
            self._retailer, entity, at=self._clock.now() + timedelta(days=1), limit=1
        )
        return bool(page.items)


def check_kind(kind: str) -> None:
    """Raises UnknownObjectError for a kind of entity that there is not."""
    if kind not in ENTITY_KINDS:
        raise UnknownObjectError("no such kind of entity")


def name_object(entity: Entity) -> str:
    """For the audit trail."""
    return f"{entity.kind}:{entity.token}"
