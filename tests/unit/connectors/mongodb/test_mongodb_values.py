"""Keys and values of MongoDB: different keys have different texts, and every value is read one way or refused by name."""

import math
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import bson
import pytest
from bson.binary import Binary, UuidRepresentation
from bson.code import Code
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.dbref import DBRef
from bson.decimal128 import Decimal128
from bson.max_key import MaxKey
from bson.min_key import MinKey
from bson.objectid import ObjectId
from bson.regex import Regex
from bson.timestamp import Timestamp
from hypothesis import example, given
from hypothesis import strategies as st

from connectors.mongodb.documents import OVERSIZED, Reading, find_path_faults, find_touched, get_value, list_top_level
from connectors.mongodb.position import (
    CollectionStart,
    MongoPosition,
    can_resume_from,
    describe_places,
    encode_snapshot,
    encode_stream,
    parse_position,
)
from connectors.mongodb.values import (
    UUID_REPRESENTATIONS,
    Spelling,
    convert_value,
    find_spelling,
    list_key_candidates,
    spell_key,
)
from connectors.ports import Position, Row, Unreadable
from connectors.values import ABSENT
from contract.dead_letters import DeadLetter
from contract.errors import ConfigurationError
from contract.events import Transaction
from support.connector_parts import NOW, config, mapper

PYTHON = UuidRepresentation.PYTHON_LEGACY
STRINGS, OTHERS, MIXED = Spelling(strings=True), Spelling(strings=False), Spelling(strings=False, mixed=True)
SPELLINGS = [STRINGS, OTHERS, MIXED, OTHERS._replace(legacy_uuids=True), STRINGS._replace(legacy_uuids=True)]
SOME = UUID("3b241101-e2bb-4255-8caf-4136c566a962")
READ: CodecOptions[dict[str, Any]] = CodecOptions(
    tz_aware=True,
    unicode_decode_error_handler="surrogateescape",
    datetime_conversion=DatetimeConversion.DATETIME_AUTO,
)
LOOKALIKES = [
    1, "1", -1, "-1", 0.5, "0.5", 1e300, "1e+300", "1.0", "01", Decimal128("0.1"), 0.1, "0.1", 2**62, str(2**62), 10.0**20,
    Decimal128("12345678901234567890123456789012.25"), Decimal128("12345678901234567890123456789012.26"),
    Decimal128("1E+400"), Decimal128("1E-400"), math.nan, "nan", "NaN", math.inf, -math.inf, "inf", True, "true", False, "false",
    ObjectId("507f1f77bcf86cd799439011"), "507f1f77bcf86cd799439011", "507F1F77BCF86CD799439011",
    Binary(SOME.bytes, 4), Binary(SOME.bytes, 3), Binary(SOME.bytes, 0), Binary(SOME.bytes, 5), str(SOME), str(SOME).upper(),
    Binary.from_uuid(SOME, UuidRepresentation.JAVA_LEGACY), Binary(b"short", 4), b"1", b"", Binary(b"", 4),
    datetime(2026, 5, 1, tzinfo=UTC), "2026-05-01T00:00:00+00:00", bson.DatetimeMS(10**15), bson.DatetimeMS(-(10**15)),
    {"a": 1}, {"a": "1"}, {"a": 1, "b": 2}, {"b": 2, "a": 1}, {}, '{"a":1}', '{"$numberLong":"1"}', {"$numberLong": "1"},
    '"1"', '"', "{", "A", " A", "A ", "A\x01", "A\x1c", "\u00e9", "e\u0301", "\udcff", "\udcfe", Timestamp(1, 2), Timestamp(1, 3),
    MinKey(), MaxKey(), '{"$minKey":1}', {"$literal": True}, Regex("a"), {"": 1}, {"a.b": 1}, {"": {"": 1}},
]  # fmt: skip


def numeric(key: object) -> Any:
    """MongoDB compares numbers by value, whatever their type."""
    if isinstance(key, Decimal128):
        key = key.to_decimal()
    if str(key).lower().lstrip("-") in ("nan", "snan"):
        return "not a number"
    return key


def same(one: object, other: object) -> bool:
    """Whether a unique index takes both for one key."""
    numbers = [not isinstance(key, bool) and isinstance(key, int | float | Decimal128) for key in (one, other)]
    if all(numbers):
        return bool(numeric(one) == numeric(other))
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return type(one) is type(other) and bson_text(one) == bson_text(other)


