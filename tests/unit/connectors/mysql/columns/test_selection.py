"""Rows found again by their key: a comparison by a value that the column can hold, or none at all."""

import struct
from decimal import Decimal

import pytest

from connectors.mysql.columns.column_types import Declared
from connectors.mysql.columns.selection import Condition, Selection, build_condition, is_resumable, quote_identifier


def condition(data_type: str, key: str, octets: int | None = None) -> Condition | None:
    return build_condition(Declared("c", data_type, octets=octets), key)


def test_names_are_quoted_and_answers_are_converted_by_their_columns() -> None:
    selection = Selection([Declared("a`b", "int"), Declared("c", "double")])
    assert quote_identifier("a`b") == "`a``b`"
    assert selection.names == ["a`b", "c"]
    assert selection.shown.startswith("`a``b`, ")
    assert selection.make_row([b"7", None]) == {"a`b": 7, "c": None}
    with pytest.raises(ValueError, match="argument 2"):
        selection.make_row([b"7"])


@pytest.mark.parametrize(
    ("data_type", "key", "value"),
    [
        ("int", "-7", -7), ("year", "2026", 2026), ("decimal", "1.50", Decimal("1.50")), ("double", "1.5", 1.5),
        ("date", "2026-09-30", "2026-09-30"), ("datetime", "2026-09-30T10:00:00", "2026-09-30 10:00:00"),
        ("timestamp", "2026-09-30 10:00:00.5", "2026-09-30 10:00:00.500000"), ("time", "-10:00:00", "-10:00:00"),
        ("uuid", "00112233-4455-6677-8899-AABBCCDDEEFF", "00112233-4455-6677-8899-aabbccddeeff"),
        ("inet4", "10.0.0.1", "10.0.0.1"), ("inet6", "2001:DB8::1", "2001:db8::1"), ("varbinary", "0xff", b"\xff"),
        ("blob", "abc", b"abc"), ("varchar", "o'clock", "o'clock"),
    ],
)  # fmt: skip
def test_a_key_is_compared_as_the_value_that_its_column_holds(data_type: str, key: str, value: object) -> None:
    found = condition(data_type, key)
    assert found is not None
    assert found.value == value
    assert found.statement.endswith("= %s")


@pytest.mark.parametrize(
    ("data_type", "key"),
    [
        ("int", "x"), ("int", "1.5"), ("decimal", "NaN"), ("decimal", "x"), ("double", "x"), ("float", "x"), ("float", "1e300"),
        ("float", "0.100000001"), ("date", "2026-02-30"), ("datetime", "noon"), ("time", "10:60:00"), ("uuid", "x"),
        ("inet4", "10.0.0.256"), ("inet6", "x"), ("blob", "0xzz"), ("varchar", "\udcff"),
    ],
)  # fmt: skip
def test_a_key_that_the_column_cannot_hold_finds_nothing(data_type: str, key: str) -> None:
    assert condition(data_type, key) is None


def test_a_binary_of_fixed_length_is_filled_up_and_another_is_not() -> None:
    assert condition("binary", "ab", 4) == ("`c` = %s", b"ab\x00\x00")
    assert condition("binary", "ab") == ("`c` = %s", b"ab")
    assert condition("varbinary", "ab", 4) == ("`c` = %s", b"ab")


def test_a_float_is_compared_as_the_server_stores_it() -> None:
    found = condition("float", "0.1")
    assert found is not None
    assert found.value == struct.unpack("<f", struct.pack("<f", 0.1))[0]
    assert found.statement != "`c` = %s"
    assert condition("double", "0.1") is not None


def test_a_scan_goes_on_behind_a_key_by_another_comparison() -> None:
    assert build_condition(Declared("c", "int"), "7", ">") == ("`c` > %s", 7)
    assert is_resumable(Declared("c", "int"))
    for data_type in ("enum", "set", "json", "bit", "time", "uuid", "inet4", "inet6"):
        assert not is_resumable(Declared("c", data_type))
