"""MongoDB as a source: change streams opened before the collections are scanned, so that nothing falls between.

One stream per collection, read in turn. A document that changes during the scan comes twice, which is harmless.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pymongo
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.timestamp import Timestamp
from pymongo.errors import ConfigurationError as DriverConfigurationError
from pymongo.errors import OperationFailure, PyMongoError

from connectors.config import ConnectorConfig, MongodbServer
from connectors.mongodb_position import (
    CollectionStart,
    MongoPosition,
    key_candidates,
    parse_position,
    snapshot_text,
    stream_text,
)
from connectors.ports import Item, Mark, Position, Row
from connectors.values import at_path
from contract.errors import ConfigurationError, PositionDeadError, TransientError

CHUNK_ROWS = 500
"""Documents between two marks of a scan, and events read from one stream before the next has its turn."""
POLL_S = 0.02
"""Wait after an empty answer of a server that does not wait by itself."""
AWAIT_MS = 100
"""How long the server may wait for the next transaction before it answers empty."""
ASIDE_S = 0.2
"""Pause between looks at a quiet collection of labels."""
DEAD = frozenset((286, 280, 464))
"""ChangeStreamHistoryLost, ChangeStreamFatalError, and a token of a stream that is gone: whenever they come."""
DEAD_AT_OPENING = frozenset((260, 50811))
"""InvalidResumeToken and a token that does not fit the stream: only an opening can tell."""
_REFUSED = frozenset((13, 18, 26, 40573, 115))
"""Unauthorized, authentication failed, no such namespace, not a replica set, command not supported."""
_GRANTS = 'the user needs the role "read" on the database, and the server must be a replica set'

Document = dict[str, Any]


class MongodbSource:
    """See connectors.ports.Source."""

    def __init__(
        self,
        config: ConnectorConfig,
        server: MongodbServer,
        password: str | None,
        columns: Callable[[str], set[str]],
    ) -> None:
        """Connects to nothing yet; the arguments are those of MysqlSource."""
        self._config = config
        self._server = server
        self._password = password
        self._mapped = columns
        self._tables = {table.name: table for table in config.tables()}
        self._client: pymongo.MongoClient[Document] | None = None

    def check(self) -> list[str]:
        found = set(self._ask(lambda database: database.list_collection_names()))
        return [
            f"database {self._server.database} has no collection {name} (or the user may not see it)"
            for name in self._tables
            if name not in found
        ] + self._stream_faults()

    def sample(self, table: str, limit: int) -> list[Row]:
        found = self._ask(lambda database: list(database[table].find(limit=limit)))
        return [Row(table, "read", document, f"sample#{i}", "direct") for i, document in enumerate(found)]

    def fetch(self, table: str, key: str) -> Row | None:
        name = self._config.key_of(self._tables[table])
        wanted = {name: {"$in": key_candidates(key)}}
        found = self._ask(lambda database: database[table].find_one(wanted))
        return Row(table, "read", found, "fetch", "direct") if found else None

    def snapshot(self, resume: Position | None) -> Iterator[Item]:
        position = parse_position(resume) if resume is not None else self._now()
        if self._config.transactions.snapshot:
            names = list(self._tables)
            first = names.index(position.table) if position.table in names else 0
            for table in names[first:]:
                after = position.after if table == position.table else None
                yield from self._scan(position, table, after)
        yield Mark(stream_text(position))

    def stream(self, start: Position) -> Iterator[Item]:
        position = parse_position(start)
        starts = dict(position.streams)
        for name in self._tables:
            starts.setdefault(name, self._now().streams[name])
        # only transactions are waited for: a wait for labels would hold them up
        main = self._config.transactions.name
        streams = [_Stream(self._collection(name), starts[name], patient=name == main) for name in self._tables]
        try:
            yield from self._turns(streams)
        finally:
            for stream in streams:
                stream.close()

    def acknowledge(self, position: Position) -> None:
        """Nothing to free: the server keeps its oplog by its own rules."""

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _turns(self, streams: "list[_Stream]") -> Iterator[Item]:
        reported = time.monotonic()
        while True:
            rows, began = 0, time.monotonic()
            report = began - reported >= self._server.heartbeat_s
            for stream in streams:
                if report or stream.due <= began:
                    for row in stream.read():
                        rows += 1
                        yield row
            if rows or report:
                reported = time.monotonic()
                starts = {stream.name: stream.start for stream in streams}
                yield Mark(stream_text(MongoPosition(starts)), idle=report and not rows)
            if not rows and time.monotonic() - began < POLL_S:
                time.sleep(POLL_S)

    def _scan(self, position: MongoPosition, table: str, after: object) -> Iterator[Item]:
        order = self._order(table)
        # $gte would leave out every other type of value; the last document comes again rather than risk one
        query = {} if after is None else {order: {"$not": {"$lt": after}}}
        sort = (
            [(order, pymongo.ASCENDING)] if order == "_id" else [(order, pymongo.ASCENDING), ("_id", pymongo.ASCENDING)]
        )
        number = 0
        with (
            translated(),
            self._collection(table).find(
                query, projection=_projection(self._mapped(table) | {order, "_id"}), sort=sort, batch_size=CHUNK_ROWS
            ) as found,
        ):
            for document in found:
                number += 1
                yield Row(table, "read", document, f"snapshot document {number}", "snapshot")
                if number % CHUNK_ROWS == 0:
                    place = at_path(document, order)
                    yield Mark(snapshot_text(position, table, place if _sortable(place) else None))

    def _order(self, table: str) -> str:
        transactions = self._config.transactions
        if table == transactions.name and transactions.snapshot_order == "event_time":
            return transactions.fields.event_time.names()[0]
        return "_id"

    def _now(self) -> MongoPosition:
        """Streams that begin now, on the server's clock."""
        answer: Mapping[str, Any] = self._ask(lambda database: database.command("ping"))
        moment = answer.get("operationTime")
        if not isinstance(moment, Timestamp):
            local: datetime = self._ask(lambda database: database.command("isMaster"))["localTime"]
            moment = Timestamp(int(local.replace(tzinfo=local.tzinfo or UTC).timestamp()), 0)
        return MongoPosition({name: CollectionStart(at=moment) for name in self._tables})

    def _stream_faults(self) -> list[str]:
        """Opens and closes a change stream, so that a missing replica set or privilege is told now."""
        starts = self._now().streams
        try:
            for name in self._tables:
                stream = _Stream(self._collection(name), starts[name], patient=False)
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
            self._client = _connect(self._server, self._password)
        # bytes that are no text stay visible as lone surrogates, so that one bad document does not stop the rest
        options: CodecOptions[Document] = CodecOptions(
            tz_aware=True,
            unicode_decode_error_handler="surrogateescape",
            datetime_conversion=DatetimeConversion.DATETIME_AUTO,
        )
        return self._client.get_database(self._server.database, codec_options=options)


