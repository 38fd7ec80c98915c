"""Events that begin a transaction, and the names that MySQL and MariaDB give to transactions. Pure."""

from typing import NamedTuple

from connectors.mysql.log.cursor import Cursor, translate_read_errors
from connectors.mysql.log.event_types import Code
from connectors.mysql.log.framing import Event
from connectors.mysql.log.gtid_set import GtidSet

_STANDALONE = 0x01
_GROUP_COMMIT = 0x02
_PREPARED_XA = 0x40
_COMPLETED_XA = 0x80


class Gtid(NamedTuple):
    """A transaction's identifier on MySQL."""

    uuid: str
    tag: str
    number: int

    def to_text(self) -> str:
        """In the server's notation."""
        return ":".join(part for part in (self.uuid, self.tag, str(self.number)) if part)


class MariadbGtid(NamedTuple):
    """A transaction's identifier on MariaDB."""

    domain: int
    server: int
    number: int

    def to_text(self) -> str:
        """In the server's notation."""
        return f"{self.domain}-{self.server}-{self.number}"


class Xid(NamedTuple):
    """The name that an application gave to its distributed (XA) transaction."""

    format: int
    gtrid: bytes
    bqual: bytes


class Begin(NamedTuple):
    """What follows is one transaction, or one statement on its own."""

    gtid: Gtid | MariadbGtid | None
    opened: bool = False
    """True: rows follow at once, and an end is certain to come (MariaDB writes no BEGIN)."""


def read_begin(event: Event) -> Begin:
    """The beginning that a GTID event tells; raises MalformedEventError."""
    with translate_read_errors("a GTID event"):
        if event.code == Code.ANONYMOUS_GTID:
            return Begin(None)
        if event.code == Code.MARIADB_GTID:
            return _mariadb(event)
        if event.code == Code.GTID_TAGGED:
            return Begin(_tagged(Cursor(event.body)))
        cursor = Cursor(event.body, 1)  # flags
        return Begin(Gtid(cursor.take_uuid(), "", cursor.take_number(8)))


def _mariadb(event: Event) -> Begin:
    cursor = Cursor(event.body)
    number, domain, flags = cursor.take_number(8), cursor.take_number(4), cursor.take_number(1)
    return Begin(MariadbGtid(domain, event.server_id, number), opened=not flags & _STANDALONE)


def _tagged(cursor: Cursor) -> Gtid:
    """Fields of the serialization library come in ascending order, and each begins with its number."""
    cursor.take_varint()  # version
    cursor.take_varint()  # size
    cursor.take_varint()  # the last field that a reader must know
    uuid = tag = ""
    number = 0
    for _ in range(4):
        field = cursor.take_varint()
        if field == 0:
            cursor.take_varint()  # flags
        elif field == 1:
            octets = bytes(cursor.take_varint() for _ in range(16))
            uuid = Cursor(octets).take_uuid()
        elif field == 2:
            number = cursor.take_signed_varint()
        elif field == 3:
            tag = cursor.take(cursor.take_varint()).decode("ascii")
    if not uuid or number < 1:
        raise ValueError
    return Gtid(uuid, tag, number)


def read_prepare(event: Event) -> tuple[Xid, bool]:
    """The transaction that an XA_PREPARE event is about, and whether it is committed with it (ONE PHASE)."""
    with translate_read_errors("an XA_PREPARE event"):
        cursor = Cursor(event.body)
        one_phase, form = cursor.take_number(1), cursor.take_number(4)
        gtrid, bqual = cursor.take_number(4), cursor.take_number(4)
        return Xid(form, cursor.take(gtrid), cursor.take(bqual)), bool(one_phase)


class MysqlHistory:
    """Transactions seen on a MySQL server."""

    def __init__(self, text: str) -> None:
        """Begins with the set that `text` names; raises ValueError where it names none."""
        self._seen = GtidSet.parse(text)

    def add(self, gtid: Gtid | MariadbGtid) -> None:
        """The transaction is complete."""
        if isinstance(gtid, Gtid):
            self._seen = self._seen.add((gtid.uuid, gtid.tag), gtid.number)

    def to_text(self) -> str:
        """The set in the server's notation."""
        return str(self._seen)


class MariadbHistory:
    """The newest transaction of each domain of a MariaDB server."""

    def __init__(self, text: str) -> None:
        """Begins with the list that `text` names; raises ValueError where it names none."""
        self._newest = {gtid.domain: gtid for gtid in parse_mariadb(text)}

    def add(self, gtid: Gtid | MariadbGtid) -> None:
        """The transaction is complete."""
        if isinstance(gtid, MariadbGtid):
            self._newest[gtid.domain] = gtid

    def to_text(self) -> str:
        """The list in the server's notation."""
        return ",".join(gtid.to_text() for _, gtid in sorted(self._newest.items()))


History = MysqlHistory | MariadbHistory


def parse_mariadb(text: str) -> list[MariadbGtid]:
    """Reads MariaDB's notation, `domain-server-number,…`; raises ValueError for anything else."""
    found = []
    for part in text.split(","):
        if not part.strip():
            continue
        numbers = part.strip().split("-")
        if len(numbers) != 3 or not all(each.isdecimal() for each in numbers):
            raise ValueError("a MariaDB GTID is domain-server-number")
        found.append(MariadbGtid(*map(int, numbers)))
    return found
