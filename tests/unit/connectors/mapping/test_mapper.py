"""The mapping: what a row means, and that no row whatever can crash it or show its personal data."""

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.mapping.mapper import MappedMessage, Mapper
from connectors.ports import Row, Unreadable
from connectors.values import as_integer, as_money, as_seconds, as_time
from contract.codec import Decoder, encode
from contract.dead_letters import REASONS, DeadLetter
from contract.errors import InvalidEventError
from contract.events import Label, Resolution, Transaction
from support.connector_parts import MYSQL_TEXT, NOW, mapper, naive, order, row

DOCUMENT_TEXT = """\
name: orders
source: {kind: mongodb, host: db.example, database: shop}
transactions:
  collection: orders
  fields:
    transaction_id: _id
    event_time: placed
    amount: {path: amount.value, unit: minor}
    currency: {constant: EUR}
    customer: customer.id
    device: {column: client.device, tokenise: true}
    ip: {column: client.ip, tokenise: true}
    email: {column: customer.email, tokenise: true}
    phone: {column: customer.phone, tokenise: true}
    address: {columns: [delivery.street, delivery.city], tokenise: true}
    country_ip: {column: client.country, optional: true}
    customer_since: {column: customer.age_days, format: days_before_event}
    session_s: client.seconds
    basket_items: items
labels:
  - collection: reviews
    fields: {transaction_id: order, fraud: verdict, source: {constant: analyst}, label_time: at, kind: kind}
resolutions:
  - collection: stepups
    fields:
      transaction_id: order
      outcome: {column: passed, values: {true: step_up_passed, false: step_up_failed}}
      actor: {constant: step-up-service}
"""


def documents() -> Mapper:
    return mapper(DOCUMENT_TEXT)


def only(outcomes: list[MappedMessage]) -> Any:
    assert len(outcomes) == 1, outcomes
    return outcomes[0]


def refusal(**changes: Any) -> str:
    letter = only(mapper().map_row(row(1, **changes), NOW))
    assert isinstance(letter, DeadLetter), letter
    return letter.reason


def test_a_row_becomes_a_transaction_with_tokens_in_place_of_personal_data() -> None:
    found = only(mapper().map_row(row(7), NOW))
    assert found.transaction_id == "7"
    assert found.event_time == datetime(2026, 4, 1, 8, 0, tzinfo=UTC)
    assert (found.amount_minor, found.currency, found.customer, found.channel) == (1230, "EUR", "c0", "web")
    assert found.card.startswith("k1.")
    assert found.email.startswith("k1.")
    assert found.aliases is None
    assert found.origin.source == "shop.orders"


def test_while_a_key_rotates_both_tokens_go_along() -> None:
    found = only(mapper(rotating=True).map_row(row(7), NOW))
    assert set(found.aliases) == {"card", "email"}
    assert all(alias.startswith("k0.") for alias in found.aliases.values())


def test_a_document_is_read_by_dotted_paths() -> None:
    values = {
        "_id": "A1",
        "placed": NOW - timedelta(hours=1),
        "amount": {"value": 1230},
        "customer": {"id": 5.0, "email": "a@b.example", "age_days": 10},
        "client": {"ip": "10.0.0.1", "country": "not a code", "seconds": 12.3456},
        "delivery": {"street": "1 Main St", "city": None},
        "items": 3.0,
    }
    found = only(documents().map_row(Row("orders", "insert", values, "oplog 1.1", "stream"), NOW))
    assert (found.amount_minor, found.customer, found.session_s, found.basket_items) == (1230, "5", 12.346, 3)
    assert found.customer_since == found.event_time - timedelta(days=10)
    assert found.address.startswith("k1.")


