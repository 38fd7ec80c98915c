"""What each type means, by the log and by SELECT: values at which the two would part. The bytes are those that servers write."""

import re
import zlib
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from struct import pack
from typing import Any, NamedTuple

import pytest

from connectors.mysql.columns.charsets import find_decoder
from connectors.mysql.columns.collations import find_collation
from connectors.mysql.columns.column_types import Declared, build_converter, build_reader, find_family
from connectors.mysql.columns.packed import UndecodableError
from connectors.mysql.columns.table_map import Column, parse_table_map
from connectors.values import PaddedBytes, Unusable, as_exact_text
from contract.errors import InvalidEventError

BINARY, UTF8MB4, UTF8MB4_0900, UTF16, UTF32 = 63, 45, 255, 54, 60


def logged(kind: int, metadata: int, data: bytes, **more: Any) -> object:
    """The value of one column in a row of the log; all of `data` must be it."""
    value, end = build_reader(Column(kind, metadata, nullable=True, name="c", **more))(data + b"\xee", 0)
    assert end == len(data)
    return value


def opaque(kind: int, data: bytes) -> bytes:
    """A JSON document that is one value of another type of column."""
    document = bytes([15, kind, len(data)]) + data
    return pack("<I", len(document)) + document


def moment(text: str) -> int:
    at = datetime.fromisoformat(text)
    return ((at.year * 13 + at.month) << 5 | at.day) << 17 | at.hour << 12 | at.minute << 6 | at.second


def packed(whole: int, micro: int = 0, sign: int = 1) -> bytes:
    return (sign * (whole << 24 | micro)).to_bytes(8, "little", signed=True)


DECIMAL_1230 = b"\x08\x02" + b"\x80\x00\x0c\x1e"


class Case(NamedTuple):
    """One value: how a table map tells its column, its bytes in a row, and what SELECT answers."""

    name: str
    code: int
    metadata: int
    data: bytes
    more: dict[str, Any]
    value: object
    shown: bytes