class _Stream:
    """The change stream of one collection: opens when first read, knows where it could go on."""

    def __init__(self, collection: Any, start: CollectionStart, *, patient: bool) -> None:
        self.name: str = collection.name
        self.start = start
        self.due = 0.0
        """Monotonic time of the next turn."""
        self._collection = collection
        self._patient = patient
        self._stream: Any = None

    def read(self) -> Iterator[Row]:
        """What is there now, at most CHUNK_ROWS events."""
        for _ in range(CHUNK_ROWS):
            event = self._next()
            if event is None:
                self.due = 0.0 if self._patient else time.monotonic() + ASIDE_S
                break
            self.start = CollectionStart(token=event["_id"])
            if event["operationType"] == "invalidate":
                # the collection was dropped or renamed; a stream started after this sees the next of that name
                self.close()
                break
            row = row_of(event, self.name)
            if row is not None:
                yield row
        token = self._stream.resume_token if self._stream is not None else None
        if token is not None:
            self.start = CollectionStart(token=token)

    def close(self) -> None:
        """Leaves the server; never raises."""
        if self._stream is not None:
            try:
                self._stream.close()
            except PyMongoError:
                pass
            finally:
                self._stream = None

    def _next(self) -> Document | None:
        if self._stream is None:
            with translated(opening=True):
                self._stream = self._open()
                event: Document | None = self._stream.try_next()
                return event
        with translated():
            following: Document | None = self._stream.try_next()
            return following

    def _open(self) -> Any:
        where: dict[str, Any] = (
            {"start_at_operation_time": self.start.at}
            if self.start.token is None
            else {"start_after": self.start.token}
        )
        return self._collection.watch(
            full_document="updateLookup", max_await_time_ms=AWAIT_MS if self._patient else 1, **where
        )


