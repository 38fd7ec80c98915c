"""The examples store: what serving saw and what it turned out to be, kept for learning. SQLAlchemy tables.

Invariant: everything one call to `put` brings is there, or nothing; the same again changes nothing. Features and labels
come in any order and wait for each other. Every revision of a label is kept as long as its transaction is. Which label holds and
what counts as genuine is decided on reading, by trainer.examples.labels.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from contract.clock import to_epoch_ms
from contract.events import Label
from contract.features import FeatureRecord, find_plain_columns, is_plain
from contract.risk import KnownOutcome
from contract.windows import DAY_MS
from runtime.database import Database
from trainer.examples.labels import Known, Revision, find_newest
from trainer.examples.outcomes import SeenTransaction, derive_outcome
from trainer.examples.tables import EXAMPLES, LABELS, TRAININGS
from trainer.examples.upgrade_vector import upgrade

PAGE = 4_000
"""Rows read at once; memory stays at some megabytes however large the store."""
IDS_MAX = 1_000
"""Ids in one question."""
T = TypeVar("T")


class Counts(NamedTuple):
    """Examples by the label that holds now, whatever its source."""

    fraud: int
    genuine: int
    unlabelled: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.fraud + self.genuine + self.unlabelled


class ExampleStore:
    """One retailer's examples. Used by one thread; any number of processes may read next to the one that writes."""

    def __init__(self, url: str, retailer: str) -> None:
        """Opens it and brings its tables up to date.

        Raises ConfigurationError for a URL that cannot be used, TransientError where the database does not answer.
        """
        self._retailer = retailer
        self._database = Database(
            url,
            setting="trainer.examples_url",
            what="the examples store's database",
            read_while_written=True,  # a training reads for seconds, ingestion continues meanwhile
        )
        self._database.upgrade("trainer.examples:migrations", lock="examples")

    def close(self) -> None:
        """Gives the connections back."""
        self._database.close()

    def put(self, records: Sequence[FeatureRecord], labels: Sequence[Label]) -> int:
        """Takes in both, in the order in which they came; gives the number of labels that were new.

        On return they are on disk. Blocks for some milliseconds per thousand. Raises TransientError; then nothing was
        taken, and the same call may be repeated.
        """
        by_id = {record.transaction_id: record for record in records}
        with self._database.begin() as connection:
            fresh = self._new_labels(connection, labels)
            if fresh:
                connection.execute(LABELS.insert(), fresh)
            touched = list(dict.fromkeys([*by_id, *(row["transaction_id"] for row in fresh)]))
            held = {name: find_newest(found) for name, found in self._revisions(connection, touched).items()}
            fraud = {name: None if label is None else label.fraud for name, label in held.items()}
            for part in _chunks(list(by_id), IDS_MAX):
                connection.execute(EXAMPLES.delete().where(*self._of(EXAMPLES, part)))
                rows = [_row(self._retailer, by_id[name], fraud.get(name)) for name in part]
                connection.execute(EXAMPLES.insert(), rows)
            late = [{"name": name, "now": fraud.get(name)} for name in touched if name not in by_id]
            if late:
                update = EXAMPLES.update().where(
                    EXAMPLES.c.retailer == self._retailer, EXAMPLES.c.transaction_id == sa.bindparam("name")
                )
                connection.execute(update.values(fraud=sa.bindparam("now")), late)
        return len(fresh)

    def forget(self, transaction_ids: Sequence[str]) -> None:
        """Erases transactions with all their labels, as `tillguard forget` asks by tombstones. Raises TransientError."""
        for chunk in _chunks(list(transaction_ids), IDS_MAX):
            with self._database.begin() as connection:
                self._delete(connection, chunk)

    def read_known(self, *, relabelled: bool = False) -> Iterator[list[Known]]:
        """Every transaction without its features, with all revisions, in order of event_time and applied_seq, by pages.

        `relabelled`: only those that more than one label came for. What is put in meanwhile may or may not appear. Raises TransientError.
        """
        c = EXAMPLES.c
        order = (c.event_time_ms, c.applied_seq, c.transaction_id)
        light = sa.select(
            c.transaction_id, c.event_time_ms, c.applied_seq, c.decision, c.control, c.amount_base_minor, c.fraud
        )
        page = light.where(c.retailer == self._retailer).order_by(*order).limit(PAGE)
        if relabelled:
            page = page.where(c.transaction_id.in_(self._of_several_labels()))
        after: tuple[int, int, str] | None = None
        while True:
            query = page
            if after is not None:
                query = page.where(c.event_time_ms >= after[0], sa.tuple_(*order) > sa.tuple_(*map(sa.literal, after)))
            with self._database.begin() as connection:
                rows = connection.execute(query).all()
                told = [name for name, *_, fraud in rows if fraud is not None]
                revisions = self._revisions(connection, told)
            if rows:
                yield [
                    Known(name, time_ms, applied_seq, decision, bool(control), amount, tuple(revisions.get(name, ())))
                    for name, time_ms, applied_seq, decision, control, amount, _ in rows
                ]
            if len(rows) < PAGE:
                return
            after = (rows[-1].event_time_ms, rows[-1].applied_seq, rows[-1].transaction_id)

    def read_features(self, transaction_ids: Sequence[str]) -> Iterator[tuple[list[int], NDArray[np.float32]]]:
        """Feature rows of the transactions, by pages: places in `transaction_ids`, and rows of shape (k, F).

        Rows of an older schema that the present one begins with are widened by NaN. What is not there (any more), or
        was recorded under a schema that cannot be widened, is left out. Raises TransientError.
        """
        c = EXAMPLES.c
        start = 0
        for chunk in _chunks(list(transaction_ids), IDS_MAX):
            query = sa.select(c.transaction_id, c.feature_schema, c.features).where(*self._of(EXAMPLES, chunk))
            with self._database.begin() as connection:
                stored = {name: (values, schema) for name, schema, values in connection.execute(query).all()}
            places, rows = [], []
            for place, name in enumerate(chunk, start):
                row = upgrade(*stored[name]) if name in stored else None
                if row is not None:
                    places.append(place)
                    rows.append(row)
            start += len(chunk)
            if rows:
                yield places, np.stack(rows)

    def read_outcomes(self, transaction_ids: Sequence[str], as_of: datetime) -> list[KnownOutcome]:
        """What is known of these transactions at `as_of` and acts on the risk of their entities. Raises TransientError."""
        c = EXAMPLES.c
        columns = (c.transaction_id, c.event_time_ms, c.feature_schema, c.features, c.entities)
        found: list[KnownOutcome] = []
        for chunk in _chunks(list(dict.fromkeys(transaction_ids)), IDS_MAX):
            labelled = sa.select(*columns).where(*self._of(EXAMPLES, chunk), c.fraud.is_not(None))
            with self._database.begin() as connection:
                rows = [_seen(row) for row in connection.execute(labelled)]
                revisions = self._revisions(connection, [row.transaction_id for row in rows])
            told = (
                derive_outcome(self._retailer, row, revisions.get(row.transaction_id, []), to_epoch_ms(as_of))
                for row in rows
            )
            found += [each for each in told if each is not None]
        return found

    def list_labelled_since(self, event_time_ms: int) -> list[str]:
        """Transactions from then on that a label came for, by event_time. Raises TransientError."""
        c = EXAMPLES.c
        query = sa.select(c.transaction_id).where(
            c.retailer == self._retailer, c.event_time_ms >= event_time_ms, c.fraud.is_not(None)
        )
        with self._database.begin() as connection:
            return list(connection.execute(query.order_by(c.event_time_ms)).scalars())

    def list_labelled_between(self, after: datetime, until: datetime) -> list[str]:
        """Transactions with a label whose label_time lies after the one moment and not after the other. Raises TransientError."""
        c = LABELS.c
        dated = (c.label_time_ms > to_epoch_ms(after), c.label_time_ms <= to_epoch_ms(until))
        query = sa.select(c.transaction_id).where(c.retailer == self._retailer, *dated).distinct()
        with self._database.begin() as connection:
            return list(connection.execute(query).scalars())

    def list_revisions(self, transaction_id: str) -> list[Revision]:
        """Every label that came for the transaction, in order of label_time. Raises TransientError."""
        with self._database.begin() as connection:
            return sorted(self._revisions(connection, [transaction_id]).get(transaction_id, []))

    def read_watermark_ms(self) -> int | None:
        """The newest event_time; None while the store is empty. Raises TransientError."""
        query = sa.select(sa.func.max(EXAMPLES.c.event_time_ms)).where(EXAMPLES.c.retailer == self._retailer)
        with self._database.begin() as connection:
            newest_ms = connection.scalar(query)
        return None if newest_ms is None else int(newest_ms)

    def count(self) -> Counts:
        """How many examples there are. Raises TransientError."""
        c = EXAMPLES.c
        query = sa.select(c.fraud, sa.func.count()).where(c.retailer == self._retailer).group_by(c.fraud)
        with self._database.begin() as connection:
            found = {fraud: int(count) for fraud, count in connection.execute(query)}
        return Counts(found.get(True, 0), found.get(False, 0), found.get(None, 0))

    def read_label_number(self) -> int:
        """The number of the label that came last; 0 before the first. Raises TransientError."""
        query = sa.select(sa.func.max(LABELS.c.number)).where(LABELS.c.retailer == self._retailer)
        with self._database.begin() as connection:
            return int(connection.scalar(query) or 0)

    def count_new_labels(self) -> int:
        """Labels that came since the last training that ended. Raises TransientError."""
        c = LABELS.c
        with self._database.begin() as connection:
            trained = connection.scalar(
                sa.select(TRAININGS.c.label_number).where(TRAININGS.c.retailer == self._retailer)
            )
            query = sa.select(sa.func.count()).where(c.retailer == self._retailer, c.number > (trained or 0))
            return int(connection.scalar(query) or 0)

    def note_training_ended(self, label_number: int, at: datetime) -> None:
        """Labels up to `label_number` have been learned from, or refused with a reason. Raises TransientError."""
        with self._database.begin() as connection:
            connection.execute(TRAININGS.delete().where(TRAININGS.c.retailer == self._retailer))
            connection.execute(
                TRAININGS.insert().values(retailer=self._retailer, label_number=label_number, ended_ms=to_epoch_ms(at))
            )

    def prune(self, *, examples_max: int, examples_days: float, frauds_days: float) -> int:
        """Keeps the store within its bounds; gives the number of examples that went, each with its labels.

        By age (against the newest event_time) genuine and unlabelled examples go after `examples_days`, frauds after
        `frauds_days`. Above `examples_max` the oldest go, frauds only when nothing else is left. Labels that no
        transaction came for go after `frauds_days`. May be cut short at any moment. Raises TransientError.
        """
        watermark_ms = self.read_watermark_ms()
        if watermark_ms is None:
            return 0
        c = EXAMPLES.c
        not_fraud = sa.or_(c.fraud.is_(None), c.fraud.is_(False))
        genuine_before = watermark_ms - int(examples_days * DAY_MS)
        frauds_before = watermark_ms - int(frauds_days * DAY_MS)
        gone = self._drop(None, c.event_time_ms < genuine_before, not_fraud)
        gone += self._drop(None, c.event_time_ms < frauds_before)
        gone += self._drop(self.count().total - examples_max, not_fraud)
        gone += self._drop(self.count().total - examples_max)
        self._drop_orphans(frauds_before)
        return gone

    def _drop(self, count: int | None, *conditions: sa.ColumnElement[bool]) -> int:
        """The oldest `count` examples (None: all) that meet the conditions."""
        c = EXAMPLES.c
        victims = sa.select(c.transaction_id).where(c.retailer == self._retailer, *conditions).order_by(c.event_time_ms)
        gone = 0
        while count is None or gone < count:
            limit = IDS_MAX if count is None else min(IDS_MAX, count - gone)
            with self._database.begin() as connection:
                chunk = list(connection.execute(victims.limit(limit)).scalars())
                if chunk:
                    self._delete(connection, chunk)
            gone += len(chunk)
            if len(chunk) < limit:
                break
        return gone

    def _drop_orphans(self, before_ms: int) -> None:
        c = LABELS.c
        there = sa.exists().where(EXAMPLES.c.retailer == c.retailer, EXAMPLES.c.transaction_id == c.transaction_id)
        old = (
            sa.select(c.number).where(c.retailer == self._retailer, c.label_time_ms < before_ms, ~there).limit(IDS_MAX)
        )
        while True:
            with self._database.begin() as connection:
                numbers = list(connection.execute(old).scalars())
                connection.execute(LABELS.delete().where(c.number.in_(numbers)))
            if len(numbers) < IDS_MAX:
                return

    def _delete(self, connection: sa.Connection, transaction_ids: Sequence[str]) -> None:
        for table in (EXAMPLES, LABELS):
            connection.execute(table.delete().where(*self._of(table, transaction_ids)))

    def _of(self, table: sa.Table, transaction_ids: Sequence[str]) -> tuple[sa.ColumnElement[bool], ...]:
        return table.c.retailer == self._retailer, table.c.transaction_id.in_(transaction_ids)

    def _new_labels(self, connection: sa.Connection, labels: Sequence[Label]) -> list[dict[str, Any]]:
        """Rows for those of `labels` that the store does not hold yet."""
        seen = {
            (name, label.label_time_ms, label.source, label.fraud)
            for name, found in self._revisions(connection, [label.transaction_id for label in labels]).items()
            for label in found
        }
        fresh = []
        for label in labels:
            key = (label.transaction_id, to_epoch_ms(label.label_time), label.source, label.fraud)
            if key not in seen:
                seen.add(key)
                fresh.append(_label_row(self._retailer, label))
        return fresh

    def _of_several_labels(self) -> sa.Select[tuple[str]]:
        name = LABELS.c.transaction_id
        return sa.select(name).where(LABELS.c.retailer == self._retailer).group_by(name).having(sa.func.count() > 1)

    def _revisions(self, connection: sa.Connection, transaction_ids: Sequence[str]) -> dict[str, list[Revision]]:
        c, found = LABELS.c, dict[str, list[Revision]]()
        for chunk in _chunks(list(dict.fromkeys(transaction_ids)), IDS_MAX):
            query = sa.select(c.transaction_id, c.label_time_ms, c.number, c.source, c.fraud, c.kind)
            # Unpacked, since looking up the columns of each row by name takes longer than reading it.
            for name, time_ms, number, source, fraud, kind in connection.execute(
                query.where(*self._of(LABELS, chunk))
            ).all():
                found.setdefault(name, []).append(Revision(time_ms, number, source, bool(fraud), kind))
        return found


def _row(retailer: str, record: FeatureRecord, fraud: bool | None) -> dict[str, Any]:
    return {
        "retailer": retailer,
        "transaction_id": record.transaction_id,
        "event_time_ms": to_epoch_ms(record.event_time),
        "applied_seq": record.applied_seq,
        "feature_schema": record.feature_schema,
        "features": record.values,
        "score": record.score,
        "model_version": record.model_version,
        "decision": record.decision,
        "control": record.control,
        "amount_base_minor": record.amount_base_minor,
        "entities": record.entities,
        "fraud": fraud,
    }


def _label_row(retailer: str, label: Label) -> dict[str, Any]:
    return {
        "retailer": retailer,
        "transaction_id": label.transaction_id,
        "label_time_ms": to_epoch_ms(label.label_time),
        "source": label.source,
        "fraud": label.fraud,
        "kind": label.kind,
    }


def _seen(row: Any) -> SeenTransaction:
    features = upgrade(row.features, row.feature_schema)
    unexplained = features is not None and is_plain(*(float(features[column]) for column in find_plain_columns()))
    return SeenTransaction(row.transaction_id, row.event_time_ms, row.entities, unexplained)


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