CASES = [
    Case("FLOAT", 4, 4, pack("<f", 123456.78), {}, 123456.78, b"123456.78125"),
    Case("FLOAT of an amount", 4, 4, pack("<f", 12345678), {}, 12345678.0, b"12345678"),
    Case("DOUBLE", 5, 8, pack("<d", 0.1), {}, 0.1, b"0.1"),
    Case("YEAR 0", 13, 0, b"\x00", {}, 0, b"0"),
    Case("YEAR", 13, 0, b"\x7e", {}, 2026, b"2026"),
    Case("INT UNSIGNED", 3, 0, b"\xff\xff\xff\xff", {"unsigned": True}, 2**32 - 1, b"4294967295"),
    Case("INT", 3, 0, b"\xff\xff\xff\xff", {}, -1, b"-1"),
    Case("BIT(10)", 16, 1 << 8 | 2, b"\x02\x01", {}, 513, b"\x02\x01"),
    Case("DATE", 10, 0, ((2026 << 9) | (11 << 5) | 30).to_bytes(3, "little"), {}, date(2026, 11, 30), b"2026-11-30"),
    Case("DATE zero", 10, 0, bytes(3), {}, None, b"0000-00-00"),
    Case("DATE without a day", 10, 0, ((2026 << 9) | (11 << 5)).to_bytes(3, "little"), {}, None, b"2026-11-00"),
    Case("DATETIME zero", 18, 0, b"\x80\0\0\0\0", {}, None, b"0000-00-00 00:00:00"),
    Case("DATETIME(2)", 18, 2, (0x8000000000 + moment("2026-11-30 10:00:01")).to_bytes(5, "big") + b"\x0c", {}, datetime.fromisoformat("2026-11-30 10:00:01.120"), b"2026-11-30 10:00:01.12"),
    Case("TIMESTAMP zero", 17, 0, bytes(4), {}, None, b"0000-00-00 00:00:00"),
    Case("TIMESTAMP", 17, 0, b"\x00\x00\x00\x01", {}, datetime.fromisoformat("1970-01-01 00:00:01"), b"1970-01-01 00:00:01"),
    Case("TIME", 19, 0, (0x800000 - (1 << 12 | 2 << 6 | 3)).to_bytes(3, "big"), {}, -timedelta(hours=1, minutes=2, seconds=3), b"-01:02:03"),
    Case("SET", 248, 1, b"\x05", {"elements": (b"card", b"paypal", b"gift"), "collation": UTF8MB4}, "card,gift", b"card,gift"),
    Case("SET empty", 248, 1, b"\x00", {"elements": (b"card",), "collation": UTF8MB4}, "", b""),
    Case("SET in utf32", 248, 1, b"\x03", {"elements": ("a".encode("utf-32-be"), "é".encode("utf-32-be")), "collation": UTF32}, "a,é", "a,é".encode("utf-32-be")),
    Case("ENUM refused", 247, 1, b"\x00", {"elements": (b"a", b"b"), "collation": UTF8MB4}, "", b""),
    Case("ENUM", 247, 1, b"\x02", {"elements": (b"a", b"b"), "collation": UTF8MB4}, "b", b"b"),
    Case("BINARY(4)", 254, 4, b"\x02AB", {"collation": BINARY}, b"AB\0\0", b"AB\0\0"),
    Case("VARBINARY", 15, 4, b"\x02A\0", {"collation": BINARY}, b"A\0", b"A\0"),
    Case("CHAR pads", 254, 40, b"\x04ab  ", {"collation": UTF8MB4}, "ab", b"ab"),
    Case("VARCHAR pads", 15, 40, b"\x04ab  ", {"collation": UTF8MB4}, "ab", b"ab  "),
    Case("VARCHAR that does not pad", 15, 40, b"\x04ab  ", {"collation": UTF8MB4_0900}, "ab  ", b"ab  "),
    Case("VARCHAR in utf16", 15, 40, b"\x04\x00a\x00\xe9", {"collation": UTF16}, "aé", b"\x00a\x00\xe9"),
    Case("VECTOR", 242, 4, b"\x04\0\0\0\x00\x00\x80\x3f", {}, b"\x00\x00\x80\x3f", b"\x00\x00\x80\x3f"),
    Case("JSON DECIMAL", 245, 4, opaque(246, DECIMAL_1230), {}, "12.30", b"12.30"),
    Case("JSON DATETIME", 245, 4, opaque(12, packed(moment("2026-11-30 10:00:01"))), {}, '"2026-11-30 10:00:01.000000"', b'"2026-11-30 10:00:01.000000"'),
    Case("JSON DATE", 245, 4, opaque(10, packed(moment("2026-11-30"))), {}, '"2026-11-30"', b'"2026-11-30"'),
    Case("JSON TIME", 245, 4, opaque(11, packed(10 << 12 | 11 << 6 | 12, 500_000, -1)), {}, '"-10:11:12.500000"', b'"-10:11:12.500000"'),
    Case("JSON DOUBLE", 245, 4, pack("<IB", 9, 11) + pack("<d", 1e20), {}, "1e20", b"1e20"),
    Case("JSON of a whole DOUBLE", 245, 4, pack("<IB", 9, 11) + pack("<d", 2.0), {}, "2.0", b"2.0"),
    Case("JSON empty, as ALTER TABLE leaves it", 245, 4, bytes(4), {}, "null", b"null"),
    Case("DECIMAL(8,2)", 246, 2 << 8 | 8, DECIMAL_1230[2:], {}, Decimal("12.30"), b"12.30"),
]  # fmt: skip


def declared(name: str, more: dict[str, Any]) -> Declared:
    """The column as information_schema tells of it."""
    word = name.partition(" ")[0].partition("(")[0].lower()
    number = more.get("collation")
    found = find_collation(number) if isinstance(number, int) else None
    if found is None or found.charset == "binary":
        return Declared("c", word)
    called = "utf8mb4_0900_ai_ci" if number == UTF8MB4_0900 else f"{found.charset}_general_ci"
    return Declared("c", word, found.charset, called)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_value_is_the_same_by_the_log_and_by_select(case: Case) -> None:
    found = logged(case.code, case.metadata, case.data, **case.more)
    answer = build_converter(declared(case.name, case.more))(case.shown)
    assert (found, type(found)) == (answer, type(answer))
    assert (found, str(found)) == (case.value, str(case.value))
    assert isinstance(found, PaddedBytes) == case.name.startswith("BINARY")


TEXTS = [
    ("utf16", b"\x00g\x00\xfc\xd8\x3d\xde\x00", "gü\U0001f600"),
    ("utf16le", b"g\x00\xfc\x00", "gü"),
    ("ucs2", b"\x00g\x00\xfc", "gü"),
    ("utf32", b"\x00\x00\x00g\x00\x01\xf6\x00", "g\U0001f600"),
    ("utf8mb3", "gü".encode(), "gü"),
    ("latin1", b"\x80\xfc", "€ü"),
    ("dec8", b"\xd7\xdd\xa8\xfc", "ŒŸ¤ü"),
    ("hp8", b"\xc5", "é"),
    ("swe7", b"]", "Å"),
    ("eucjpms", b"\xad\xa1\xb5\xdc", "①宮"),
    ("ujis", b"\xb5\xdc", "宮"),
    ("sjis", b"\x8b\x7b", "宮"),
    ("cp932", b"\x87\x40", "①"),
    ("big5", b"\xa4\xa4", "中"),
    ("gbk", b"\xd6\xd0", "中"),
    ("gb18030", b"\xd6\xd0\x81\x30\x81\x30", "中\x80"),
    ("euckr", b"\xb0\xa1", "가"),
    ("koi8r", b"\xd6", "ж"),
    ("greek", b"\xf9", "ω"),
]


