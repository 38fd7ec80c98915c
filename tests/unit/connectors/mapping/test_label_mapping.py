"""When a row says fraud or genuine, or how a case was decided; and when it says nothing new."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from connectors.mapping.mapper import MappedMessage, Mapper
from connectors.ports import Row
from contract.dead_letters import DeadLetter
from contract.events import Label, Resolution
from support.connector_parts import MYSQL_TEXT, NOW, admission, config, mapper, row, tokens

CASES = """\
name: orders
source: {kind: mongodb, host: db.example, database: shop}
transactions:
  collection: orders
  fields: {transaction_id: _id, event_time: placed, amount: amount, currency: {constant: EUR}}
labels:
  - collection: reviews
    fields: {transaction_id: order, fraud: verdict, label_time: at}
resolutions:
  - collection: cases
    fields:
      transaction_id: order
      outcome: {column: result, values: {ok: approved, bad: rejected, odd: strange}}
      actor: {column: who, tokenise: true}
      resolved_at: at
      resolution_id: case
  - collection: calls
    fields: {transaction_id: order, outcome: result, actor: who}
"""
HOUR = timedelta(hours=1)


def read(table: str, values: dict[str, Any], change: Any = "insert", **more: Any) -> list[MappedMessage]:
    return mapper(CASES).map_row(Row(table, change, {"_id": 7} | values, "oplog 1.1", "stream", **more), NOW)


def case(**changes: Any) -> dict[str, Any]:
    return {"order": "A1", "result": "ok", "who": "ann@shop.example", "at": NOW - HOUR, "case": "c-1"} | changes


def only(found: list[MappedMessage]) -> Any:
    assert len(found) == 1, found
    return found[0]


def test_a_case_is_told_with_its_own_id_and_time_and_by_a_token_of_who_decided() -> None:
    found = only(read("cases", case()))
    assert isinstance(found, Resolution)
    assert (found.transaction_id, found.outcome, found.resolution_id) == ("A1", "approved", "c-1")
    assert found.resolved_at == NOW - HOUR
    assert "ann" not in found.actor
    assert found.actor == only(read("cases", case(order="A2", result="bad"))).actor


def test_without_an_id_or_a_time_a_case_is_named_by_its_row_and_dated_by_its_change() -> None:
    bare = {"order": "A1", "result": "approved", "who": "ann"}
    found = only(read("calls", bare, changed_at=NOW - 2 * HOUR))
    assert (found.resolution_id, found.resolved_at, found.actor) == ("orders:7:approved", NOW - 2 * HOUR, "ann")
    assert only(read("calls", bare)).resolved_at == NOW
    assert only(read("cases", case(case=None, at=None))).resolution_id == "orders:7:approved"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"order": None}, "field_missing"), ({"who": None}, "field_missing"), ({"result": "odd"}, "field_invalid"), ({"result": "new"}, "field_invalid"),
        ({"at": NOW + timedelta(days=2)}, "time_future"),
    ],
)  # fmt: skip
def test_a_case_that_says_half_of_it_is_a_dead_letter(changes: dict[str, object], reason: str) -> None:
    letter = only(read("cases", case(**changes)))
    assert isinstance(letter, DeadLetter)
    assert letter.reason == reason


def test_a_case_that_is_open_says_nothing() -> None:
    assert read("cases", case(result=None)) == []


def test_an_update_of_a_case_is_told_where_it_wrote_something_that_is_read() -> None:
    assert read("cases", case(), "update", before=case(result=None) | {"_id": 7})
    assert read("cases", case(note=1), "update", before=case() | {"_id": 7}) == []
    assert read("cases", case(), "update", touched=frozenset({"result"}))
    assert read("cases", case(), "update", touched=frozenset({"note"})) == []
    assert read("cases", case(), "update"), "what cannot be known is told again"


def test_a_label_of_another_table_comes_from_chargebacks_and_has_a_time_of_its_own() -> None:
    label = only(read("reviews", {"order": "A1", "verdict": True, "at": NOW - HOUR}, changed_at=NOW - 2 * HOUR))
    assert isinstance(label, Label)
    assert (label.source, label.label_time, label.fraud, label.kind) == ("chargeback", NOW - HOUR, True, None)
    undated = {"order": "A1", "verdict": False, "at": None}
    assert only(read("reviews", undated, changed_at=NOW - 2 * HOUR)).label_time == NOW - 2 * HOUR
    assert only(read("reviews", undated)).label_time == NOW
    assert only(read("reviews", {"order": None, "verdict": True})).reason == "field_missing"
    assert read("reviews", {"order": "A1", "verdict": None}) == []


def test_of_another_table_a_change_of_any_field_that_is_read_tells_the_label_again() -> None:
    now = {"_id": 7, "order": "A1", "verdict": True, "at": NOW}
    assert read("reviews", now, "update", before=now | {"at": NOW - HOUR})
    assert read("reviews", now | {"note": 1}, "update", before=now) == []


def test_of_the_own_row_a_change_of_the_verdict_alone_tells_the_label() -> None:
    def labels(before: int | None, after: int | None, **changes: Any) -> list[Label]:
        told = row(1, change="update", is_fraud=after, **changes)
        told = told._replace(before={**told.values, "is_fraud": before, "total": 1})
        return [each for each in mapper().map_row(told, NOW) if isinstance(each, Label)]

    assert [label.fraud for label in labels(None, 1)] == [True]
    assert [label.fraud for label in labels(1, 0)] == [False]
    assert labels(1, 1, total=5) == []
    assert labels(1, None) == []


def kept(text: str, changed_at: datetime | None = None) -> Label:
    told = row(1, is_fraud=1, told_at=None)._replace(changed_at=changed_at)
    (label,) = (each for each in mapper(text).map_row(told, NOW) if isinstance(each, Label))
    return label


def test_a_label_of_the_own_row_without_a_time_is_known_when_the_row_was_written() -> None:
    timed = MYSQL_TEXT.replace("  - column: is_fraud", "  - column: is_fraud\n    fields: {label_time: told_at}")
    for text in (MYSQL_TEXT, timed):
        assert kept(text, NOW - HOUR).label_time == NOW - HOUR
        assert kept(text).label_time == NOW


def test_where_nothing_says_when_a_label_of_the_own_row_counts_so_long_after_its_transaction_and_never_later_than_now() -> (
    None
):
    def known_at(days: int, text: str = MYSQL_TEXT) -> datetime:
        untimed = Mapper(config(text), admission(), tokens(), untimed_label=timedelta(days=days))
        told = row(1, is_fraud=1)._replace(changed_at=NOW - HOUR)
        (label,) = (each for each in untimed.map_row(told, NOW) if isinstance(each, Label))
        return label.label_time

    bought = datetime(2026, 4, 1, 8, tzinfo=UTC)
    assert known_at(14) == bought + timedelta(days=14)
    assert known_at(60) == NOW
    elsewhere = Mapper(config(CASES), admission(), tokens(), untimed_label=timedelta(days=14))
    review: dict[str, object] = {"_id": 7, "order": "A1", "verdict": True, "at": None}
    assert only(elsewhere.map_row(Row("reviews", "insert", review, "x", "stream"), NOW)).label_time == NOW


def test_a_label_cannot_count_its_days_from_a_transaction_without_a_time() -> None:
    text = MYSQL_TEXT.replace("  - column: is_fraud", "  - column: is_fraud\n    fields: {label_time: {after_days: 7}}")
    letters = mapper(text).map_row(row(1, change="update", is_fraud=1, placed_at=None)._replace(before={"id": 1}), NOW)
    assert "event_time: null or empty" in only(letters).detail