WRITTEN: CodecOptions[Any] = CodecOptions(uuid_representation=PYTHON)
"""How a lookup sends a UUID."""


def bson_text(key: object) -> bytes:
    return bson.encode({"k": key})


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_keys_that_look_alike_have_different_texts(spelling: Spelling) -> None:
    texts: dict[str, object] = {}
    for key in LOOKALIKES:
        text = spell_key(key, spelling, PYTHON)
        assert text is not None
        assert text == text.strip()
        known = texts.setdefault(text, key)
        assert known is key or same(known, key), f"{known!r} and {key!r} are both {text}"


KEYS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.sampled_from("0123456789abcdef-.e+").flatmap(lambda c: st.text(c + "0123456789", min_size=1, max_size=5)),
    st.decimals(-(10**30), 10**30, places=3).map(Decimal128)
    | st.decimals().filter(lambda d: not d.is_snan()).map(lambda d: Decimal128(f"{d:.20E}")),
    st.booleans(),
    st.binary(max_size=4),
    st.uuids().map(lambda each: Binary(each.bytes, 4)) | st.uuids().map(lambda each: Binary(each.bytes, 3)),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 2) | st.text("12", max_size=1), max_size=2),
)


@given(one=KEYS, other=KEYS, spelling=st.sampled_from(SPELLINGS))
def test_any_two_different_keys_have_different_texts(one: object, other: object, spelling: Spelling) -> None:
    texts = spell_key(one, spelling, PYTHON), spell_key(other, spelling, PYTHON)
    if None not in texts and not same(one, other):
        assert texts[0] != texts[1] or (isinstance(one, str) and isinstance(other, str) and not one.strip())


@given(key=KEYS, spelling=st.sampled_from(SPELLINGS))
@example(key=Decimal128("9223372036854775808.00"), spelling=Spelling(strings=True, mixed=False, legacy_uuids=False))
def test_a_text_leads_back_to_its_key(key: object, spelling: Spelling) -> None:
    text = spell_key(bson.decode(bson_text(key), READ)["k"], spelling, PYTHON)
    if text is not None and text.strip():
        candidates = list_key_candidates(text, PYTHON)
        stored = [bson.decode(bson.encode({"k": each}, codec_options=WRITTEN), READ)["k"] for each in candidates]
        assert text in [spell_key(each, spelling, PYTHON) for each in stored]


def test_a_number_that_no_document_can_hold_is_no_key() -> None:
    assert list_key_candidates('{"$numberLong":"9223372036854775808"}', PYTHON) == []


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**33 + 7, -(10**33) - 7])
def test_a_whole_number_of_any_size_is_asked_for_in_a_type_that_holds_it(number: int) -> None:
    found = [numeric(bson.decode(bson_text(each), READ)["k"]) for each in list_key_candidates(str(number), PYTHON)]
    assert found == [str(number), number]


def test_keys_of_one_kind_are_written_as_ever() -> None:
    for keys in (["1", "507f1f77bcf86cd799439011", "x", "0.5"], [1, 2**40, -3], [ObjectId(), ObjectId()]):
        spelling = find_spelling(keys)
        assert spelling is not None
        assert [spell_key(key, spelling, PYTHON) for key in keys] == [str(key) for key in keys]


def test_where_kinds_meet_only_what_could_be_mistaken_carries_its_kind() -> None:
    spelling = find_spelling([1, "1", 2, "k7"])
    assert spelling == MIXED
    assert [spell_key(key, spelling, PYTHON) for key in (1, "1", 1.0, "k7")] == ["1", '"1"', "1", "k7"]
    spelling = find_spelling(["1", "2", "3", 1])
    assert spelling == STRINGS
    assert [spell_key(key, spelling, PYTHON) for key in (1, "1")] == ['{"$numberLong":"1"}', "1"]
    assert find_spelling([]) is None
    assert find_spelling([None]) is None


