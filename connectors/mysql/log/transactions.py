"""Follows transactions through the log: rows are held until it is certain what became of them. Pure but for what holds them.

Rows leave when their transaction is committed. What was rolled back is dropped. What was prepared (XA) waits, across any number of
other transactions, for its verdict. A position may be saved only where no transaction is open.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from connectors.mysql.log.identifiers import Xid


class Store(Protocol):
    """Holds the events of one transaction, in order."""

    def append(self, code: int, timestamp: int, body: bytes) -> None:
        """Called for every event of a mapped table."""
        ...

    def mark(self) -> int:
        """How much is held now, to `cut` back to."""
        ...

    def cut(self, mark: int) -> None:
        """Forgets what came after `mark`."""
        ...

    def settle(self) -> None:
        """Called once when the transaction is prepared: it may wait for long, next to many others."""
        ...

    def close(self) -> None:
        """Lets go of everything; may be called twice."""
        ...


class Held(NamedTuple):
    """The row events of a transaction, and where it began."""

    begin: str
    """Place in the log, for the rows' coordinates."""
    store: Store


class Lost(NamedTuple):
    """A transaction was committed whose rows were written before reading began."""

    xid: Xid


class Transactions:
    """What is open, and what is prepared. Every method is told one event; those that end something say what is to leave."""

    def __init__(self, make_store: Callable[[], Store]) -> None:
        """Nothing is open.

        Args:
            make_store: Makes what holds one transaction's events.
        """
        self._make = make_store
        self._prepared: dict[Xid, Held | None] = {}
        self._store: Store | None = None
        self._savepoints: dict[str, int] = {}
        self._begin = ""
        self.inside = False
        """Whether something has begun and has not ended: no position may be saved here."""
        self.open = False
        """Whether what began continues until its end is told; False: the next statement is all of it."""

    def start(self, place: str, *, opened: bool) -> None:
        """A transaction, or a statement of its own, begins.

        Args:
            place: Where in the log.
            opened: Whether an end is certain to come.
        """
        self._drop()
        self._begin = place
        self.inside = True
        self.open = opened

    def begin(self) -> None:
        """BEGIN or XA START."""
        self.inside = self.open = True

    def hold(self, code: int, timestamp: int, body: bytes) -> None:
        """An event of a mapped table."""
        self.inside = self.open = True
        if self._store is None:
            self._store = self._make()
        self._store.append(code, timestamp, body)

    def set_savepoint(self, name: str) -> None:
        """SAVEPOINT: a place to come back to."""
        self._savepoints[name] = self._store.mark() if self._store is not None else 0

    def roll_back_to(self, name: str) -> bool:
        """ROLLBACK TO: forgets what came after the savepoint; False where no such savepoint was seen."""
        mark = self._savepoints.get(name)
        if mark is None:
            return False
        if self._store is not None:
            self._store.cut(mark)
        return True

    def commit(self) -> Held | None:
        """The transaction was committed, or a statement of its own has ended: what it held is to leave."""
        held = Held(self._begin, self._store) if self._store is not None else None
        self._store = None
        self._end()
        return held

    def roll_back(self) -> None:
        """Nothing of the transaction stands."""
        self._drop()

    def prepare(self, xid: Xid) -> None:
        """The transaction waits for its verdict."""
        self._close_prepared(xid)
        held = self.commit()
        if held is not None:
            held.store.settle()
        self._prepared[xid] = held

    def commit_prepared(self, xid: Xid) -> Held | Lost | None:
        """XA COMMIT of a prepared transaction: what it held is to leave, or what is to be looked for in the log before."""
        self._end()
        if xid not in self._prepared:
            return Lost(xid)
        return self._prepared.pop(xid)

    def roll_back_prepared(self, xid: Xid) -> bool:
        """XA ROLLBACK, of a prepared transaction or of the open one; True where it held rows."""
        touched = self._prepared.get(xid) is not None or self._store is not None
        self._close_prepared(xid)
        self._drop()
        return touched

    def take_prepared(self, xid: Xid) -> Held | None:
        """What a prepared transaction holds, without a verdict; it is forgotten here."""
        return self._prepared.pop(xid, None)

    def has_prepared(self, xid: Xid) -> bool:
        """Whether the transaction is prepared and waits."""
        return xid in self._prepared

    def close(self) -> None:
        """Lets go of everything."""
        self._drop()
        for xid in list(self._prepared):
            self._close_prepared(xid)

    def _close_prepared(self, xid: Xid) -> None:
        held = self._prepared.pop(xid, None)
        if held is not None:
            held.store.close()

    def _drop(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
        self._end()

    def _end(self) -> None:
        self._savepoints.clear()
        self.inside = self.open = False
