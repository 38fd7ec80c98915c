"""MySQL's binary JSON: small and large documents, scalars, opaque values, and bytes that are none."""

import struct
from base64 import b64encode
from decimal import Decimal
from typing import Any

import pytest

from connectors.mysql.columns.binary_json import DEPTH_MAX, decode_document, format_value
from connectors.mysql.columns.packed import UndecodableError


def container(kind: int, size: int, entries: list[tuple[int, bytes, bool]], names: list[bytes] | None = None) -> bytes:
    """An object (with names) or array of entries: kind, value, and whether the value stands in the entry itself."""
    head = 2 * size + sum(size + 2 for _ in names or []) + len(entries) * (size + 1)
    tail = b"".join(names or [])
    body = b""
    places = []
    for _, value, inlined in entries:
        places.append(
            value.ljust(size, b"\x00") if inlined else (head + len(tail) + len(body)).to_bytes(size, "little")
        )
        body += b"" if inlined else value
    out = len(entries).to_bytes(size, "little") + (head + len(tail) + len(body)).to_bytes(size, "little")
    at = head
    for name in names or []:
        out += at.to_bytes(size, "little") + len(name).to_bytes(2, "little")
        at += len(name)
    out += b"".join(bytes([entry[0]]) + place for entry, place in zip(entries, places, strict=True))
    return bytes([kind]) + out + tail + body


def text(value: bytes) -> bytes:
    return bytes([len(value)]) + value


@pytest.mark.parametrize(("kinds", "size"), [((0, 2), 2), ((1, 3), 4)])
def test_objects_and_arrays_of_both_sizes(kinds: tuple[int, int], size: int) -> None:
    entries = [
        (4, b"\x00", True),
        (4, b"\x01", True),
        (4, b"\x02", True),
        (12, text(b"hi"), False),
        (11, struct.pack("<d", 1.5), False),
    ]
    assert decode_document(container(kinds[1], size, entries)) == [None, True, False, "hi", 1.5]
    names = [b"a", b"b", b"c", b"dd", b"e"]
    expected = {"a": None, "b": True, "c": False, "dd": "hi", "e": 1.5}
    found = decode_document(container(kinds[0], size, entries, names))
    assert found == expected
    assert format_value(found) == '{"a": null, "b": true, "c": false, "e": 1.5, "dd": "hi"}'


@pytest.mark.parametrize(
    ("kind", "form", "value", "sizes"),
    [
        (5, "<h", -7, (2, 4)), (6, "<H", 65_535, (2, 4)), (7, "<i", -70_000, (4,)), (8, "<I", 4_000_000_000, (4,)),
        (9, "<q", -(2**62), ()), (10, "<Q", 2**64 - 1, ()),
    ],
)  # fmt: skip
def test_whole_numbers_stand_in_the_entry_where_they_are_short(
    kind: int, form: str, value: int, sizes: tuple[int, ...]
) -> None:
    data = struct.pack(form, value)
    for size in (2, 4):
        assert decode_document(container(2 if size == 2 else 3, size, [(kind, data, size in sizes)])) == [value]


def test_long_texts_have_their_length_seven_bits_at_a_time() -> None:
    long = b"x" * 300
    assert decode_document(bytes([12, 300 & 0x7F | 0x80, 300 >> 7]) + long) == "x" * 300
    with pytest.raises(UndecodableError, match="a length without end"):
        decode_document(b"\x0c" + b"\xff" * 6)
    with pytest.raises(UndecodableError, match="too early"):
        decode_document(b"\x0c\x05abc")


def opaque(kind: int, data: bytes) -> Any:
    return decode_document(bytes([15, kind]) + text(data))


def moment(*parts: int) -> bytes:
    months, day, hour, minute, second, micro = parts
    return ((months << 22 | day << 17 | hour << 12 | minute << 6 | second) << 24 | micro).to_bytes(8, "little")


def test_opaque_values_are_written_as_the_server_writes_them() -> None:
    assert opaque(246, b"\x03\x01\x8c\x05") == Decimal("12.5")
    assert opaque(10, moment(2026 * 13 + 9, 30, 0, 0, 0, 0)) == "2026-09-30"
    assert opaque(12, moment(2026 * 13 + 9, 30, 23, 59, 58, 7)) == "2026-09-30 23:59:58.000007"
    assert opaque(7, moment(2026 * 13 + 9, 30, 1, 2, 3, 0)) == "2026-09-30 01:02:03.000000"
    time = (838 << 12 | 59 << 6 | 58) << 24 | 500_000
    assert opaque(11, time.to_bytes(8, "little")) == "838:59:58.500000"
    assert opaque(11, (-time).to_bytes(8, "little", signed=True)) == "-838:59:58.500000"
    lines = b64encode(b"z" * 60).decode()
    assert opaque(252, b"z" * 60) == f"base64:type252:{lines[:76]}\n{lines[76:]}"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1.0, "1.0"), (-1.5, "-1.5"), (0.0, "0.0"), (1e14, "100000000000000.0"), (1e15, "1e15"), (1.25e20, "1.25e20"),
        (1e-15, "0.000000000000001"), (1e-16, "1e-16"), (0.001, "0.001"), (-2.5e-17, "-2.5e-17"), (123.456, "123.456"), (Decimal("1.50"), "1.50"),
        (7, "7"), (None, "null"), (True, "true"), ('"\n', '"\\"\\n"'), ([1, "a"], '[1, "a"]'), ({}, "{}"),
    ],
)  # fmt: skip
def test_values_are_written_with_the_fewest_digits_and_a_point(value: Any, written: str) -> None:
    assert format_value(value) == written


def test_members_are_in_the_order_of_the_length_of_their_names() -> None:
    assert format_value({"bb": 1, "c": 2, "a": 3}) == '{"a": 3, "c": 2, "bb": 1}'


def test_bytes_that_are_no_document_are_refused_and_empty_ones_are_null() -> None:
    assert decode_document(b"") is None
    for data in (b"\x0d", b"\x04\x07", b"\x0b\x00", b"\x0c\x01\xff", b"\x02\x01", b"\x0f\x0a\x02\x00\x00"):
        with pytest.raises(UndecodableError):
            decode_document(data)


def test_values_within_values_end_somewhere() -> None:
    def nested(depth: int) -> bytes:
        inner = b"\x04\x00\x00"
        for _ in range(depth):
            value = inner[1:] if inner[0] != 4 else inner[1:2]
            inner = container(2, 2, [(inner[0], value, inner[0] == 4)])
        return inner

    found: Any = decode_document(nested(DEPTH_MAX))
    for _ in range(DEPTH_MAX):
        (found,) = found
    assert found is None
    with pytest.raises(UndecodableError, match="without end"):
        decode_document(nested(DEPTH_MAX + 1))
    loop = b"\x02\x01\x00\x07\x00\x02\x00\x00"  # its only value is the array itself
    with pytest.raises(UndecodableError, match="without end"):
        decode_document(loop)
