"""The audit trail in the database: appended to, read by page, checked. One chain for each retailer, and one for the installation.

Invariant: entries of one chain are numbered without a gap and stand in the order in which their transactions were committed, whatever
threads and processes append at once: an append takes the chain's head for itself until its transaction ends.
"""

from collections.abc import Iterator, Sequence

import msgspec
import sqlalchemy as sa

from backoffice.audit.chain import (
    GENESIS,
    AuditEntry,
    Details,
    Finding,
    Head,
    Outcome,
    Who,
    make_head_after,
    verify_chain,
)
from contract.clock import Clock, to_epoch_ms
from runtime.database import Database

PAGE_MAX = 500
_METADATA = sa.MetaData()
ENTRIES = sa.Table(
    "audit_entries",
    _METADATA,
    sa.Column("retailer", sa.String(48), primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("previous", sa.String(64)),
    sa.Column("at_ms", sa.BigInteger),
    sa.Column("who_kind", sa.String(16)),
    sa.Column("who_id", sa.String(64)),
    sa.Column("who_name", sa.String(128)),
    sa.Column("action", sa.String(48)),
    sa.Column("object", sa.String(256)),
    sa.Column("outcome", sa.String(16)),
    sa.Column("details", sa.Text),
)
HEADS = sa.Table(
    "audit_heads",
    _METADATA,
    sa.Column("retailer", sa.String(48), primary_key=True),
    sa.Column("following", sa.BigInteger),
    sa.Column("digest", sa.String(64)),
)
_BEGIN = sa.text(
    "INSERT INTO audit_heads (retailer, following, digest) VALUES (:retailer, 0, :genesis) ON CONFLICT DO NOTHING"
)
_NO_DETAILS: Details = {}


class AuditTrail:
    """Used by any number of threads and processes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def record(
        self,
        who: Who,
        retailer: str,
        action: str,
        object_: str = "",
        *,
        outcome: Outcome = "done",
        details: Details = _NO_DETAILS,
    ) -> None:
        """Appends one entry in a transaction of its own; raises TransientError, and then nothing was appended."""
        with self._database.begin() as connection:
            self.record_with(connection, who, retailer, action, object_, outcome=outcome, details=details)

    def record_with(
        self,
        connection: sa.Connection,
        who: Who,
        retailer: str,
        action: str,
        object_: str = "",
        *,
        outcome: Outcome = "done",
        details: Details = _NO_DETAILS,
    ) -> None:
        """Appends one entry in the caller's transaction, so that it stands there exactly if what it tells of happened.

        Others that append to the same chain wait for that transaction's end: append last.
        """
        head = _take_head(connection, retailer)
        entry = AuditEntry(
            retailer=retailer,
            number=head.following,
            previous=head.digest,
            at_ms=to_epoch_ms(self._clock.now()),
            who_kind=who.kind,
            who_id=who.who_id,
            who_name=who.name,
            action=action,
            object=object_,
            outcome=outcome,
            details=dict(details),
        )
        connection.execute(ENTRIES.insert().values(**_as_row(entry)))
        digest = make_head_after(entry).digest
        connection.execute(HEADS.update().where(HEADS.c.retailer == retailer).values(digest=digest))

    def list_entries(self, retailer: str, *, before: int | None = None, limit: int = 100) -> Sequence[AuditEntry]:
        """The newest entries of a chain, newest first; raises TransientError.

        Args:
            retailer: whose.
            before: only entries with a smaller number, for the next page: the number of the last one on this page.
            limit: at most PAGE_MAX are given.
        """
        chosen = ENTRIES.select().where(ENTRIES.c.retailer == retailer)
        if before is not None:
            chosen = chosen.where(ENTRIES.c.number < before)
        with self._database.begin() as connection:
            rows = connection.execute(chosen.order_by(ENTRIES.c.number.desc()).limit(min(limit, PAGE_MAX))).all()
        return [_from_row(row) for row in rows]

    def list_chains(self) -> Sequence[str]:
        """Whose chains there are, in order; raises TransientError."""
        with self._database.begin() as connection:
            heads = connection.scalars(sa.select(HEADS.c.retailer)).all()
            return sorted({*heads, *connection.scalars(sa.select(ENTRIES.c.retailer).distinct())})

    def find_head(self, retailer: str) -> Head:
        """Where a chain stands, to be noted outside; raises TransientError."""
        with self._database.begin() as connection:
            return _read_head(connection, retailer)

    def verify(self, retailer: str, noted: Head | None = None) -> Finding:
        """Checks a chain from its first entry on, also against a head that was noted earlier; raises TransientError."""
        with self._database.begin() as connection:
            # Read before the entries: what others append meanwhile comes after it.
            kept = _read_head(connection, retailer)
        finding = verify_chain(self._walk(retailer), noted)
        if finding.holds and finding.head.following < kept.following:
            gone = kept.following - finding.head.following
            return Finding(finding.head, f"the newest {gone} entries are gone")
        if finding.holds and finding.head.following == kept.following and finding.head.digest != kept.digest:
            return Finding(finding.head, "the newest entry was changed, or the head of the chain was")
        return finding

    def _walk(self, retailer: str) -> Iterator[AuditEntry]:
        """From the oldest, by page, so that a long chain needs little memory and no long transaction."""
        following = -1
        while True:
            chosen = ENTRIES.select().where(ENTRIES.c.retailer == retailer, ENTRIES.c.number > following)
            with self._database.begin() as connection:
                rows = connection.execute(chosen.order_by(ENTRIES.c.number).limit(PAGE_MAX)).all()
            yield from (_from_row(row) for row in rows)
            if len(rows) < PAGE_MAX:
                return
            following = rows[-1].number


def _take_head(connection: sa.Connection, retailer: str) -> Head:
    """The head, which this transaction alone has from here to its end: its first statement writes."""
    connection.execute(_BEGIN, {"retailer": retailer, "genesis": GENESIS})
    counted = HEADS.update().where(HEADS.c.retailer == retailer).values(following=HEADS.c.following + 1)
    row = connection.execute(counted.returning(HEADS.c.following, HEADS.c.digest)).one()
    return Head(row.following - 1, row.digest)


def _read_head(connection: sa.Connection, retailer: str) -> Head:
    row = connection.execute(HEADS.select().where(HEADS.c.retailer == retailer)).one_or_none()
    return Head() if row is None else Head(row.following, row.digest)


def _as_row(entry: AuditEntry) -> dict[str, object]:
    return msgspec.structs.asdict(entry) | {
        "details": msgspec.json.encode(entry.details, order="deterministic").decode()
    }


def _from_row(row: sa.Row[tuple[object, ...]]) -> AuditEntry:
    fields = row._asdict()
    return AuditEntry(**fields | {"details": msgspec.json.decode(fields["details"])})