@pytest.mark.parametrize("name", UUID_REPRESENTATIONS)
def test_uuids_are_read_as_they_are_written_in_every_representation(name: str) -> None:
    representation = UUID_REPRESENTATIONS[name]
    for key in (Binary.from_uuid(SOME), Binary.from_uuid(SOME, representation)):
        spelling = find_spelling([key])
        assert spelling is not None
        assert spell_key(key, spelling, representation) == str(SOME)
        assert convert_value({"deep": [key]}, representation) == {"deep": [SOME]}
        assert key in list_key_candidates(str(SOME), representation)


def test_a_spelling_and_every_place_in_a_scan_survive_being_written_down() -> None:
    streams = {"a": CollectionStart(token={"_data": "82"}), "b": CollectionStart(at=Timestamp(5, 6))}
    spellings = {str(number): spelling for number, spelling in enumerate(SPELLINGS)}
    found = parse_position(encode_stream(MongoPosition(streams, spellings=spellings)))
    assert (found.streams, found.spellings) == (streams, spellings)
    assert parse_position(encode_stream(MongoPosition(streams))).spellings is None
    for after in LOOKALIKES:
        if can_resume_from(after):
            again = parse_position(encode_snapshot(MongoPosition(streams), "a", after, 500))
            assert (bson_text(again.after), again.rows) == (bson_text(after), 500)
    assert parse_position(encode_snapshot(MongoPosition(streams), "a", None)).rows == 0


def test_where_streams_stand_is_told_by_their_times_and_never_by_a_key() -> None:
    key = b"ann@example.com".hex().upper()
    streams = {
        "orders": CollectionStart(token={"_data": f"8269E5B5C0000000012B0229296E1404463C{key}"}),
        "labels": CollectionStart(at=Timestamp(1_776_661_952, 6)),
        "notes": CollectionStart(token={"_data": f"{key}"}),
        "more": CollectionStart(token={}),
    }
    told = describe_places(MongoPosition(streams))
    assert (
        told == "orders from 2026-04-20T05:12:32Z, labels from 2026-04-20T05:12:32Z, notes by a token, more by a token"
    )


def test_what_is_not_compared_with_its_own_kind_is_no_place_to_go_on_from() -> None:
    for value in (ABSENT, None, [1], {"a": 1}, math.nan, MinKey(), MaxKey(), Regex("a"), "\udcff", Decimal128("NaN")):
        assert not can_resume_from(value)


ODD = [
    Regex("a"), MinKey(), MaxKey(), Code("x"), Code("x", {}), DBRef("c", 1), bson.DatetimeMS(10**17), [1], {"a": 1}, math.nan,
    math.inf, -0.0, None, Timestamp(2**31, 1), 2**63 - 1, Decimal128("NaN"), Decimal128("Infinity"), Decimal128("sNaN"),
    Decimal128("9.999999999999999999999999999999999E+6144"), b"\xff", "\udcff", Binary(b"x", 9), "", " ", True, Binary(b"", 4), "x" * 2_000_000,
]  # fmt: skip
TEXT = """\
name: odd
source: {kind: mongodb, database: shop}
transactions:
  collection: orders
  fields: {transaction_id: _id, event_time: at, amount: amount, currency: {column: c, default: EUR}, customer: who.id, basket_items: n}
labels:
  - {column: fraud}
"""


@pytest.mark.parametrize("field", ["_id", "at", "amount", "c", "who", "who.id", "n", "fraud", ""])
def test_whatever_a_field_holds_is_a_message_or_a_dead_letter_with_its_key(field: str) -> None:
    read = mapper(TEXT)
    reading = Reading(config(TEXT), config(TEXT).transactions, read.list_columns("orders"), PYTHON)
    for odd in ODD:
        good: dict[str, Any] = {"_id": 7, "at": NOW, "amount": 5, "c": "EUR", "who": {"id": 1}, "n": 1, "fraud": None}
        place = good["who"] if field == "who.id" else good
        place[field.rpartition(".")[2]] = odd
        whole = bson.decode(bson.encode(good), READ) if odd != "\udcff" else good
        scanned = {name: value for name, value in whole.items() if name in list_top_level(read.list_columns("orders"))}
        event = {"operationType": "insert", "fullDocument": whole, "clusterTime": Timestamp(1, 1)}
        streamed = reading.read_change(event, OTHERS, OTHERS)
        values = reading.read_values(scanned, OTHERS, OTHERS)
        assert repr(streamed.values) == repr(values)  # type: ignore[union-attr]
        outcomes = read.map_row(streamed, NOW)  # type: ignore[arg-type]
        assert {type(each) for each in outcomes} <= {Transaction, DeadLetter, *map(type, outcomes[1:])}
        if field != "_id":
            assert [each.key for each in outcomes if isinstance(each, DeadLetter)] in ([], ["7"])


