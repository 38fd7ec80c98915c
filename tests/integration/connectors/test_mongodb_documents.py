"""Documents of every kind on a server: scan, stream, sample and fetch read them alike, and keep keys apart."""

import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from bson.binary import Binary
from bson.decimal128 import Decimal128
from bson.objectid import ObjectId

from connectors.mongodb import source as source_module
from connectors.ports import Checkpoint, Item, Position, Row
from contract.dead_letters import DeadLetter
from contract.events import Transaction
from support.connector_parts import NOW
from support.connector_worlds import MongoWorld

pytestmark = pytest.mark.integration
OBJECT, UUID = ObjectId("507f1f77bcf86cd799439011"), uuid.UUID("3b241101-e2bb-4255-8caf-4136c566a962")
KEYS = [
    1, "1", 0.5, "0.5", Decimal128("0.1"), OBJECT, str(OBJECT), Binary(UUID.bytes, 4), Binary(UUID.bytes, 3), str(UUID), "k 1",
    datetime(2026, 5, 1, tzinfo=UTC), {"shop": 1, "order": "a"}, {"order": "a", "shop": 1}, True, "true", b"\xff\x00", " A", "A",
]  # fmt: skip


@pytest.fixture
def place(stack: Any) -> Iterator[MongoWorld]:
    made = MongoWorld(stack.endpoints["mongodb"])
    yield made
    made.close()


def rows(items: Sequence[Item]) -> list[Row]:
    return [item for item in items if isinstance(item, Row)]


def streamed(place: MongoWorld, start: Position) -> tuple[list[Row], Position]:
    source, found = place.source(), []
    for item in source.read_stream(start):
        found.append(item)
        if isinstance(item, Checkpoint) and item.idle:
            break
    source.close()
    return rows(found), found[-1].position  # type: ignore[union-attr]


def test_keys_of_every_kind_are_different_transactions_and_each_is_found_again(place: MongoWorld) -> None:
    documents = [
        {"_id": key, "placed_at": NOW, "total": number, "customer_id": Binary(UUID.bytes, 3)}
        for number, key in enumerate(KEYS)
    ]
    half = len(KEYS) // 2
    place.orders.insert_many(documents[:half])
    source = place.source()
    snapshot = list(source.read_snapshot(None))
    source.close()
    place.orders.insert_many(documents[half:])
    later, end = streamed(place, snapshot[-1].position)  # type: ignore[union-attr]
    seen = rows(snapshot) + later
    outcomes = [each for row in seen for each in place.mapper().map_row(row, NOW)]
    transactions = [each for each in outcomes if isinstance(each, Transaction)]
    # the server's clock knows whole seconds only, so the stream may show again what the snapshot gave
    assert len({(each.transaction_id, each.amount_minor) for each in transactions}) == len(KEYS)
    assert len({each.transaction_id for each in transactions}) == len(KEYS)
    assert {each.customer for each in transactions} == {str(UUID)}
    assert {"1", '"1"', str(OBJECT), f'"{OBJECT}"', "k 1"} < {each.transaction_id for each in transactions}
    again = place.source()
    for row in seen:
        found = again.fetch("orders", str(row.values["_id"]))
        assert found is not None
        assert found.values == row.values
    assert {repr(row.values) for row in rows(again.sample("orders", 99))} == {repr(row.values) for row in seen}
    again.close()
    place.orders.insert_one({"_id": "2", "total": 1})
    assert [row.values["_id"] for row in streamed(place, end)[0]] == ['"2"']


def test_one_kind_keeps_its_plain_keys_whatever_comes_later(place: MongoWorld) -> None:
    document = {"placed_at": NOW, "total": 5}
    place.orders.insert_many([{"_id": str(number), **document} for number in range(5)])
    source = place.source()
    position = list(source.read_snapshot(None))[-1].position  # type: ignore[union-attr]
    source.close()
    place.orders.insert_many([{"_id": key, **document} for key in (3, "9")])
    assert [row.values["_id"] for row in streamed(place, position)[0]][-2:] == ['{"$numberLong":"3"}', "9"]


def test_a_scan_by_event_time_gets_past_documents_that_lack_it(
    place: MongoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "CHUNK_ROWS", 5)
    place.text = place.text.replace("  collection: orders", "  collection: orders\n  snapshot_order: event_time")
    odd: list[dict[str, Any]] = [
        {},
        {"placed_at": None},
        {"placed_at": []},
        {"placed_at": {"a": 1}},
        {"placed_at": "x"},
    ]
    place.orders.insert_many([{"_id": number, "total": 5, **odd[number % 5]} for number in range(17)])
    place.orders.insert_many([{"_id": 100 + number, "total": 5, "placed_at": NOW} for number in range(9)])
    source = place.source()
    found = list(source.read_snapshot(None))
    everything = {row.values["_id"] for row in rows(found)}
    assert len(everything) == 26
    outcomes = [each for row in rows(found) for each in place.mapper().map_row(row, NOW)]
    letters = [each for each in outcomes if isinstance(each, DeadLetter)]
    assert {each.key for each in letters} == {str(number) for number in range(17)}
    for number, item in enumerate(found):
        if isinstance(item, Checkpoint) and item.position.stage == "snapshot":
            rest = rows(list(source.read_snapshot(item.position)))
            assert {row.values["_id"] for row in rows(found[:number]) + rest} == everything
    source.close()


def test_paths_that_no_server_takes_are_named_by_check(place: MongoWorld) -> None:
    place.text = place.text.replace("customer: customer_id", "customer: customer..id")
    source = place.source()
    assert source.check() == [
        "customer..id is no path: every part between dots must be a field name, and none may begin with $"
    ]
    source.close()