@pytest.mark.parametrize(("charset", "data", "text"), TEXTS, ids=[case[0] for case in TEXTS])
def test_text_is_read_by_its_own_character_set(charset: str, data: bytes, text: str) -> None:
    decode = find_decoder(charset)
    assert decode is not None
    assert decode(data) == text


@pytest.mark.parametrize(
    ("charset", "data"), [("utf8mb4", b"a\xff"), ("utf16", b"\x00a\xd8"), ("greek", b"a\xd2"), ("big5", b"a\xfe\xff")]
)
def test_a_byte_that_is_no_text_is_told_and_never_becomes_another_letter(charset: str, data: bytes) -> None:
    decode = find_decoder(charset)
    assert decode is not None
    with pytest.raises(InvalidEventError) as told:
        as_exact_text("customer", decode(data))
    assert told.value.reason == "encoding"


def maps() -> Iterator[tuple[str, Column]]:
    """A table (a CHAR(255) of utf8mb4, b VARCHAR(9) of utf16, c BIGINT UNSIGNED, d SMALLINT, e VECTOR)."""
    kinds = bytes((254, 15, 8, 2, 242))
    metadata = b"\xce\xfc" + b"\x24\x00" + b"\x04"  # CHAR(255) of utf8mb4 has 1,020 bytes
    told = b"\x01\x01\x80" + b"\x02\x05\xfc\xff\x00\x01" + bytes([UTF16]) + b"\x04\x0a\x01a\x01b\x01c\x01d\x01e"
    body = bytes(8) + b"\x04shop\x00\x01t\x00" + b"\x05" + kinds + bytes([len(metadata)]) + metadata + b"\x1f" + told
    for column in parse_table_map(body).columns:
        assert column.name is not None
        yield column.name, column


def test_a_table_map_tells_lengths_signs_and_the_exceptions_among_its_collations() -> None:
    found = dict(maps())
    assert (found["a"].metadata, found["a"].collation, found["b"].collation) == (1020, UTF8MB4_0900, UTF16)
    assert [found[name].unsigned for name in "cd"] == [True, False]
    assert found["e"].type == 242


@pytest.mark.parametrize(
    ("kind", "metadata", "more", "words"),
    [
        (200, 0, {}, "a type (200) that Tillguard does not know"),
        (246, 3 << 8 | 2, {}, "more digits behind the point"),
        (18, 7, {}, "more than six digits"),
        (252, 0, {"collation": UTF8MB4}, "a BLOB whose length has no bytes"),
        (252, 5, {"collation": UTF8MB4}, "a BLOB whose length has no bytes"),
        (15, 40, {}, "a text whose character set is not known"),
        (15, 40, {"collation": 2**16}, "a text whose character set is not known"),
    ],
)
def test_a_column_that_cannot_be_read_is_refused_before_any_row(
    kind: int, metadata: int, more: dict[str, Any], words: str
) -> None:
    with pytest.raises(UndecodableError, match=re.escape(words)):
        build_reader(Column(kind, metadata, nullable=True, name="c", **more))


def test_a_column_that_select_cannot_show_is_refused() -> None:
    with pytest.raises(UndecodableError, match=re.escape("column c has a type (hologram)")):
        build_converter(Declared("c", "hologram"))
    with pytest.raises(UndecodableError, match="the character set klingon"):
        build_converter(Declared("c", "varchar", "klingon", "klingon_general_ci"))


def test_a_table_tells_the_family_of_each_type() -> None:
    assert [find_family(name) for name in ("int", "decimal", "varchar", "datetime", "hologram")] == [
        "number", "number", "text", "time", "other",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("number", "charset", "pads"),
    [
        (8, "latin1", True), (BINARY, "binary", False), (254, None, None), (UTF8MB4_0900, "utf8mb4", False), (323, "utf8mb4", False),
        (608, "utf8mb4", True), (1023, None, None), (1024 + 45, "utf8mb4", False), (1024 + 1, "big5", False), (1024, None, None),
        (2048, "utf8mb3", True), (2048 + 3, "utf8mb3", True), (2048 + 4, "utf8mb3", False), (2048 + 255, "utf8mb3", False),
        (2048 + 256, "utf8mb4", True), (2048 + 4 * 256, "utf32", True), (2048 + 5 * 256 - 1, "utf32", False), (2048 + 5 * 256, None, None),
    ],
)  # fmt: skip
def test_the_number_of_a_collation_tells_its_character_set_and_whether_it_pads(
    number: int, charset: str | None, pads: bool | None
) -> None:
    found = find_collation(number)
    assert (None if found is None else (found.charset, bool(found.pads))) == (charset and (charset, pads))


