"""The desk over HTTP without Kafka and Redis: real databases, a read model that is fed by hand, lists in memory, and a worker in memory."""

import asyncio
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import msgspec

from backoffice.accounts.permissions import Role
from backoffice.audit.trail import AuditTrail
from backoffice.cases.decisions import CaseDecisions
from backoffice.cases.desk import Desk
from backoffice.cases.entities import EntityDesk
from backoffice.cases.marks import ListEntry, Snooze
from backoffice.cases.outbox import Applied, Outbox, Rejected
from backoffice.cases.work import CaseWork
from backoffice.http.app import build_app
from backoffice.http.idempotency import IdempotencyKeys
from backoffice.http.services import RetailerServices, Services
from backoffice.projection.read_model import SqlReadModel
from backoffice.projection.results import Entity
from backoffice.projection.store import ReadModelStore
from contract.clock import ManualClock
from contract.errors import ConfigurationError, TransientError
from contract.events import Resolution
from contract.metrics import Metrics
from contract.verdicts import Verdict
from runtime.database import Database
from support.live_backoffice import FixedTokens
from support.read_model import NOON, RETAILER, Feeder, make_transaction, make_verdict, record

with warnings.catch_warnings():
    # It asks for the next version of httpx, which the product has no use for.
    warnings.filterwarnings("ignore", message="Using `httpx`")
    from starlette.testclient import TestClient as TestClient  # noqa: PLC0414 - shown to tests


class MemoryMarks:
    """A MarkBook in memory."""

    def __init__(self) -> None:
        self.entries: dict[Entity, ListEntry] = {}
        self.snoozes: dict[tuple[str, Entity], Snooze] = {}
        self.away = self.full = False

    def list_entries(self) -> Sequence[ListEntry]:
        self._reach()
        return list(self.entries.values())

    def put_on_list(self, entry: ListEntry) -> None:
        self._reach()
        self.entries[entry.entity] = entry

    def take_off_list(self, entity: Entity) -> bool:
        self._reach()
        return self.entries.pop(entity, None) is not None

    def list_snoozes(self) -> Sequence[Snooze]:
        self._reach()
        return list(self.snoozes.values())

    def add_snooze(self, snooze: Snooze) -> None:
        self._reach()
        if self.full:
            raise ValueError("8 rules are snoozed for this card already")
        self.snoozes[snooze.rule, snooze.entity] = snooze

    def end_snooze(self, rule: str, entity: Entity) -> bool:
        self._reach()
        return self.snoozes.pop((rule, entity), None) is not None

    def _reach(self) -> None:
        if self.away:
            raise TransientError("the store is away")


class MemoryWorker:
    """A ResolutionSender that answers as a worker does: one revision for each resolution_id, however often it comes."""

    def __init__(self) -> None:
        self.received: list[Resolution] = []
        self.first: dict[str, Resolution] = {}
        self.away = self.silent = False

    async def send(self, resolution: Resolution, wait_s: float) -> Applied | Rejected | None:
        if self.away:
            raise TransientError("Kafka is away")
        self.received.append(resolution)
        first = self.first.setdefault(resolution.transaction_id, resolution)
        await asyncio.sleep(0)
        if self.silent:
            return None
        if first.resolution_id != resolution.resolution_id:
            return Rejected("conflict", "another resolution of this transaction came first")
        allowed = resolution.outcome == "approved"
        revised: Verdict = make_verdict(
            resolution.transaction_id,
            revision=2,
            decision="allow" if allowed else "block",
            outcome=resolution.outcome,
            hold_until=None,
        )
        return Applied(2, msgspec.json.encode(revised))


class DeskOffice:
    """All of it around one retailer, and a second one, `other`, that has nothing."""

    def __init__(self, database: Database, store: ReadModelStore, clock: ManualClock) -> None:
        self.database, self.clock = database, clock
        self.trail = AuditTrail(database, clock)
        self.feeder = Feeder(store)
        self.marks, self.worker, self.tokens = MemoryMarks(), MemoryWorker(), FixedTokens()
        self.decisions = CaseDecisions(database, self.trail, clock)
        self.read_model = SqlReadModel(store, clock)
        self.keys = IdempotencyKeys(database, clock)
        self._offset = 0
        served = {name: self.serve(name) for name in (RETAILER, "other")}
        self.outbox = served[RETAILER].outbox
        nobody_signs_in: Any = None
        services = Services(
            clock,
            Metrics(),
            self.tokens,
            self.keys,
            served,
            self.read_model,
            nobody_signs_in,
            "http://office.example",
            list,
        )
        self.app = build_app(services, version="test")

    def serve(self, retailer: str) -> RetailerServices:
        entities = EntityDesk(
            retailer, self.read_model, self.marks, self.trail, clock=self.clock, find_tokens=_find_tokens
        )
        work = CaseWork(self.database, self.trail, self.clock)
        desk = Desk(
            retailer,
            self.read_model,
            work,
            self.decisions,
            entities=entities,
            clock=self.clock,
            base_currency="EUR",
        )
        outbox = Outbox(retailer, self.decisions, self.marks, self.worker, self.clock)
        no_door: Any = None
        return RetailerServices(no_door, no_door, desk, outbox, no_door, cast("Callable[[], list[str]]", list))

    def feed(self, *messages: Any) -> None:
        """Messages on the topics, as the read model takes them in."""
        records = []
        for message in messages:
            self._offset += 1
            records.append(record(message, offset=self._offset))
        self.feeder.feed(*records)

    def open_case(self, identity: str, *, of: dict[str, Any] | None = None, **changes: Any) -> None:
        """A transaction that is held; `of` changes it, other fields its verdict."""
        self.feed(make_transaction(identity, **(of or {})), make_verdict(identity, **changes))

    def client(self, name: str = "ann", role: Role = Role.ANALYST, retailer: str = RETAILER) -> TestClient:
        """A person who speaks with the desk."""
        token = self.tokens.make(retailer, role, name=name)
        return TestClient(self.app, headers={"Authorization": f"Bearer {token}"})


@contextmanager
def open_office(database: Database, read_model_url: str) -> Iterator[DeskOffice]:
    store = ReadModelStore(read_model_url)
    clock = ManualClock(NOON)
    clock.advance(60)
    try:
        yield DeskOffice(database, store, clock)
    finally:
        store.close()


def _find_tokens(kind: str, value: str) -> Sequence[str]:
    if kind == "ip" and not value[0].isdigit():
        raise ConfigurationError(["ip: not an address"])
    return [f"k1.{kind}-{len(value)}"] if kind in {"card", "email", "ip"} else [value]