def test_json_text_in_a_column_is_read_by_paths_too() -> None:
    text = MYSQL_TEXT.replace("customer: customer_id", "customer: customer_id.ref")
    found = only(mapper(text).map_row(row(1, customer_id='{"ref": "x9"}'), NOW))
    assert found.customer == "x9"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"total": math.nan}, "amount_invalid"),
        ({"total": "NaN"}, "amount_invalid"),
        ({"total": Decimal("Infinity")}, "amount_invalid"),
        ({"total": -1}, "amount_invalid"),
        ({"total": "1e999999"}, "amount_invalid"),
        ({"total": 10**400}, "field_invalid"),
        ({"total": "10000000000.01"}, "amount_invalid"),
        ({"total": 10**12 + 1}, "amount_invalid"),
        ({"total": "twelve"}, "amount_invalid"),
        ({"total": True}, "amount_invalid"),
        ({"total": None}, "field_missing"),
        ({"currency": "XXX"}, "currency_unknown"),
        ({"currency": "Euro"}, "field_invalid"),
        ({"currency": None}, "field_missing"),
        ({"placed_at": naive(2027, 1, 1)}, "time_future"),
        ({"placed_at": naive(1999, 1, 1)}, "time_too_old"),
        ({"placed_at": "yesterday"}, "field_invalid"),
        ({"placed_at": None}, "field_missing"),
        ({"placed_at": 1_700_000_000}, "field_invalid"),
        ({"placed_at": naive(9999, 12, 31, 23, 59)}, "time_future"),
        ({"id": None}, "key_missing"),
        ({"id": "  "}, "key_missing"),
        ({"id": "x" * 129}, "field_invalid"),
        ({"customer_id": "x" * 70_000}, "oversized"),
        ({"customer_id": b"\xff\xfe"}, "encoding"),
        ({"customer_id": "caf\udce9"}, "encoding"),
        ({"customer_id": {"nested": 1}}, "field_invalid"),
        ({"customer_id": "a\nb"}, "field_invalid"),
    ],
)
def test_bad_input_becomes_a_dead_letter_that_says_why(changes: dict[str, object], reason: str) -> None:
    assert refusal(**changes) == reason


BELIEVED = 10**12