def test_whoever_writes_gets_no_lone_surrogates() -> None:
    with pytest.raises(UnicodeEncodeError):
        "é".encode("ascii", "tillguard.lone_surrogates")


PACKED = zlib.compress(b"abcd" * 100)


@pytest.mark.parametrize(
    ("held", "value"),
    [
        (b"", ""),
        (b"\x00abc", "abc"),
        (b"\x82\x01\x90" + PACKED, "abcd" * 100),
        (b"\x8a\x01\x90" + PACKED[2:-4], "abcd" * 100),
        (b"\x12\x01\x90" + PACKED, None),
        (b"\x82\x01\x8f" + PACKED, None),
        (b"\x82\x01\x91" + PACKED, None),
        (b"\x80" + PACKED, None),
        (b"\x84\x40\x00\x00\x01" + PACKED, None),
        (b"\x82\x01\x90junk", None),
    ],
)
def test_a_compressed_text_is_read_where_it_is_as_long_as_it_says(held: bytes, value: str | None) -> None:
    found = logged(141, 300, len(held).to_bytes(2, "little") + held, collation=UTF8MB4)
    assert type(found) is Unusable if value is None else found == value


@pytest.mark.parametrize(
    ("case", "shown"),
    [
        (("uuid", bytes(16)), b"00000000-0000-0000-0000-000000000000"),
        (("inet4", b"\x01\x02\x03\x04"), b"1.2.3.4"),
        (("inet6", bytes(10) + b"\xff\xff\x01\x02\x03\x04"), b"::ffff:1.2.3.4"),
        (("inet6", b"\x20\x01" + bytes(13) + b"\x01"), b"2001::1"),
        (("inet6", bytes(15) + b"\x01"), b"::0:1"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_the_types_of_mariadb_alone_are_the_same_by_the_log_and_by_select(
    case: tuple[str, bytes], shown: bytes
) -> None:
    name, data = case
    read = build_reader(Column(254, len(data), nullable=True, name="c", collation=BINARY), name)
    value, _ = read(bytes([len(data)]) + data, 0)
    assert value == build_converter(Declared("c", name))(shown)
    assert isinstance(value, str)


@pytest.mark.parametrize(
    ("kind", "metadata", "data", "more"),
    [
        (248, 1, b"\x04", {"elements": (b"a", b"b"), "collation": UTF8MB4}),
        (247, 1, b"\x03", {"elements": (b"a", b"b"), "collation": UTF8MB4}),
        (246, 8, b"\xe5\xf5\xe1\x01", {}),
        (245, 4, b"\x01\x00\x00\x00\x07", {}),
    ],
    ids=["SET", "ENUM", "DECIMAL", "JSON"],
)
def test_a_value_that_its_table_cannot_hold_is_unusable_and_those_behind_it_are_read(
    kind: int, metadata: int, data: bytes, more: dict[str, Any]
) -> None:
    assert type(logged(kind, metadata, data, **more)) is Unusable


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.4028235e38, "3.4028235e+38"), (16777217.0, "16777216.0"), (1.00677895e27, "1.00677895e+27"), (0.3, "0.3")],
)  # fmt: skip
def test_a_float_is_told_with_as_many_digits_as_it_needs(value: float, text: str) -> None:
    assert repr(logged(4, 4, pack("<f", value))) == text


def test_hidden_columns_of_an_index_over_json_are_stepped_over() -> None:
    kinds, metadata = bytes((20, 3, 20, 15)), b"\x0f\x50\x00\x00" + b"\x08" + b"\x24\x00"
    names = b"\x04\x08\x01h\x01a\x01i\x01v" + b"\x03\x01\x2d"
    body = bytes(8) + b"\x04shop\x00\x01t\x00" + b"\x04" + kinds + bytes([len(metadata)]) + metadata + b"\x0f" + names
    found = parse_table_map(body).columns
    assert [(column.name, column.type, column.metadata) for column in found] == [
        ("h", 20, 4), ("a", 3, 0), ("i", 20, 4), ("v", 15, 36),
    ]  # fmt: skip
    assert found[3].collation == UTF8MB4
