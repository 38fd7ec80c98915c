"""A value of any database means one thing: text, an id, a key, money, a number, true or false, a moment."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from connectors import values
from connectors.values import ABSENT, UNTOLD, PaddedBytes, UntoldError, Unusable
from contract.codec import DOCUMENT_BYTES_MAX
from contract.errors import InvalidEventError
from contract.money import AMOUNT_MINOR_MAX

ID = UUID("00112233-4455-6677-8899-aabbccddeeff")
NOON = datetime(2026, 9, 1, 12, tzinfo=UTC)


def reason(read: Any, *arguments: Any) -> str:
    with pytest.raises(InvalidEventError) as error:
        read(*arguments)
    return error.value.reason


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("plain", 1),
        ("a.b", "by its own name"),
        ("doc.inner.list.1", 8),
        ("doc.inner.list.2", ABSENT),
        ("doc.inner.list.x", ABSENT),
        ("doc.inner.list.100000", ABSENT),
        ("doc.inner.none.deeper", None),
        ("doc.missing.deeper", ABSENT),
        ("json.a.0", 5),
        ("bytes.a", True),
        ("broken.a", ABSENT),
        ("plain.a", ABSENT),
        ("nowhere", ABSENT),
    ],
)
def test_a_path_leads_into_documents_lists_and_json_text(path: str, found: object) -> None:
    row: dict[str, object] = {
        "plain": 1, "a.b": "by its own name", "doc": {"inner": {"list": [7, 8], "none": None}},
        "json": '{"a": [5]}', "bytes": b'{"a": true}', "broken": "{", "a": {"b": 0},
    }  # fmt: skip
    assert values.get_at_path(row, path) == found


@pytest.mark.parametrize("standing", [UNTOLD, Unusable("too_deep", "nested")])
def test_a_path_ends_at_what_the_source_could_not_read(standing: object) -> None:
    assert values.get_at_path({"a": standing}, "a.b.c") is standing


def test_what_a_source_could_not_read_or_did_not_tell_is_refused_with_its_field() -> None:
    assert values.require_usable("amount", 5) == 5
    with pytest.raises(InvalidEventError, match="amount: too long") as error:
        values.require_usable("amount", Unusable("oversized", "too long"))
    assert error.value.reason == "oversized"
    with pytest.raises(UntoldError, match="amount: the log does not tell this column"):
        values.require_usable("amount", UNTOLD)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None), ("", None), ("  ", None), (" a b ", "a b"), (b" x ", "x"), (bytearray(b"y"), "y"),
        (memoryview(b"z"), "z"), (PaddedBytes(b"ab\x00\x00"), "ab"), (PaddedBytes(b"\x00"), None), (True, "true"),
        (False, "false"), (12, "12"), (-(2**255), str(-(2**255))), (1.0, "1"), (1.5, "1.5"), (float("nan"), None),
        (float(2**53 - 1), str(2**53 - 1)), (float(2**53), "9007199254740992.0"), (Decimal("1.50"), "1.50"),
        (ID, str(ID)), (date(2026, 9, 1), "2026-09-01"), (NOON, "2026-09-01T12:00:00+00:00"),
        (timedelta(hours=1, minutes=2, seconds=3), "01:02:03"),
        (timedelta(hours=-26, minutes=-3, seconds=-4, milliseconds=-500), "-26:03:04.5"),
        (timedelta(microseconds=7), "00:00:00.000007"), (timedelta(0), "00:00:00"),
    ],
)  # fmt: skip
def test_one_value_has_one_spelling(value: object, text: str | None) -> None:
    assert values.as_text("f", value) == text


def test_exact_text_keeps_its_blanks() -> None:
    assert values.as_exact_text("f", " a ") == " a "
    assert values.as_exact_text("f", " ") is None


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"a": 1}, "field_invalid"), ([1], "field_invalid"), ((1,), "field_invalid"), ({1}, "field_invalid"),
        (frozenset(), "field_invalid"), (2**256, "field_invalid"), (b"\xff", "encoding"), ("\udcff", "encoding"),
        ("x" * (DOCUMENT_BYTES_MAX + 1), "oversized"), (b"x" * (DOCUMENT_BYTES_MAX + 1), "oversized"),
    ],
)  # fmt: skip
def test_what_is_no_text_is_refused_by_its_reason(value: object, code: str) -> None:
    assert reason(values.as_text, "f", value) == code


def test_text_of_the_largest_size_is_taken() -> None:
    for largest in ("x" * DOCUMENT_BYTES_MAX, b"x" * DOCUMENT_BYTES_MAX, 2**256 - 1):
        assert values.as_text("f", largest)


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("a b ", "a b "), (7, "7"), (b"abc", "abc"), (b"\xff\x00", "0xff00"), (b"a\n", "0x610a"), (b"0xab", "0x30786162"),
        (PaddedBytes(b"ab\x00"), "ab"), (PaddedBytes(b"\xff\x00"), "0xff"),
    ],
)  # fmt: skip
def test_a_key_is_read_again_from_its_letters(value: object, key: str) -> None:
    assert values.as_key(value) == key
    raw = value if isinstance(value, bytes) and not isinstance(value, PaddedBytes) else None
    assert raw is None or values.decode_key(key) == raw


@pytest.mark.parametrize(
    ("value", "form", "found"),
    [
        (ID.bytes, "uuid", str(ID)), (bytearray(ID.bytes), "uuid", str(ID)), (memoryview(ID.bytes), "uuid", str(ID)),
        (str(ID).upper(), "uuid", str(ID)), (ID.bytes[6:8] + ID.bytes[4:6] + ID.bytes[:4] + ID.bytes[8:], "uuid_swapped", str(ID)),
        (ID.bytes, "hex", ID.hex), (b"\x01", "hex", "01"), ("as it is", "hex", "as it is"), (5, "uuid", 5),
        (None, "uuid", None),
    ],
)  # fmt: skip
def test_bytes_of_an_id_are_written_as_the_file_says(value: object, form: str, found: object) -> None:
    assert values.as_id("f", value, form) == found


@pytest.mark.parametrize(("value", "words"), [("no uuid", "not a UUID"), (b"x" * 15, "not the 16 bytes")])
def test_what_is_no_uuid_is_refused(value: object, words: str) -> None:
    with pytest.raises(InvalidEventError, match=words):
        values.as_id("f", value, "uuid")


class Decimal128:
    """As BSON has them."""

    def to_decimal(self) -> Decimal:
        return Decimal("1.25")


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (None, None), (5, Decimal(5)), (1.5, Decimal("1.5")), (" 2.5 ", Decimal("2.5")), (b"3", Decimal(3)),
        (Decimal("0.10"), Decimal("0.10")), (Decimal128(), Decimal("1.25")),
    ],
)  # fmt: skip
def test_numbers_are_read_exactly(value: object, number: Decimal | None) -> None:
    assert values.as_decimal("f", value) == number


@pytest.mark.parametrize(
    "value", [True, object(), "x", "", "nan", float("nan"), float("inf"), Decimal("NaN"), 2**256, b"\xff", [1]]
)
def test_what_is_no_number_is_refused(value: object) -> None:
    assert reason(values.as_decimal, "f", value) in {"field_invalid", "encoding"}


@pytest.mark.parametrize(
    ("value", "currency", "unit", "minor"),
    [
        (None, "EUR", "major", None), ("12.34", "EUR", "major", 1_234), (0, "EUR", "major", 0), (500, "JPY", "major", 500),
        (1_234, "EUR", "minor", 1_234), ("7.00", "EUR", "minor", 7), (AMOUNT_MINOR_MAX, "EUR", "minor", AMOUNT_MINOR_MAX),
        (AMOUNT_MINOR_MAX // 100, "EUR", "major", AMOUNT_MINOR_MAX // 100 * 100),
    ],
)  # fmt: skip
def test_money_is_counted_in_minor_units(value: object, currency: str, unit: str, minor: int | None) -> None:
    assert values.as_money("f", value, currency, unit) == minor


def test_the_largest_amount_is_ten_thousand_million_euros() -> None:
    assert values.as_money("f", "1e10", "EUR", "major") == 10**12
    assert reason(values.as_money, "f", "10000000000.01", "EUR", "major") == "amount_invalid"


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (-1, "major"),
        ("1.5", "minor"),
        (AMOUNT_MINOR_MAX + 1, "minor"),
        (AMOUNT_MINOR_MAX, "major"),
        ("1e999999", "major"),
    ],
)
def test_what_no_price_can_be_is_refused(value: object, unit: str) -> None:
    assert reason(values.as_money, "f", value, "EUR", unit) == "amount_invalid"


@pytest.mark.parametrize(
    ("value", "whole"),
    [
        (None, None),
        (float("nan"), None),
        (3.0, 3),
        ("-4", -4),
        (AMOUNT_MINOR_MAX, AMOUNT_MINOR_MAX),
        (-AMOUNT_MINOR_MAX, -AMOUNT_MINOR_MAX),
    ],
)
def test_whole_numbers(value: object, whole: int | None) -> None:
    assert values.as_integer("f", value) == whole


@pytest.mark.parametrize("value", [1.5, AMOUNT_MINOR_MAX + 1, -AMOUNT_MINOR_MAX - 1])
def test_what_is_no_whole_number_in_range_is_refused(value: object) -> None:
    assert reason(values.as_integer, "f", value) == "field_invalid"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        (float("nan"), None),
        (timedelta(minutes=1, microseconds=1_600), 60.002),
        ("1.2344", 1.234),
        (2, 2.0),
    ],
)
def test_seconds_are_told_to_the_millisecond(value: object, seconds: float | None) -> None:
    assert values.as_seconds("f", value) == seconds


def test_seconds_without_end_are_refused() -> None:
    assert values.as_seconds("f", AMOUNT_MINOR_MAX) == float(AMOUNT_MINOR_MAX)
    assert reason(values.as_seconds, "f", AMOUNT_MINOR_MAX + 1) == "field_invalid"


@pytest.mark.parametrize("word", ["1", "true", "T", "Yes", "y", "1.0", "1,00", 1, 1.0, True, b"1"])
def test_true(word: object) -> None:
    assert values.as_boolean("f", word) is True


@pytest.mark.parametrize("word", ["0", "False", "f", "NO", "n", "0.0", 0, 0.0, False, b"\x30"])
def test_false(word: object) -> None:
    assert values.as_boolean("f", word) is False


def test_neither_true_nor_false() -> None:
    assert values.as_boolean("f", None) is None
    assert values.as_boolean("f", " ") is None
    for word in ("2", "maybe", "1.5"):
        assert reason(values.as_boolean, "f", word) == "field_invalid"


@pytest.mark.parametrize(
    ("value", "form", "moment"),
    [
        (None, "iso", None), (NOON, "iso", NOON), (NOON.replace(tzinfo=None), "iso", NOON - timedelta(hours=2)),
        (NOON.astimezone(timezone(timedelta(hours=5))), "iso", NOON),
        (date(2026, 9, 1), "iso", datetime(2026, 8, 31, 22, tzinfo=UTC)),
        ("2026-09-01T12:00:00Z", "iso", NOON), ("2026-09-01 14:00", "iso", NOON), ("", "iso", None),
        (1_788_264_000, "epoch_s", NOON), ("1788264000.5", "epoch_s", NOON + timedelta(milliseconds=500)),
        (1_788_264_000_000, "epoch_ms", NOON), (1_788_264_000_000_000, "epoch_us", NOON),
        (1_788_264_000_000_000_000, "epoch_ns", NOON), (float("nan"), "epoch_s", None), (None, "epoch_s", None),
        (1, "days_before_event", NOON - timedelta(days=1)), ("0.5", "days_before_event", NOON - timedelta(hours=12)),
        (20260901, "%Y%m%d", datetime(2026, 8, 31, 22, tzinfo=UTC)), (20260901.0, "%Y%m%d", datetime(2026, 8, 31, 22, tzinfo=UTC)),
        ("20260901.0", "%Y%m%d", datetime(2026, 8, 31, 22, tzinfo=UTC)), (1092026, "%d%m%Y", datetime(2026, 8, 31, 22, tzinfo=UTC)),
        ("01.09.2026 14:00", "%d.%m.%Y %H:%M", NOON), (float("nan"), "%Y%m%d", None),
    ],
)  # fmt: skip
def test_moments_are_utc_and_naive_ones_are_in_the_zone_of_the_file(
    value: object, form: str, moment: datetime | None
) -> None:
    assert values.as_time("f", value, timezone(timedelta(hours=2)), form, NOON) == moment


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (True, "iso"), ([1], "iso"), (5, "iso"), ("no time", "iso"), ("1092026", "%d%m%Y"), (10**20, "epoch_s"),
        (-(10**20), "epoch_s"), (10**19, "epoch_s"), ("x", "epoch_s"), (datetime.fromisoformat("9999-12-31T23:59:59"), "iso"), (20261301, "%Y%m%d"),
    ],
)  # fmt: skip
def test_what_is_no_moment_is_refused(value: object, form: str) -> None:
    west = timezone(timedelta(hours=-12))
    assert reason(values.as_time, "f", value, west, form, NOON) == "field_invalid"


def test_days_before_an_event_need_the_event() -> None:
    with pytest.raises(InvalidEventError, match="needs the event's own time"):
        values.as_time("f", 1, UTC, "days_before_event", None)
