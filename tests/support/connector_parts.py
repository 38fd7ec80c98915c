"""Ports of connectors in memory, for tests: a source made of a list, a sink that confirms when told, a store of positions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from threading import Event
from typing import Any

from connectors.config.connector_file import ConnectorConfig, parse
from connectors.mapping.mapper import Mapper
from connectors.ports import Checkpoint, Extent, Item, Outgoing, Position, Row, Saved
from connectors.running.health import Vitals
from connectors.running.runner import Runner
from contract.clock import ManualClock
from contract.codec import Admission
from contract.errors import ConfigurationError, PositionDeadError, TransientError
from contract.metrics import Metrics
from contract.tokens import Tokeniser

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
KEYS = {"k1": bytes(range(32)), "k0": bytes(range(32, 64))}

MYSQL_TEXT = """\
name: orders
source: {kind: mysql, host: db.example, user: reader, password: not-a-secret, database: shop}
transactions:
  table: orders
  key: id
  fields:
    transaction_id: id
    event_time: {column: placed_at, time_zone: Europe/Berlin}
    amount: total
    currency: currency
    customer: customer_id
    card: {column: card_number, tokenise: true}
    email: {column: email, tokenise: true}
    channel: {column: channel, values: {W: web, A: app}, default: other}
labels:
  - column: is_fraud
"""


class Killed(BaseException):
    """The process died here: nothing after it runs, as with SIGKILL."""


@dataclass(frozen=True)
class Crash:
    """The process dies when the source comes to this item for the first time."""


@dataclass(frozen=True)
class Away:
    """The source is lost here, `times` times."""

    times: int = 1


@dataclass(frozen=True)
class Dead:
    """The position turns out to be dead here, `times` times."""

    times: int = 1


class MemorySource:
    """A source whose history and stream are lists; Crash, Away and Dead among the items happen when they are reached."""

    def __init__(
        self, history: Sequence[Row], items: Sequence[Any], *, mark_every: int = 2, faults: Sequence[str] = ()
    ) -> None:
        self.history = list(history)
        self.items = list(items)
        self.mark_every = mark_every
        self.faults = list(faults)
        self.acknowledged: list[Position] = []
        self.closed = False
        self.snapshots = 0
        self._happened: dict[int, int] = {}

    def check(self) -> list[str]:
        return self.faults

    def sample(self, table: str, limit: int) -> list[Row]:
        return self.history[:limit]

    def fetch(self, table: str, key: str) -> Row | None:
        return next((row for row in self.history if str(row.values["id"]) == key), None)

    def read_snapshot(self, resume: Position | None) -> Iterator[Item]:
        self.snapshots += 1
        first = int(resume.text) if resume else 0
        yield Extent("orders", len(self.history), first)
        for number, row in enumerate(self.history[first:], start=first + 1):
            yield row
            if number % self.mark_every == 0:
                yield Checkpoint(Position("snapshot", str(number)))
        yield Checkpoint(Position("stream", "0"))

    def read_stream(self, start: Position) -> Iterator[Item]:
        for number in range(int(start.text), len(self.items)):
            item = self.items[number]
            if isinstance(item, Crash | Away | Dead):
                self._happen(number, item)
            else:
                yield item
            if (number + 1) % self.mark_every == 0:
                yield Checkpoint(Position("stream", str(number + 1)))
        yield Checkpoint(Position("stream", str(len(self.items))), idle=True)

    def acknowledge(self, position: Position) -> None:
        self.acknowledged.append(position)

    def describe_position(self, position: Position) -> str:
        return f"item {position.text}"

    def close(self) -> None:
        self.closed = True

    def _happen(self, number: int, item: Any) -> None:
        happened = self._happened[number] = self._happened.get(number, 0) + 1
        if happened > getattr(item, "times", 1):
            return
        if isinstance(item, Crash):
            raise Killed
        raise (
            TransientError("the connection was lost")
            if isinstance(item, Away)
            else PositionDeadError("the log was purged")
        )


class MemorySink:
    """Confirms everything at once, or (`hold`) only up to the number that `release` says."""

    def __init__(self, *, hold: bool = False) -> None:
        self.messages: list[Outgoing] = []
        self.hold = hold
        self.released = 0
        self.closed = False

    def send(self, message: Outgoing) -> None:
        self.messages.append(message)

    def count_sent(self) -> int:
        return len(self.messages)

    def count_confirmed(self) -> int:
        return min(self.released, len(self.messages)) if self.hold else len(self.messages)

    def flush(self, timeout_s: float) -> bool:
        return self.count_confirmed() == self.count_sent()

    def close(self) -> None:
        self.closed = True


class MemoryStore:
    """Positions in a dict; `full` refuses every save as a full disk does."""

    def __init__(self) -> None:
        self.saved: dict[str, Saved] = {}
        self.history: list[Position] = []
        self.full = False

    def load(self, connector: str) -> Saved | None:
        return self.saved.get(connector)

    def save(self, saved: Saved) -> Saved:
        if self.full:
            raise TransientError("the disk is full")
        known = self.saved.get(saved.connector)
        if (known.version if known else 0) != saved.version:
            raise ConfigurationError(["moved by somebody else"])
        written = saved._replace(version=saved.version + 1, saved_at=NOW)
        self.saved[saved.connector] = written
        self.history.append(written.position)
        return written

    def reset(self, connector: str) -> bool:
        return self.saved.pop(connector, None) is not None

    def list_names(self) -> list[str]:
        return sorted(self.saved)


class EagerClock(ManualClock):
    """Every look at it finds a second gone, so that whatever happens once a second happens each time."""

    def monotonic_s(self) -> float:
        self.advance(1.0)
        return super().monotonic_s()


def admission(retailer: str = "shop") -> Admission:
    """What the retailer of these tests accepts."""
    return Admission(retailer, "EUR", {"USD": 0.9})


def tokens(*, rotating: bool = False) -> Tokeniser:
    """A tokeniser with fixed keys."""
    return Tokeniser(KEYS, "k1", "k0" if rotating else None)


def mapper(text: str = MYSQL_TEXT, *, rotating: bool = False) -> Mapper:
    """The mapping of a connector file's text."""
    return Mapper(config(text), admission(), tokens(rotating=rotating))