def test_an_event_too_large_becomes_a_dead_letter_with_its_key() -> None:
    read = mapper(TEXT)
    reading = Reading(config(TEXT), config(TEXT).transactions, read.list_columns("orders"), PYTHON)
    event = {"operationType": "insert", "documentKey": {"_id": "7"}, "clusterTime": Timestamp(1, 2), OVERSIZED: True}
    item = reading.read_change(event, MIXED, MIXED)
    assert isinstance(item, Unreadable)
    letter = read.refuse(item, NOW)
    assert (letter.reason, letter.key, letter.position) == ("oversized", '"7"', "oplog 1.2")


def test_a_dot_leads_into_documents_lists_and_text_and_never_names_a_field() -> None:
    document = {"a": {"b": [{"c": 5}]}, "a.b": 7, "t": '{"b": 3}', "r": DBRef("c", 9)}
    assert get_value(document, "a.b.0.c") == 5
    assert get_value(document, "t.b") == 3
    assert get_value(document, "r.$id") == 9
    assert get_value({"a.b": 7}, "a.b") is ABSENT
    assert list_top_level({"a.b", "a.c.0", "_id", "r.$id"}) == ["_id", "a", "r"]


def test_paths_that_no_server_can_be_asked_for_are_named() -> None:
    assert find_path_faults({"a.b", "r.$id", "a.0"}) == []
    assert len(find_path_faults({"a..b", ".a", "a.", "$where", "a.$x"})) == 5


def test_an_update_tells_every_name_that_it_touched() -> None:
    assert find_touched({"updatedFields": {"a.b": 1}, "removedFields": ["c"], "truncatedArrays": [{"field": "d.e", "newSize": 1}]}) == frozenset(
        {"a", "c", "d"}
    )  # fmt: skip
    assert find_touched(None) is None


def test_a_label_may_name_a_transaction_by_another_kind_of_value_unless_kinds_meet() -> None:
    text = TEXT + "  - {collection: cases, fields: {transaction_id: order, fraud: {constant: true}}}\n"
    parsed = config(text)
    reading = Reading(parsed, next(t for t in parsed.list_tables() if t.name == "cases"), {"order"}, PYTHON)
    hex_text = "507f1f77bcf86cd799439011"
    for order in (hex_text, ObjectId(hex_text)):
        assert reading.read_values({"_id": 1, "order": order}, OTHERS, OTHERS)["order"] == hex_text
    assert reading.read_values({"_id": 1, "order": "5"}, OTHERS, OTHERS)["order"] == "5"
    assert reading.read_values({"_id": 1, "order": "5"}, OTHERS, MIXED)["order"] == '"5"'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("507f1f77bcf86cd799439011", [ObjectId("507f1f77bcf86cd799439011"), "507f1f77bcf86cd799439011"]),
        ("507f1f77bcf86cd79943901", ["507f1f77bcf86cd79943901"]),
        ("7", [7, "7"]),
        ("1.5", [1.5, "1.5"]),
        ("true", [True, "true"]),
        ("{not json", []),
    ],
)
def test_a_text_that_somebody_typed_is_asked_for_as_each_kind_of_key_that_it_can_be(
    text: str, found: list[object]
) -> None:
    told = list_key_candidates(text, PYTHON)
    assert sorted(map(repr, told)) == sorted(map(repr, found))


@pytest.mark.parametrize("text", ["", "string", "others+new", "mixed+legacy+"])
def test_what_is_no_spelling_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a spelling"):
        Spelling.parse(text)


@pytest.mark.parametrize("streams", ['{"a": {}}', '{"a": {"at": 5}}', '{"a": 1}', "[]", '{"a": {"token": "82"}}'])
def test_a_position_without_a_place_in_every_stream_is_refused(streams: str) -> None:
    with pytest.raises(ConfigurationError):
        parse_position(Position("stream", f'{{"streams": {streams}}}'))


