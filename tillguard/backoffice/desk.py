"""Puts one retailer's desk together: case work, read model, lists and snoozes where scoring reads them, and the way to its worker."""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial

import msgspec

from backoffice.audit.trail import AuditTrail
from backoffice.cases import marks
from backoffice.cases.decisions import CaseDecisions
from backoffice.cases.desk import Desk
from backoffice.cases.entities import EntityDesk
from backoffice.cases.outbox import Applied, Outbox, Rejected
from backoffice.cases.work import CaseWork
from backoffice.checkout.door import Accepted, Door, Judged
from backoffice.projection.ports import ReadModel
from backoffice.projection.results import Entity
from contract.clock import Clock
from contract.events import Resolution
from contract.settings import Settings
from runtime.database import Database
from scoring.store.lists import ListStore
from scoring.store.snoozes import Snooze, SnoozeStore
from tillguard.operations.entity_values import find_values


class _Revision(msgspec.Struct):
    revision: int


_decode_revision = msgspec.json.Decoder(_Revision).decode


class DoorSender:
    """A ResolutionSender by the door that checkouts use."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def send(self, resolution: Resolution, wait_s: float) -> Applied | Rejected | None:
        answer = await self._door.resolve(resolution, wait_s)
        match answer:
            case Judged():
                return Applied(_decode_revision(answer.document).revision, answer.document)
            case Accepted():
                return None
            case _:
                return Rejected(answer.reason, answer.detail)


class RedisMarks:
    """A MarkBook over the stores that scoring reads."""

    def __init__(self, settings: Settings, stack: ExitStack) -> None:
        """The connections end when `stack` is left."""
        self._lists, self._snoozes = ListStore(settings), SnoozeStore(settings)
        stack.callback(self._lists.close)
        stack.callback(self._snoozes.close)

    def list_entries(self) -> Sequence[marks.ListEntry]:
        return [
            marks.ListEntry(
                entity=Entity(each.entity, each.value),
                list=each.mark,
                expires_at=each.expires_at,
                by=each.by,
                reason=each.reason_code,
            )
            for each in self._lists.list()
        ]

    def put_on_list(self, entry: marks.ListEntry) -> None:
        self._lists.set(
            entry.entity.kind,
            entry.entity.token,
            entry.list,
            expires_at=entry.expires_at,
            by=entry.by,
            reason_code=entry.reason,
        )

    def take_off_list(self, entity: Entity) -> bool:
        return self._lists.remove(entity.kind, entity.token)

    def list_snoozes(self) -> Sequence[marks.Snooze]:
        return [
            marks.Snooze(
                rule=each.rule,
                entity=Entity(each.entity, each.value),
                until=each.until,
                by=each.by,
                comment=each.comment,
            )
            for each in self._snoozes.list()
        ]

    def add_snooze(self, snooze: marks.Snooze) -> None:
        entity = snooze.entity
        self._snoozes.add(Snooze(snooze.rule, entity.kind, entity.token, snooze.until, snooze.by, snooze.comment))

    def end_snooze(self, rule: str, entity: Entity) -> bool:
        return self._snoozes.remove(rule, entity.kind, entity.token)


def open_desk(
    settings: Settings, door: Door, database: Database, read_model: ReadModel, *, clock: Clock, stack: ExitStack
) -> tuple[Desk, Outbox]:
    """A retailer's desk and what sends its decisions, until `stack` is left."""
    retailer, trail = settings.retailer, AuditTrail(database, clock)
    book = RedisMarks(settings, stack)
    decisions = CaseDecisions(database, trail, clock)
    find_tokens = partial(find_values, settings, is_token=False)
    entities = EntityDesk(retailer, read_model, book, trail, clock=clock, find_tokens=find_tokens)
    work = CaseWork(database, trail, clock)
    desk = Desk(
        retailer, read_model, work, decisions, entities=entities, clock=clock, base_currency=settings.base_currency
    )
    return desk, Outbox(retailer, decisions, book, DoorSender(door), clock)