def row_of(event: Mapping[str, Any], table: str) -> Row | None:
    """The row that a change event tells of; None for deletes, drops and documents that are gone since. Pure."""
    kind = event["operationType"]
    document = event.get("fullDocument")
    if kind not in ("insert", "update", "replace") or not document:
        return None
    moment = event.get("clusterTime")
    at = f"{moment.time}.{moment.inc}" if isinstance(moment, Timestamp) else "unknown"
    touched = None
    description = event.get("updateDescription")
    if description is not None:
        names = [*(description.get("updatedFields") or {}), *(description.get("removedFields") or [])]
        touched = frozenset(name.partition(".")[0] for name in names)
    return Row(
        table,
        "insert" if kind == "insert" else "update",
        document,
        f"oplog {at}",
        "stream",
        None,
        datetime.fromtimestamp(moment.time, UTC) if isinstance(moment, Timestamp) else None,
        touched,
    )


class translated:  # noqa: N801 - reads as a word at its place: with translated()
    """Turns the driver's errors into ours; messages that could quote a document are left out."""

    def __init__(self, *, opening: bool = False) -> None:
        """`opening`: more error codes mean a dead position."""
        self._opening = opening

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DriverConfigurationError):
            raise ConfigurationError([f"MongoDB: {error}"]) from None
        if isinstance(error, OperationFailure):
            raise _failure(error, opening=self._opening) from None
        if isinstance(error, PyMongoError):
            raise TransientError(f"MongoDB: {type(error).__name__}") from None


def _failure(error: OperationFailure, *, opening: bool) -> Exception:
    code = error.code or 0
    if code in DEAD or (opening and code in DEAD_AT_OPENING):
        return PositionDeadError(f"MongoDB no longer has the saved position (code {code})")
    if code in _REFUSED:
        return ConfigurationError([f"MongoDB refuses (code {code}); {_GRANTS}"])
    return TransientError(f"MongoDB: OperationFailure (code {code})")


def _connect(server: MongodbServer, password: str | None) -> pymongo.MongoClient[Document]:
    limit = int(server.silent_after_s * 1000)
    options: dict[str, Any] = {
        "serverSelectionTimeoutMS": min(limit, 10_000),
        "connectTimeoutMS": min(limit, 10_000),
        "socketTimeoutMS": limit,
        "directConnection": server.direct or None,
        "replicaSet": server.replica_set,
        "appname": "tillguard",
    }
    if server.user:
        options |= {"username": server.user, "password": password or "", "authSource": server.auth_source}
    if server.tls:
        tls = server.tls
        options |= {"tls": True, "tlsAllowInvalidHostnames": not tls.check_hostname}
        options |= {"tlsCAFile": str(tls.ca_file)} if tls.ca_file else {}
        options |= {"tlsCertificateKeyFile": str(tls.cert_file)} if tls.cert_file else {}
    with translated():
        return pymongo.MongoClient(
            server.host.split(","), server.port, **{name: value for name, value in options.items() if value is not None}
        )


def _projection(names: set[str]) -> dict[str, int]:
    """The paths, without those that lie inside another (MongoDB refuses both), and without list indexes."""
    cut = {".".join(_until_index(name.split("."))) for name in names}
    return {name: 1 for name in cut if not any(name.startswith(f"{other}.") for other in cut)}


def _until_index(parts: list[str]) -> list[str]:
    number = next((i for i, part in enumerate(parts) if part.isdecimal()), len(parts))
    return parts[:number]


def _sortable(value: object) -> bool:
    """Whether a resumed scan can ask for values from here on."""
    return value is not None and not isinstance(value, Mapping | list)