def test_a_change_that_leaves_no_document_is_no_row() -> None:
    reading = Reading(config(TEXT), config(TEXT).transactions, {"amount"}, PYTHON)
    event = {"documentKey": {"_id": 7}, "clusterTime": Timestamp(1, 2), "fullDocument": {"_id": 7, "amount": 5}}
    for kind in ("delete", "drop", "rename", "invalidate"):
        assert reading.read_change(event | {"operationType": kind}, OTHERS, OTHERS) is None
    assert reading.read_change(event | {"operationType": "update", "fullDocument": None}, OTHERS, OTHERS) is None
    for kind, change in (("insert", "insert"), ("update", "update"), ("replace", "update")):
        row = reading.read_change(event | {"operationType": kind}, OTHERS, OTHERS)
        assert isinstance(row, Row)
        assert (row.change, row.coordinates, row.values) == (change, "oplog 1.2", {"_id": "7", "amount": 5})
        assert row.changed_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    untimed = reading.read_change(event | {"operationType": "insert", "clusterTime": None}, OTHERS, OTHERS)
    assert isinstance(untimed, Row)
    assert (untimed.coordinates, untimed.changed_at) == ("oplog unknown", None)


def test_a_mapping_that_names_nothing_shows_the_whole_document() -> None:
    reading = Reading(config(TEXT), config(TEXT).transactions, set(), PYTHON)
    assert reading.read_values({"_id": 7, "amount": 5, "more": "x"}, OTHERS, OTHERS) == {
        "_id": 7,
        "amount": 5,
        "more": "x",
    }


def test_a_position_says_whether_it_is_of_a_scan_and_of_which_collection() -> None:
    streams = {"a": CollectionStart(at=Timestamp(5, 6))}
    scan, stream = encode_snapshot(MongoPosition(streams), "a", 7), encode_stream(MongoPosition(streams))
    assert (scan.stage, stream.stage) == ("snapshot", "stream")
    assert (parse_position(scan).table, parse_position(scan).after) == ("a", 7)
    assert (parse_position(stream).table, parse_position(stream).after) == (None, None)
    assert "scan" not in stream.text


@pytest.mark.parametrize(("code", "fits"), [(0xD7FF, True), (0xD800, False), (0xDFFF, False), (0xE000, True)])
def test_a_text_that_is_no_unicode_is_no_place_to_go_on_from(code: int, fits: bool) -> None:
    assert can_resume_from(f"a{chr(code)}") is fits


OLD, NEW = Binary(SOME.bytes, 3), Binary(SOME.bytes, 4)


@pytest.mark.parametrize(
    ("keys", "spelling"),
    [
        (["1", "2", 1], STRINGS), (["1", "2", 1, 2], MIXED), (["1", 1, 2], MIXED), (["1", "2", "3", 1, 2], STRINGS), (["x", "y", "z", 1], MIXED),
        ([1, 2], OTHERS), (["1", "2"], STRINGS), ([OLD, OLD, NEW], OTHERS._replace(legacy_uuids=True)), ([OLD, NEW, NEW], OTHERS),
        ([OLD, NEW], OTHERS), ([OLD], OTHERS._replace(legacy_uuids=True)), ([SOME, OLD], OTHERS),
    ],
)  # fmt: skip
def test_the_kind_of_key_that_there_is_most_of_is_written_plainly(keys: list[object], spelling: Spelling) -> None:
    assert find_spelling(keys) == spelling


def test_a_reference_of_a_resolution_is_read_as_one_of_a_label_is() -> None:
    text = (
        TEXT + "resolutions:\n  - {collection: calls, fields: {transaction_id: order, outcome: result, actor: who}}\n"
    )
    parsed = config(text)
    reading = Reading(parsed, next(t for t in parsed.list_tables() if t.name == "calls"), {"order", "who"}, PYTHON)
    row = reading.read_values({"_id": 1, "order": "5", "who": "7"}, OTHERS, MIXED)
    assert (row["order"], row["who"]) == ('"5"', "7")


def test_the_key_of_an_event_without_one_is_not_known() -> None:
    reading = Reading(config(TEXT), config(TEXT).transactions, {"amount"}, PYTHON)
    assert reading.read_key({}, OTHERS) is None
    assert reading.read_key({"_id": OLD}, OTHERS._replace(legacy_uuids=True)) == str(SOME)