def test_numbers_beyond_belief_are_refused_before_anybody_counts_with_them() -> None:
    read: list[Callable[[object], object]] = [
        lambda value: as_money("f", value, "EUR", "major"),
        lambda value: as_money("f", value, "JPY", "minor"),
        lambda value: as_integer("f", value),
        lambda value: as_seconds("f", value),
    ]
    assert [each(BELIEVED // 100) for each in read] == [BELIEVED, BELIEVED // 100, BELIEVED // 100, 1e10]
    for each in read:
        for value in (BELIEVED + 1, "10000000000000.01", Decimal("1e30"), "1e999999", 1e300):
            with pytest.raises(InvalidEventError, match=r"beyond belief|in range|out of range"):
                each(value)
    with pytest.raises(InvalidEventError, match="beyond belief"):
        as_money("f", "10000000000.01", "EUR", "major")


@pytest.mark.parametrize("unit", ["epoch_s", "epoch_ms", "epoch_us", "epoch_ns", "days_before_event"])
@pytest.mark.parametrize("counted", [10**19 + 1, -(10**30), "1e300", Decimal("9" * 60)])
def test_a_count_of_seconds_that_no_clock_reaches_is_refused(unit: str, counted: object) -> None:
    with pytest.raises(InvalidEventError) as told:
        as_time("event_time", counted, UTC, unit, NOW)
    assert (told.value.reason, told.value.detail) == ("field_invalid", "event_time: out of range")


def test_a_dead_letter_names_table_position_and_key() -> None:
    letter = only(mapper().map_row(row(42, total=-1), NOW))
    assert (letter.source, letter.position, letter.key) == ("shop.orders", "binlog.000001:42", "42")
    assert letter.part == "connector:orders"
    assert letter.payload is None


def test_a_key_that_is_personal_data_is_shown_as_its_token() -> None:
    text = MYSQL_TEXT.replace("key: id", "key: email")
    letter = only(mapper(text).map_row(row(1, total=-1), NOW))
    assert letter.key.startswith("k1.")


def test_a_vanished_column_is_a_schema_change() -> None:
    values = order(1)
    del values["total"]
    letter = only(mapper().map_row(row(1)._replace(values=values), NOW))
    assert letter.reason == "schema_changed"
    assert "total" in letter.detail


def test_an_optional_field_that_cannot_be_used_is_left_out() -> None:
    text = MYSQL_TEXT.replace("customer: customer_id", "customer: {column: customer_id, optional: true}")
    assert only(mapper(text).map_row(row(1, customer_id={"a": 1}), NOW)).customer is None


def test_a_value_that_values_does_not_list_takes_the_default_or_is_refused() -> None:
    assert only(mapper().map_row(row(1, channel="Z"), NOW)).channel == "other"
    strict = mapper(MYSQL_TEXT.replace(", default: other", ""))
    assert only(strict.map_row(row(1, channel="Z"), NOW)).reason == "field_invalid"


def test_an_update_is_no_new_transaction_unless_the_file_says_so() -> None:
    changed = row(1, change="update", total="99.00")._replace(before=order(1))
    assert mapper().map_row(changed, NOW) == []
    as_new = mapper(MYSQL_TEXT.replace("  key: id", "  key: id\n  updates: new_transaction"))
    found = only(as_new.map_row(changed, NOW))
    assert found.transaction_id.startswith("1~")
    assert found.amount_minor == 9900
    assert only(as_new.map_row(changed, NOW)).transaction_id == found.transaction_id
    untouched = row(1, change="update", is_fraud=None, note="x")._replace(before=order(1))
    assert as_new.map_row(untouched, NOW) == []


def test_an_update_counts_anew_where_what_stood_there_before_was_none_or_cannot_be_read() -> None:
    as_new = mapper(MYSQL_TEXT.replace("  key: id", "  key: id\n  updates: new_transaction"))
    changed = row(1, change="update")
    for before in (None, order(1, total="free")):
        assert only(as_new.map_row(changed._replace(before=before), NOW)).transaction_id.startswith("1~")


def test_an_update_that_gives_a_row_another_key_counts_as_a_new_row() -> None:
    found = only(mapper().map_row(row(2, change="update")._replace(before=order(1)), NOW))
    assert found.transaction_id == "2"


def test_a_label_in_the_own_row_is_told_when_it_is_set_and_not_again() -> None:
    told = row(1, change="update", is_fraud=1)._replace(before=order(1))
    label = only(mapper().map_row(told, NOW))
    assert isinstance(label, Label)
    assert (label.transaction_id, label.fraud, label.source, label.label_time) == ("1", True, "review", NOW)
    again = row(1, change="update", is_fraud=1, total=5)._replace(before=order(1, is_fraud=1))
    assert mapper().map_row(again, NOW) == []
    both = mapper().map_row(row(1, is_fraud=0), NOW)
    assert [type(each) for each in both] == [Transaction, Label]


def test_a_label_may_count_its_days_from_the_transaction() -> None:
    text = MYSQL_TEXT.replace("  - column: is_fraud", "  - column: is_fraud\n    fields: {label_time: {after_days: 7}}")
    _, label = mapper(text).map_row(row(1, is_fraud=1), NOW)
    assert isinstance(label, Label)
    assert label.label_time == datetime(2026, 4, 8, 8, 0, tzinfo=UTC)


def test_labels_and_resolutions_come_from_other_collections() -> None:
    review = {"_id": 1, "order": "A1", "verdict": "yes", "at": NOW - timedelta(days=1), "kind": "stolen_card"}
    label = only(documents().map_row(Row("reviews", "insert", review, "oplog 1.2", "stream"), NOW))
    assert (label.transaction_id, label.fraud, label.source, label.kind) == ("A1", True, "analyst", "stolen_card")
    step_up = {"_id": 9, "order": "A1", "passed": False}
    found = only(documents().map_row(Row("stepups", "insert", step_up, "oplog 1.3", "stream"), NOW))
    assert isinstance(found, Resolution)
    assert (found.outcome, found.resolution_id, found.actor) == (
        "step_up_failed",
        "orders:9:step_up_failed",
        "step-up-service",
    )
    pending = {"_id": 9, "order": "A1", "passed": None}
    assert documents().map_row(Row("stepups", "insert", pending, "oplog 1.3", "stream"), NOW) == []


def test_a_label_from_the_future_is_refused() -> None:
    review = {"_id": 1, "order": "A1", "verdict": True, "at": NOW + timedelta(days=1)}
    assert only(documents().map_row(Row("reviews", "insert", review, "x", "stream"), NOW)).reason == "time_future"


def test_an_update_of_a_document_looks_at_what_was_touched() -> None:
    review = {"_id": 1, "order": "A1", "verdict": True, "at": NOW}
    untouched = Row("reviews", "update", review, "x", "stream", None, NOW, frozenset({"note"}))
    assert documents().map_row(untouched, NOW) == []
    assert len(documents().map_row(untouched._replace(touched=frozenset({"verdict"})), NOW)) == 1


def test_transactions_of_a_customer_go_to_one_partition_key() -> None:
    messages = [mapper().make_outgoing(only(mapper().map_row(row(number), NOW))) for number in (7, 14)]
    assert messages[0].partition_by == messages[1].partition_by == b"c0"
    assert messages[0].key == b"7"
    nobody = only(mapper().map_row(row(1, customer_id=None, card_number=None), NOW))
    assert mapper().make_outgoing(nobody).partition_by == b"1"


def test_a_row_that_the_source_could_not_decode_is_named() -> None:
    letter = mapper().refuse(Unreadable("orders", "binlog.000001:4", "malformed", "rows that cannot be decoded"), NOW)
    assert (letter.reason, letter.key, letter.position) == ("malformed", None, "binlog.000001:4")


SECRETS = {
    "email": "zq.private@secret.example",
    "phone": "+49 999 888 777",
    "street": "77 Hidden Lane",
    "ip": "203.0.113.77",
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes() | st.dates()
    | st.decimals() | st.uuids() | st.timedeltas() | st.just(SECRETS["email"]) | st.text(st.characters(codec=None)),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(
    document=st.fixed_dictionaries(
        {},
        optional={
            "_id": anything,
            "placed": anything | st.just(NOW),
            "amount": anything | st.just({"value": 5}),
            "customer": anything
            | st.fixed_dictionaries({"id": anything, "email": anything, "phone": anything, "age_days": anything}),
            "client": anything
            | st.fixed_dictionaries({"ip": anything, "device": anything, "seconds": anything, "country": anything}),
            "delivery": anything | st.fixed_dictionaries({"street": anything, "city": anything}),
            "items": anything,
        },
    ),
    table=st.sampled_from(["orders", "reviews", "stepups"]),
    change=st.sampled_from(["insert", "update", "read"]),
)
def test_any_document_becomes_valid_messages_or_dead_letters(document: dict[str, Any], table: str, change: Any) -> None:
    made = documents().map_row(Row(table, change, document, "oplog 1.1", "stream"), NOW)
    for outcome in made:
        Decoder(type(outcome)).decode(encode(outcome))
        assert not isinstance(outcome, DeadLetter) or outcome.reason in REASONS


@given(
    key=st.text(min_size=1),
    value=anything,
    placed=st.just(NOW) | anything,
    junk=anything,
)
def test_personal_data_appears_in_no_message_whatever_else_is_wrong(
    key: str, value: object, placed: object, junk: object
) -> None:
    document = {
        "_id": key,
        "placed": placed,
        "amount": {"value": value},
        "customer": {"id": 1, "email": SECRETS["email"], "phone": SECRETS["phone"], "age_days": junk},
        "client": {"ip": SECRETS["ip"], "seconds": junk},
        "delivery": {"street": SECRETS["street"], "city": "Nowhere"},
        "items": junk,
    }
    if any(secret in repr((key, value, placed, junk)) for secret in SECRETS.values()):
        return
    for outcome in documents().map_row(Row("orders", "insert", document, "oplog 1.1", "stream"), NOW):
        message = documents().make_outgoing(outcome)
        for secret in (*SECRETS.values(), "Nowhere", "999888777"):
            assert secret.encode() not in message.value
            assert secret.encode() not in message.key


def test_a_date_and_epoch_numbers_are_times() -> None:
    text = MYSQL_TEXT.replace("time_zone: Europe/Berlin", "format: epoch_ms")
    assert only(mapper(text).map_row(row(1, placed_at=1_767_225_600_000), NOW)).event_time == datetime(
        2026, 1, 1, tzinfo=UTC
    )
    found = only(mapper().map_row(row(1, placed_at=date(2026, 1, 1)), NOW))
    assert found.event_time == datetime(2025, 12, 31, 23, 0, tzinfo=UTC)
    text = MYSQL_TEXT.replace("time_zone: Europe/Berlin", 'time_zone: Europe/Berlin, format: "%d.%m.%Y %H:%M"')
    found = only(mapper(text).map_row(row(1, placed_at="01.04.2026 10:00"), NOW))
    assert found.event_time == datetime(2026, 4, 1, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("held", "fraud"),
    [("1.0", True), ("0.0", False), ("1", True), ("0", False), (1.0, True), (Decimal("0.00"), False), ("True", True), ("FALSE", False), ("2.0", None)],
)  # fmt: skip
def test_labels_are_read_as_writers_of_tables_leave_them(held: object, fraud: bool | None) -> None:
    text = MYSQL_TEXT.replace("column: is_fraud", "fields: {fraud: is_fraud}")
    outcomes = mapper(text).map_row(row(1, is_fraud=held), NOW)
    if fraud is None:
        assert isinstance(outcomes[1], DeadLetter)
        assert "list what it holds under `values`" in outcomes[1].detail
    else:
        assert isinstance(outcomes[1], Label)
        assert outcomes[1].fraud is fraud
    listed = text.replace("fraud: is_fraud", "fraud: {column: is_fraud, values: {1: true, 0: false, 2: null}}")
    if held in ("1.0", "0.0", "2.0"):
        labels = mapper(listed).map_row(row(1, is_fraud=held), NOW)[1:]
        assert [isinstance(each, Label) and each.fraud for each in labels] == ([] if fraud is None else [fraud])
