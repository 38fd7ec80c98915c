"""Change streams: errors by a closed table, events too large to send, fragments, and errors that never end."""

from collections.abc import Iterator
from typing import Any, NoReturn, Self

import pytest
from bson.errors import InvalidBSON
from pymongo import errors
from pymongo.errors import OperationFailure

from connectors.config.connector_file import MongodbServer
from connectors.mongodb.client import can_split_large_events
from connectors.mongodb.documents import OVERSIZED
from connectors.mongodb.faults import (
    CONFIGURATION,
    DEAD,
    DEAD_AT_OPENING,
    TOO_LARGE,
    TRANSIENT,
    TooLargeError,
    UnknownCodeError,
    translate_error,
    translated,
)
from connectors.mongodb.position import CollectionStart
from connectors.mongodb.source import MongodbSource
from connectors.mongodb.stream import ChangeStream
from contract.errors import ConfigurationError, PositionDeadError, TransientError
from support.connector_parts import config

TEXT = """\
name: orders
source: {kind: mongodb, database: shop}
transactions:
  collection: orders
  fields: {transaction_id: _id, event_time: at, amount: amount, currency: {constant: EUR}}
limits: {source_down_s: 100}
"""


class Cursor:
    """A change stream of the driver over events that the collection holds."""

    def __init__(self, collection: "Collection", at: int, *, single: bool, thin: bool) -> None:
        self._collection, self._at, self._single, self._thin = collection, at, single, thin

    def try_next(self) -> dict[str, Any] | None:
        events = self._collection.events
        batch = events[self._at : self._at + (1 if self._single or self._thin else 101)]
        if any(each.get("large") and not (self._thin and each["large"] == 1) for each in batch):
            raise OperationFailure("BSONObj size: 17000000 is invalid", TOO_LARGE)
        if not batch:
            return None
        self._at += 1
        event = dict(batch[0])
        event.pop("large", None)
        if self._thin:
            del event["fullDocument"]
        return event

    @property
    def resume_token(self) -> dict[str, Any]:
        return {"_data": self._at}

    def close(self) -> None:
        self._collection.closed += 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Collection:
    """What a ChangeStream asks of the driver's collection. A large event spoils every batch that would hold its document."""

    name = "orders"

    def __init__(self, events: list[dict[str, Any]]) -> None:
        self.events = events
        self.closed = 0
        self.pipelines: list[Any] = []

    def watch(self, pipeline: Any, **options: Any) -> Cursor:
        self.pipelines.append(pipeline)
        at = options.get("start_after", {"_data": 0})["_data"]
        return Cursor(self, at, single="batch_size" in options, thin="full_document" not in options)


def event(number: int, **more: Any) -> dict[str, Any]:
    document = {"_id": number}
    return {
        "_id": {"_data": number + 1},
        "operationType": "insert",
        "documentKey": document,
        "fullDocument": document,
        **more,
    }


def stream(events: list[dict[str, Any]], *, splits: bool = False) -> ChangeStream:
    return ChangeStream(
        Collection(events), CollectionStart(token={"_data": 0}), fields=["_id", "at"], patient=True, splits=splits
    )


def drained(read: ChangeStream, turns: int = 6) -> list[dict[str, Any]]:
    return [each for _ in range(turns) for each in read.read()]


def test_an_event_too_large_to_send_gives_its_key_and_its_neighbours_come_whole() -> None:
    read = stream([event(0), event(1), event(2, large=1), event(3), event(4, large=1)])
    found = drained(read)
    assert [each["documentKey"]["_id"] for each in found] == [0, 1, 2, 3, 4]
    assert [each["documentKey"]["_id"] for each in found if each.get(OVERSIZED)] == [2, 4]
    assert all(each["fullDocument"] for each in found if not each.get(OVERSIZED))
    assert read.start.token == {"_data": 5}


def test_an_event_that_is_too_large_even_without_its_document_is_a_dead_position() -> None:
    with pytest.raises(PositionDeadError, match="16 MB"):
        drained(stream([event(0), event(1, large=2)]))


def test_only_mapped_fields_are_asked_for_and_large_events_in_fragments_where_the_server_can() -> None:
    collection = Collection([])
    read = ChangeStream(collection, CollectionStart(), fields=["_id", "at"], patient=False, splits=True)
    assert list(read.read()) == []
    project, split = collection.pipelines[0]
    assert {"fullDocument._id", "fullDocument.at", "documentKey", "operationType"} < project["$project"].keys()
    assert "fullDocument" not in project["$project"]
    assert split == {"$changeStreamSplitLargeEvent": {}}
    assert [can_split_large_events(v) for v in ([6, 0, 8, 0], [6, 0, 9, 0], [6, 1, 1], [7, 0, 0], [8, 2, 1, 0], None)] == [
        False, True, False, True, True, False,
    ]  # fmt: skip


