"""MongoDB as a source: change streams opened before the collections are scanned, so that nothing falls between.

One stream per collection, read in turn. A document that changes during the scan comes twice, which is harmless.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pymongo
from bson.timestamp import Timestamp
from pymongo.errors import PyMongoError

from connectors.config.connector_file import ConnectorConfig, MongodbServer
from connectors.mongodb.client import can_split_large_events, connect, get_database
from connectors.mongodb.documents import Reading, find_path_faults, get_value, list_top_level
from connectors.mongodb.faults import translated
from connectors.mongodb.position import (
    CollectionStart,
    MongoPosition,
    can_resume_from,
    describe_places,
    encode_snapshot,
    encode_stream,
    parse_position,
)
from connectors.mongodb.stream import ChangeStream
from connectors.mongodb.values import UUID_REPRESENTATIONS, Spelling, find_spelling, list_key_candidates
from connectors.ports import Checkpoint, Extent, Item, Position, Row
from contract.errors import ConfigurationError, TransientError

CHUNK_ROWS = 500
"""Documents between two marks of a scan."""
POLL_S = 0.02
"""Wait after an empty answer of a server that does not wait by itself."""
LOOK_ROWS = 1_000
"""Documents that decide how a collection's keys are written."""

Document = dict[str, Any]


class MongodbSource:
    """See connectors.ports.Source."""

    def __init__(
        self,
        config: ConnectorConfig,
        server: MongodbServer,
        password: str | None,
        columns: Callable[[str], set[str]],
        known: Position | None = None,
    ) -> None:
        """Connects to nothing yet.

        Args:
            config: The connector file.
            server: Its `source`.
            password: The user's.
            columns: Paths that the mapping reads from a collection; for every collection empty: whole documents.
            known: The saved position: it says how keys were written when they were first seen.
        """
        self._config = config
        self._server = server
        self._password = password
        self._representation = UUID_REPRESENTATIONS[server.uuid_representation]
        self._main = config.transactions.name
        self._readings = {
            table.name: Reading(config, table, columns(table.name), self._representation)
            for table in config.list_tables()
        }
        self._names = {name: columns(name) for name in self._readings}
        self._spellings: dict[str, Spelling] = {}
        self._remember(known)
        self._stuck: dict[str, tuple[CollectionStart, float]] = {}
        self._splits: bool | None = None
        self._client: pymongo.MongoClient[Document] | None = None

    def check(self) -> list[str]:
        faults = [fault for names in self._names.values() for fault in find_path_faults(names)]
        if faults:
            return faults
        found = set(self._ask(lambda database: database.list_collection_names()))
        return [
            f"database {self._server.database} has no collection {name} (or the user may not see it)"
            for name in self._readings
            if name not in found
        ] + self._stream_faults()

    def sample(self, table: str, limit: int) -> list[Row]:
        found = self._ask(lambda database: list(database[table].find(limit=limit)))
        self._look()
        return [self._row(table, document, f"sample#{i}", "direct") for i, document in enumerate(found)]

    def fetch(self, table: str, key: str) -> Row | None:
        reading = self._readings[table]
        self._look()
        wanted = {reading.key: {"$in": list_key_candidates(key, self._representation)}}
        found = self._ask(lambda database: list(database[table].find(wanted)))
        spelling = self._spelling(table)
        document = next((each for each in found if reading.read_key(each, spelling) == key), None)
        return None if document is None else self._row(table, document, "fetch", "direct")

    def read_snapshot(self, resume: Position | None) -> Iterator[Item]:
        self._begin(resume)
        position = parse_position(resume) if resume is not None else MongoPosition(self._now())
        position = position._replace(spellings=self._spellings)
        if self._config.transactions.snapshot:
            names = list(self._readings)
            first = names.index(position.table) if position.table in names else 0
            for table in names[first:]:
                after = position.after if table == position.table else None
                # how keys are written is on record before the first of them leaves
                before = position.rows if after is not None else 0
                yield Checkpoint(encode_snapshot(position, table, after, before))
                yield Extent(table, self._estimate_rows(table), before)
                yield from self._scan(position, table, after, before)
        yield Checkpoint(encode_stream(position))

    def read_stream(self, start: Position) -> Iterator[Item]:
        self._begin(start)
        starts = dict(parse_position(start).streams)
        for name in self._readings:
            if name not in starts:
                starts[name] = self._now()[name]
        streams = [self._stream(name, starts[name]) for name in self._readings]
        try:
            yield from self._turns(streams)
        finally:
            for stream in streams:
                stream.close()

    def acknowledge(self, position: Position) -> None:
        """Nothing to free: the server keeps its oplog by its own rules."""

    def describe_position(self, position: Position) -> str:
        return describe_places(parse_position(position))

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _turns(self, streams: list[ChangeStream]) -> Iterator[Item]:
        reported = time.monotonic()
        while True:
            rows, began = 0, time.monotonic()
            report = began - reported >= self._server.heartbeat_s
            for stream in streams:
                if report or stream.due <= began:
                    for item in self._read(stream):
                        rows += 1
                        yield item
            if rows or report:
                reported = time.monotonic()
                starts = {stream.name: stream.start for stream in streams}
                position = MongoPosition(starts, spellings=self._spellings)
                yield Checkpoint(encode_stream(position), idle=report and not rows)
            if not rows and time.monotonic() - began < POLL_S:
                time.sleep(POLL_S)

    def _read(self, stream: ChangeStream) -> Iterator[Item]:
        """The rows of one turn; an error that comes again and again at one place ends in words that help."""
        reading = self._readings[stream.name]
        try:
            for event in stream.read():
                document = event.get("fullDocument") or event.get("documentKey") or {}
                self._learn(stream.name, [document])
                item = reading.read_change(event, self._spelling(stream.name), self._spelling(self._main))
                if item is not None:
                    yield item
        except TransientError as error:
            self._count(stream, error)
            raise

    def _count(self, stream: ChangeStream, error: TransientError) -> None:
        now = time.monotonic()
        start, since = self._stuck.get(stream.name, (None, now))
        if start != stream.start:
            since = now
        self._stuck[stream.name] = (stream.start, since)
        if now - since > self._config.limits.source_down_s:
            fault = (
                f"{error}. The change stream of {stream.name} has failed so at one place for {now - since:.0f} s. "
                "Look into the server's log; if that place can never be read, "
                f"`tillguard connector positions reset {self._config.name}` reads the collections again from there on"
            )
            raise ConfigurationError([fault]) from None

    def _scan(self, position: MongoPosition, table: str, after: object, before: int) -> Iterator[Item]:
        order = self._order(table)
        # $gte would leave out every other type of value; the last document comes again rather than risk one
        query = {} if after is None else {order: {"$not": {"$lt": after}}}
        sort = [(order, pymongo.ASCENDING)] + ([] if order == "_id" else [("_id", pymongo.ASCENDING)])
        number = 0
        with (
            translated(),
            self._collection(table).find(query, batch_size=CHUNK_ROWS, sort=sort, **self._projection(table)) as found,
        ):
            for document in found:
                number += 1
                self._learn(table, [document])
                yield self._row(table, document, f"snapshot document {number}", "snapshot")
                if number % CHUNK_ROWS == 0:
                    place = get_value(document, order)
                    after = place if can_resume_from(place) else after
                    known = position._replace(spellings=self._spellings)
                    yield Checkpoint(encode_snapshot(known, table, after, before + number))

    def _estimate_rows(self, table: str) -> int | None:
        """By the collection's metadata; None where the server does not say, which fails nothing: it is told to people only."""
        try:
            return int(self._collection(table).estimated_document_count())
        except PyMongoError:
            return None

    def _projection(self, table: str) -> dict[str, Any]:
        names = self._names[table] | {self._readings[table].key, self._order(table)}
        return {"projection": dict.fromkeys(list_top_level(names), 1)} if self._names[table] else {}

    def _row(self, table: str, document: Document, coordinates: str, phase: Any) -> Row:
        values = self._readings[table].read_values(document, self._spelling(table), self._spelling(self._main))
        return Row(table, "read", values, coordinates, phase)

    def _order(self, table: str) -> str:
        transactions = self._config.transactions
        if table == transactions.name and transactions.snapshot_order == "event_time":
            return transactions.fields.event_time.list_names()[0]
        return "_id"

    def _remember(self, position: Position | None) -> bool:
        """Whether `position` has how keys are written."""
        known = parse_position(position).spellings if position is not None and position.text else None
        self._spellings |= known or {}
        return known is not None

    def _begin(self, position: Position | None) -> None:
        """Looks once only: after that the first document decides, which is the same one after every restart."""
        if not self._remember(position):
            self._look()

    def _look(self) -> None:
        """Decides how keys are written wherever that is not on record yet."""
        for name, reading in self._readings.items():
            if name not in self._spellings:
                shown = {"projection": dict.fromkeys(list_top_level({reading.identity}), 1)}
                self._learn(name, self._ask(lambda database: list(database[name].find(limit=LOOK_ROWS, **shown))))  # noqa: B023 - asked at once

    def _learn(self, table: str, documents: list[Document]) -> None:
        if table not in self._spellings:
            found = find_spelling(get_value(document, self._readings[table].identity) for document in documents)
            if found is not None:
                self._spellings[table] = found

    def _spelling(self, table: str) -> Spelling:
        return self._spellings.get(table, Spelling(strings=False))

    def _now(self) -> Mapping[str, CollectionStart]:
        """Streams that begin now, on the server's clock."""
        answer: Mapping[str, Any] = self._ask(lambda database: database.command("ping"))
        moment = answer.get("operationTime")
        if not isinstance(moment, Timestamp):
            local: datetime = self._ask(lambda database: database.command("isMaster"))["localTime"]
            moment = Timestamp(int(local.replace(tzinfo=local.tzinfo or UTC).timestamp()), 0)
        return {name: CollectionStart(at=moment) for name in self._readings}

    def _stream(self, name: str, start: CollectionStart) -> ChangeStream:
        if self._splits is None:
            version = self._ask(lambda database: database.command("buildInfo")).get("versionArray")
            self._splits = can_split_large_events(version)
        # only transactions are waited for: a wait for labels would hold them up
        names = self._names[name] | {self._readings[name].key}
        return ChangeStream(
            self._collection(name), start, fields=list_top_level(names), patient=name == self._main, splits=self._splits
        )

    def _stream_faults(self) -> list[str]:
        """Opens and closes a change stream, so that a missing replica set or privilege is told now."""
        starts = self._now()
        try:
            for name in self._readings:
                stream = self._stream(name, starts[name])
                list(stream.read())
                stream.close()
        except ConfigurationError as error:
            return error.faults
        return []

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        with translated():
            return question(self._database())

    def _collection(self, name: str) -> Any:
        return self._database()[name]

    def _database(self) -> Any:
        if self._client is None:
            self._client = connect(self._server, self._password)
        return get_database(self._client, self._server.database)
