"""Events in, ends of transactions out: what was committed, with its rows, and what cannot be read. Does no I/O of its own.

Only events of mapped tables are held. What an event means is in `event_types`; what a statement does, in `statements`.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from connectors.mysql.log.compression import read_payload, unpack_event
from connectors.mysql.log.cursor import DAMAGE, MalformedEventError
from connectors.mysql.log.event_types import EVENT_TYPES, Code, Treatment, choose_treatment, get_event_name
from connectors.mysql.log.framing import Event
from connectors.mysql.log.identifiers import Begin, Gtid, MariadbGtid, read_begin, read_prepare
from connectors.mysql.log.queries import Query, read_load, read_query
from connectors.mysql.log.statements import Effect, Scope, find_effect
from connectors.mysql.log.transactions import Held, Lost, Store, Transactions
from connectors.mysql.names import TableNames

_DELETES = frozenset((Code.DELETE_ROWS, Code.DELETE_ROWS_V1))
_ROWS = frozenset(
    (
        Code.WRITE_ROWS, Code.UPDATE_ROWS, Code.WRITE_ROWS_V1, Code.UPDATE_ROWS_V1, Code.PARTIAL_UPDATE_ROWS, *_DELETES,
    )
)  # fmt: skip
_BEGINS = frozenset((Code.GTID, Code.ANONYMOUS_GTID, Code.GTID_TAGGED, Code.MARIADB_GTID))
_QUERIES = frozenset((Code.QUERY, Code.EXECUTE_LOAD_QUERY))
_NO_TABLE = b"\xff\xff\xff"
"""MariaDB's and MySQL's number of no table, which ends a statement without rows."""
_MISSING = Event(0, 0, 0, 0, 0, b"")


class Loud(NamedTuple):
    """Rows may have come that cannot be read."""

    why: str


class Ended(NamedTuple):
    """A transaction, or a statement on its own, is over: a position may be saved behind it."""

    held: Held | None = None
    """What was committed."""
    rowless: str | None = None
    """Why a mapped table was touched and no row comes: `deleted` or `rolled_back`."""


class Defined(NamedTuple):
    """A definition was changed; what was known about columns may no longer hold."""


LogEffect = Loud | Ended | Lost | Defined


class Follower:
    """Follows one log from one place on."""

    def __init__(self, names: TableNames, make_store: Callable[[], Store]) -> None:
        """Begins between two transactions.

        Args:
            names: The mapped tables.
            make_store: Makes what holds one transaction's events.
        """
        self._names = names
        self._scope = Scope(names.is_database, names.find)
        self.transactions = Transactions(make_store)
        self._known: dict[bytes, bool] = {}
        self._maps: dict[bytes, Event | None] = {}
        """Newest map by its table's number in this transaction; None for a table that is not mapped."""
        self._held: set[bytes] = set()
        self._touched = False
        self.gtid: Gtid | MariadbGtid | None = None
        """Of the transaction that began last."""

    @property
    def inside(self) -> bool:
        """Whether a transaction is open."""
        return self.transactions.inside

    def follow(self, event: Event, place: str) -> Iterator[LogEffect]:
        """What `event` brings about, in order.

        Args:
            event: Any event but those about files.
            place: Where the transaction begins, if it is this event that begins one.
        """
        what = choose_treatment(event.code, event.flags)
        try:
            if what is Treatment.LOUD:
                yield from self._unknown(event)
            elif what is Treatment.READ:
                yield from self._read(unpack_event(event), place)
        except MalformedEventError as error:
            yield Loud(str(error))

    def break_off(self) -> None:
        """The file ended within a transaction (the server crashed): it was never committed."""
        self.transactions.roll_back()

    def _unknown(self, event: Event) -> Iterator[LogEffect]:
        known = EVENT_TYPES.get(event.code)
        yield Loud(f"an event of type {get_event_name(event.code)}" + (f": {known.why}" if known else ""))

    def _read(self, event: Event, place: str) -> Iterator[LogEffect]:
        code = event.code
        if code in _ROWS:
            self._rows(event)
        elif code == Code.TABLE_MAP:
            self._table(event)
        elif code in _BEGINS:
            self._start(read_begin(event), place)
        elif code == Code.XID:
            yield self._ended(self.transactions.commit())
        elif code in _QUERIES:
            yield from self._query(read_query(event) if code == Code.QUERY else read_load(event))
        elif code == Code.XA_PREPARE:
            xid, one_phase = read_prepare(event)
            if one_phase:
                yield self._ended(self.transactions.commit())
            else:
                self.transactions.prepare(xid)
                yield Ended()
        elif code == Code.TRANSACTION_PAYLOAD:
            yield from self._unpacked(event, place)

    def _unpacked(self, event: Event, place: str) -> Iterator[LogEffect]:
        """The table of types is as closed inside a compressed transaction as outside."""
        for inner in read_payload(event.body):
            if inner.code == Code.TRANSACTION_PAYLOAD:
                yield Loud(f"an event of type {get_event_name(inner.code)} stands inside another one")
            else:
                yield from self.follow(inner, place)

    def _start(self, begin: Begin, place: str) -> None:
        self.gtid = begin.gtid
        self._maps.clear()
        self._held.clear()
        self._touched = False
        self.transactions.start(place, opened=begin.opened)

    def _table(self, event: Event) -> None:
        body = event.body
        try:
            middle = 10 + body[8]
            name = body[8 : middle + 1 + body[middle]]
        except IndexError:
            raise MalformedEventError("a TABLE_MAP event is too short") from None
        mapped = self._known.get(name)
        if mapped is None:
            mapped = self._known[name] = self._is_mapped(name)
        number = body[:6]
        self._maps[number] = event if mapped else None
        self._held.discard(number)

    def _is_mapped(self, name: bytes) -> bool:
        database = name[1 : 1 + name[0]].decode("utf-8", "surrogateescape")
        table = name[1 + name[0] + 2 :].decode("utf-8", "surrogateescape")
        return self._names.find(database, table) is not None

    def _rows(self, event: Event) -> None:
        number = event.body[:6]
        table_map = self._maps.get(number, _MISSING)
        if table_map is _MISSING:
            if number[:3] == _NO_TABLE:
                return
            raise MalformedEventError("rows came without the map of their table")
        if table_map is None:
            return
        self._touched = True
        if event.code in _DELETES:
            return
        if number not in self._held:
            self._held.add(number)
            self.transactions.hold(table_map.code, table_map.timestamp, table_map.body)
        self.transactions.hold(event.code, event.timestamp, event.body)

    def _query(self, query: Query) -> Iterator[LogEffect]:
        try:
            effect = find_effect(query, self._scope)
        except DAMAGE:
            effect = Effect("loud", "a statement that cannot be understood stands in the log")
        if effect.kind == "loud":
            yield Loud(effect.name)
        elif effect.kind == "definition":
            yield Defined()
        yield from self._ended_by(effect)

    def _ended_by(self, effect: Effect) -> Iterator[LogEffect]:
        moves = self.transactions
        if effect.kind in ("begin", "xa_start"):
            moves.begin()
        elif effect.kind == "commit":
            yield self._ended(moves.commit())
        elif effect.kind == "rollback":
            moves.roll_back()
            yield self._ended(None, "rolled_back")
        elif effect.kind == "savepoint":
            moves.set_savepoint(effect.name)
        elif effect.kind == "rollback_to":
            if not moves.roll_back_to(effect.name):
                yield Loud("a part of a transaction was rolled back, and which part cannot be told")
        elif effect.kind in ("xa_commit", "xa_rollback"):
            yield from self._verdict(effect)
        elif effect.kind != "xa_end" and not moves.open:
            yield self._ended(moves.commit())

    def _verdict(self, effect: Effect) -> Iterator[LogEffect]:
        if effect.xid is None:
            yield Loud("the name of a distributed (XA) transaction cannot be read")
            yield self._ended(self.transactions.commit())
        elif effect.kind == "xa_rollback":
            touched = self.transactions.roll_back_prepared(effect.xid)
            yield Ended(rowless="rolled_back" if touched else None)
        else:
            found = self.transactions.commit_prepared(effect.xid)
            if isinstance(found, Lost):
                yield found
                yield Ended()
            else:
                yield Ended(found)

    def _ended(self, held: Held | None, rowless: str = "deleted") -> Ended:
        touched, self._touched = self._touched, False
        return Ended(held, rowless if touched and held is None else None)