def test_fragments_become_one_event_and_the_place_moves_only_when_all_are_there() -> None:
    first = {"_id": {"_data": 1}, "operationType": "update", "splitEvent": {"fragment": 1, "of": 2}}
    last = {"_id": {"_data": 2}, "fullDocument": {"_id": 7}, "splitEvent": {"fragment": 2, "of": 2}}
    whole = drained(stream([first, last], splits=True))
    assert whole == [{"_id": {"_data": 2}, "operationType": "update", "fullDocument": {"_id": 7}}]
    read = stream([first], splits=True)
    assert drained(read) == []
    assert read.start.token == {"_data": 0}


def test_every_code_has_one_meaning_and_an_unknown_one_is_said_to_be_unknown() -> None:
    tables = [TRANSIENT.keys(), DEAD.keys(), CONFIGURATION.keys(), {TOO_LARGE}]
    assert sum(map(len, tables)) == len(set().union(*tables))
    expected = [(TRANSIENT, TransientError), (DEAD, PositionDeadError), (CONFIGURATION, ConfigurationError)]
    for table, kind in expected:
        for code in table:
            assert type(translate_error(OperationFailure("a document", code), opening=False)) is kind
    for code in DEAD_AT_OPENING:
        assert isinstance(translate_error(OperationFailure("x", code), opening=True), PositionDeadError)
        assert isinstance(translate_error(OperationFailure("x", code), opening=False), UnknownCodeError)
    assert isinstance(translate_error(OperationFailure("x", TOO_LARGE), opening=False), TooLargeError)
    for code, label, kind_ in ((77_777, "", UnknownCodeError), (77_777, "ResumableChangeStreamError", TransientError)):
        found = translate_error(OperationFailure("x", code, {"errorLabels": [label]}), opening=False)
        assert type(found) is kind_
    fatal = OperationFailure("x", 77_777, {"errorLabels": ["NonResumableChangeStreamError"]})
    assert isinstance(translate_error(fatal, opening=False), PositionDeadError)


def library_errors() -> Iterator[Exception]:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.PyMongoError):
            yield _made(kind)
    yield InvalidBSON("a customer's name")


def _made(kind: type[Exception]) -> Exception:
    given: dict[type[Exception], tuple[Any, ...]] = {
        errors.BulkWriteError: ({"errmsg": "a customer's name"},),
        errors.ClientBulkWriteException: ({"error": "a customer's name"}, False),
        errors.EncryptedCollectionError: (ValueError("a customer's name"), {}),
        errors.EncryptionError: (ValueError("a customer's name"),),
    }
    return kind(*given.get(kind, ("a customer's name",)))


@pytest.mark.parametrize("error", list(library_errors()), ids=lambda error: type(error).__name__)
def test_every_error_of_the_driver_becomes_one_of_ours_without_its_words(error: Exception) -> None:
    with pytest.raises((TransientError, ConfigurationError, PositionDeadError)) as told, translated():
        _raise(error)
    if not isinstance(told.value, ConfigurationError):
        assert "customer" not in str(told.value)


def _raise(error: Exception) -> NoReturn:
    raise error


def test_an_error_that_comes_again_and_again_at_one_place_ends_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed = config(TEXT)
    assert isinstance(parsed.source, MongodbServer)
    source = MongodbSource(parsed, parsed.source, None, lambda _: {"_id"})
    now = [0.0]
    monkeypatch.setattr("connectors.mongodb.source.time.monotonic", lambda: now[0])

    class Failing(Collection):
        def watch(self, pipeline: Any, **options: Any) -> Cursor:
            raise OperationFailure("x", 77_777)

    def turn(token: int) -> None:
        at = CollectionStart(token={"_data": token})
        list(source._read(ChangeStream(Failing([]), at, fields=["_id"], patient=True, splits=False)))

    for moment, token in ((0.0, 1), (90.0, 1), (95.0, 2), (190.0, 2)):
        now[0] = moment
        with pytest.raises(UnknownCodeError, match="77777"):
            turn(token)
    now[0] = 196.0
    with pytest.raises(ConfigurationError, match="positions reset orders"):
        turn(2)