@cache
def config(text: str = MYSQL_TEXT) -> ConnectorConfig:
    """A connector file; each text is read once, for nothing changes what came of it."""
    return parse(text, "orders.yaml")


def naive(*parts: int) -> datetime:
    """A time without a zone, as databases hold it."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[arg-type, misc]


def order(number: int, **changes: object) -> dict[str, object]:
    """Values of a good row of `orders`."""
    return {
        "id": number,
        "placed_at": naive(2026, 4, 1, 10),
        "total": "12.30",
        "currency": "EUR",
        "customer_id": f"c{number % 7}",
        "card_number": "4111 1111 1111 1111",
        "email": "Ann@Example.com",
        "channel": "W",
        "is_fraud": None,
        **changes,
    }


def row(number: int, *, change: Any = "insert", phase: Any = "stream", table: str = "orders", **changes: object) -> Row:
    """A good row of `orders`, with some values changed."""
    return Row(table, change, order(number, **changes), f"binlog.000001:{number}", phase, None, NOW)


@dataclass
class Bench:
    """A runner and its parts."""

    source: MemorySource
    sink: MemorySink = field(default_factory=MemorySink)
    store: MemoryStore = field(default_factory=MemoryStore)
    text: str = MYSQL_TEXT
    stop: Event = field(default_factory=Event)
    metrics: Metrics = field(default_factory=Metrics)

    def runner(self) -> Runner:
        """A fresh process on the same source, store and sink."""
        clock = EagerClock(NOW)
        return Runner(
            mapper=mapper(self.text),
            source=self.source,
            sink=self.sink,
            store=self.store,
            clock=clock,
            metrics=self.metrics,
            vitals=Vitals(started_s=0.0),
            stop=self.stop,
        )

    def position(self) -> Position | None:
        """What is saved."""
        saved = self.store.load("orders")
        return saved.position if saved else None

    def ids(self) -> list[str]:
        """Keys of the transactions sent, in order."""
        return [message.key.decode() for message in self.sink.messages if message.topic == "shop.transactions.v1"]

    def letters(self) -> list[Outgoing]:
        """The dead letters sent."""
        return [message for message in self.sink.messages if message.topic == "shop.dead-letters.v1"]
