"""Records of a retailer's topics, batches of them in a read model, and all of its rows, for tests."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import sqlalchemy as sa

from backoffice.projection.gathering import gather
from backoffice.projection.record_reader import RecordReader, TopicRecord
from backoffice.projection.store import Position, Progress, ReadModelStore
from backoffice.projection.tables import METADATA
from contract.alarms import Alarm
from contract.clock import to_epoch_ms
from contract.codec import encode
from contract.dead_letters import DeadLetter
from contract.events import Label, Origin, Resolution, Transaction
from contract.status.message import ProcessStatus
from contract.topics import ALARMS, DEAD_LETTERS, LABELS, RESOLUTIONS, STATUS, TRANSACTIONS, VERDICTS
from contract.verdicts import Verdict

RETAILER = "acme"
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
TOPIC_ID = "topic-1"
KINDS: dict[type, str] = {
    Transaction: TRANSACTIONS.kind,
    Verdict: VERDICTS.kind,
    Label: LABELS.kind,
    Resolution: RESOLUTIONS.kind,
    Alarm: ALARMS.kind,
    DeadLetter: DEAD_LETTERS.kind,
    ProcessStatus: STATUS.kind,
}
NOT_COMPARED = {"retailer", "seq"}


def make_transaction(transaction_id: str = "t-1", **changed: Any) -> Transaction:
    return msgspec.structs.replace(
        Transaction(
            transaction_id=transaction_id,
            retailer=RETAILER,
            event_time=NOON,
            ingest_time=NOON + timedelta(seconds=1),
            amount_minor=10_000,
            currency="EUR",
            origin=Origin(connector="orders", phase="stream", source="shop.orders", position="1"),
            customer="c-1",
            device="d-1",
        ),
        **changed,
    )


def make_verdict(transaction_id: str = "t-1", **changed: Any) -> Verdict:
    return msgspec.structs.replace(
        Verdict(
            transaction_id=transaction_id,
            retailer=RETAILER,
            revision=1,
            decision="hold",
            score=0.5,
            reasons=[],
            model_version="acme-1",
            rules_version="rules-1",
            feature_schema="v1-0123456789ab",
            rules=[],
            degraded=False,
            cause=None,
            late=False,
            event_time=NOON,
            scored_at=NOON + timedelta(seconds=2),
            latency_ms=12.5,
            stage_us={"model": 900.0},
            hold_until=NOON + timedelta(minutes=15),
        ),
        **changed,
    )


def make_label(transaction_id: str = "t-1", **changed: Any) -> Label:
    return msgspec.structs.replace(
        Label(
            transaction_id=transaction_id,
            retailer=RETAILER,
            fraud=True,
            source="chargeback",
            label_time=NOON + timedelta(days=1),
            ingest_time=NOON + timedelta(days=1),
            origin=Origin(connector="chargebacks", phase="stream", source="shop.chargebacks", position="1"),
        ),
        **changed,
    )


def make_resolution(transaction_id: str = "t-1", **changed: Any) -> Resolution:
    return msgspec.structs.replace(
        Resolution(
            resolution_id=f"r-{transaction_id}",
            transaction_id=transaction_id,
            retailer=RETAILER,
            outcome="approved",
            actor="ana",
            resolved_at=NOON + timedelta(minutes=5),
        ),
        **changed,
    )


def make_alarm(alarm_id: str = "breaker-1", **changed: Any) -> Alarm:
    return msgspec.structs.replace(
        Alarm(
            alarm_id=alarm_id,
            retailer=RETAILER,
            kind="breaker_open",
            severity="critical",
            raised_at=NOON,
            part="scoring",
            subject=RETAILER,
            text="31 holds in a minute",
            remedy="look at the newest model",
            values={"stopped": 31.0},
        ),
        **changed,
    )


def make_letter(**changed: Any) -> DeadLetter:
    return msgspec.structs.replace(
        DeadLetter(
            retailer=RETAILER,
            part="scoring",
            reason="malformed",
            detail="trailing characters",
            source="acme.transactions.v1",
            position="3:42",
            failed_at=NOON,
            key="t-9",
        ),
        **changed,
    )


def record(message: Any, *, key: str | None = None, offset: int = 0, partition: int = 0, **changed: Any) -> TopicRecord:
    """The message as it stands on its topic; appended a millisecond later for each offset."""
    name = key or getattr(message, "transaction_id", None) or getattr(message, "alarm_id", None) or "t-9"
    made = TopicRecord(
        KINDS[type(message)], TOPIC_ID, partition, offset, to_epoch_ms(NOON) + offset, name.encode(), encode(message)
    )
    return made._replace(**changed)


def erasure(key: str = "t-1", kind: str = TRANSACTIONS.kind, *, offset: int = 0, partition: int = 0) -> TopicRecord:
    return TopicRecord(kind, TOPIC_ID, partition, offset, to_epoch_ms(NOON) + offset, key.encode(), None)


def renamed(records: Iterable[TopicRecord], retailer: str) -> list[TopicRecord]:
    """The same records, of another retailer."""
    old, new = f'"retailer":"{RETAILER}"'.encode(), f'"retailer":"{retailer}"'.encode()
    return [each._replace(value=each.value and each.value.replace(old, new)) for each in records]


class Feeder:
    """Gives records to a read model as a projector does, without Kafka."""

    def __init__(self, store: ReadModelStore, retailer: str = RETAILER) -> None:
        self.store, self.retailer = store, retailer
        self.reader = RecordReader(retailer, "EUR", {"USD": 0.5})
        self.progress: Progress = store.read_progress(retailer)

    def feed(self, *records: TopicRecord) -> None:
        """One batch."""
        changes = [change for each in records if (change := self.reader.read(each)) is not None]
        moved = {
            (f"{self.retailer}.{each.kind}.v1", each.partition): Position(each.topic_id, each.offset + 1)
            for each in records
        }
        self.progress = self.store.write(self.retailer, self.progress, gather(changes), moved)


def dump(store: ReadModelStore, retailer: str = RETAILER, *, without: Sequence[str] = ()) -> Mapping[str, list[Any]]:
    """Every row of the retailer by table, without numbers that depend on the order of arrival."""
    rows: dict[str, list[Any]] = {}
    with store.begin() as connection:
        for table in METADATA.sorted_tables:
            if table.name in {"projections", "positions", *without}:
                continue
            columns = [column for column in table.c if column.name not in NOT_COMPARED]
            chosen = sa.select(*columns).where(table.c.retailer == retailer)
            rows[table.name] = sorted((tuple(row) for row in connection.execute(chosen)), key=repr)
    return rows
