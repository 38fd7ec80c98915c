"""Columns of MySQL and MariaDB from bytes: what each means, and that no bytes at all can do more than refuse themselves."""

import contextlib
from decimal import Decimal
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.config.fields import TextField
from connectors.mapping.readers import build_name_reader, build_text_reader
from connectors.mysql.columns import binary_json, moments, numbers
from connectors.mysql.columns.charsets import find_decoder, list_charsets
from connectors.mysql.columns.column_types import Declared
from connectors.mysql.columns.json_changes import apply_changes
from connectors.mysql.columns.packed import UndecodableError
from connectors.mysql.columns.row_images import RowDecoder, RowFault, RowImage, complete_images
from connectors.mysql.columns.selection import Selection, build_condition
from connectors.mysql.columns.table_map import TableMap, parse_table_map
from connectors.values import UNTOLD, UntoldError, Unusable, as_id, as_key
from contract.errors import InvalidEventError

ROWS_OF_MARIADB = (
    "120000000000010001780001750006fefefe8d8c8c0afe10fe04fe10b10402023f02053f032d042d040d01750161016202636301640165",
    "1200000000000100063fc0106ccd780cbaba102695645b8c656024db04010203041000000000000000000000ffff010203040b008a01184b4c4a1c8558200006000073686f72740c008a012caba8acaa1845c42100",
)
"""A table (u UUID, a INET4, b INET6, cc VARCHAR(300) COMPRESSED, d TEXT COMPRESSED, e BLOB COMPRESSED), and a row of it."""


def table(*columns: tuple[int, bytes, str], told_of: bytes = b"") -> TableMap:
    """A table map of columns with type, metadata and name, all nullable; `told_of`: more of its optional metadata."""
    metadata = b"".join(data for _, data, _ in columns)
    names = b"".join(bytes([len(column)]) + column.encode() for _, _, column in columns)
    count = len(columns)
    body = (
        bytes(8) + b"\x04shop\x00\x05sales\x00" + bytes([count]) + bytes(kind for kind, _, _ in columns)
        + bytes([len(metadata)]) + metadata + b"\xff" * ((count + 7) // 8)
        + bytes([4, len(names)]) + names + told_of
    )  # fmt: skip
    return parse_table_map(body)


def body(count: int, *rows: bytes, present: int | None = None) -> bytes:
    """An event that writes `rows`, of the second version."""
    size = (count + 7) // 8
    return (
        bytes(8)
        + b"\x02\x00"
        + bytes([count])
        + (present or (1 << count) - 1).to_bytes(size, "little")
        + b"".join(rows)
    )


def test_a_row_of_mariadb_is_read_as_its_table_shows_it() -> None:
    found = parse_table_map(bytes.fromhex(ROWS_OF_MARIADB[0]), mariadb=True)
    decoder_ = RowDecoder(found, {"u", "a", "b", "cc", "d", "e"}, {"u": "uuid", "a": "inet4", "b": "inet6"})
    (image,) = decoder_.decode_rows(23, bytes.fromhex(ROWS_OF_MARIADB[1]))
    assert isinstance(image, RowImage)
    assert image.after == {
        "u": "6ccd780c-baba-1026-9564-5b8c656024db", "a": "1.2.3.4", "b": "::ffff:1.2.3.4", "cc": "ab" * 140, "d": "short",
        "e": b"xyz" * 100,
    }  # fmt: skip


def test_only_wanted_columns_are_decoded_and_a_bad_value_is_the_fault_of_its_own_row() -> None:
    # an ENUM of one element, told by its texts, and a BLOB that would be bad as JSON
    found = table(
        (3, b"", "id"), (254, b"\xf7\x01", "kind"), (245, b"\x04", "extra"), told_of=b"\x06\x03\x01\x01a\x0a\x01\x2d"
    )
    good, bad = b"\x00" + pack("<iB", 1, 1) + pack("<I", 2) + b"\xff\xff", b"\x00" + pack("<iB", 2, 9) + pack("<I", 0)
    images = list(RowDecoder(found, {"id", "kind"}).decode_rows(30, body(3, good, bad, good)))
    assert [image.after["id"] for image in images if isinstance(image, RowImage) and image.after] == [1, 2, 1]
    values = [image.after["kind"] for image in images if isinstance(image, RowImage) and image.after]
    assert (values[0], type(values[1]), values[2]) == ("a", Unusable, "a")
    with pytest.raises(InvalidEventError, match="channel"):
        build_text_reader("channel", TextField(column="kind"), flat=True)({"kind": values[1]})
    assert build_text_reader("channel", TextField(column="kind", optional=True), flat=True)({"kind": values[1]}) is None


def test_a_type_that_nobody_knows_is_named_with_its_table_and_column() -> None:
    with pytest.raises(UndecodableError, match=r"shop\.sales: column later has a type \(200\)"):
        table((3, b"", "id"), (200, b"", "later"))


def test_rows_that_end_too_early_are_told_once_with_what_was_read() -> None:
    found = table((3, b"", "id"), (15, b"\x14\x00", "note"))
    good = b"\x00" + pack("<i", 7) + b"\x01x"
    images = list(RowDecoder(found, {"id"}).decode_rows(30, body(2, good, b"\x00" + pack("<i", 8) + b"\x09y")))
    assert isinstance(images[0], RowImage)
    assert images[1:] == [RowFault({"id": 8}, "the event ends within a row")]


def test_a_column_that_the_log_leaves_out_is_not_null() -> None:
    found = table((3, b"", "id"), (3, b"", "total"))
    decoder_ = RowDecoder(found, {"id", "total"})
    (image,) = decoder_.decode_rows(30, body(2, b"\x00" + pack("<i", 7), present=1))
    assert isinstance(image, RowImage)
    _, after = complete_images(image, decoder_.wanted)
    assert after == {"id": 7, "total": UNTOLD}
    with pytest.raises(UntoldError, match="binlog_row_image"):
        build_text_reader("customer", TextField(column="total", optional=True, default="none"), flat=True)(after)
    (nothing,) = decoder_.decode_rows(30, bytes(8) + b"\x02\x00\x02\x00x")
    assert isinstance(nothing, RowFault)
    before, after = complete_images(RowImage({"id": 7}, {"total": 9}), decoder_.wanted)
    assert (before, after) == ({"id": 7, "total": UNTOLD}, {"id": 7, "total": 9})


@given(data=st.binary(max_size=200))
def test_whatever_bytes_come_only_our_own_errors_do(data: bytes) -> None:
    for read in (parse_table_map, lambda each: parse_table_map(bytes.fromhex(ROWS_OF_MARIADB[0])[:30] + each)):
        with contextlib.suppress(UndecodableError):
            read(data)
    found = parse_table_map(bytes.fromhex(ROWS_OF_MARIADB[0]), mariadb=True)
    for kind in (23, 24, 30, 31, 32, 39, 99):
        list(RowDecoder(found, {"u", "cc", "e"}).decode_rows(kind, bytes.fromhex(ROWS_OF_MARIADB[1])[:12] + data))
    assert isinstance(apply_changes("{}", data), str | Unusable)
    with contextlib.suppress(UndecodableError):
        binary_json.format_value(binary_json.decode_document(data))


@given(st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**14), max_value=10**14))
def test_a_decimal_is_read_as_it_was_packed(value: Decimal) -> None:
    digits = f"{abs(value):019.4f}".replace(".", "").rjust(19, "0")[-19:]
    whole, fraction = digits[:15], digits[15:]
    packed = int(whole[:6]).to_bytes(3, "big") + int(whole[6:]).to_bytes(4, "big") + int(fraction).to_bytes(2, "big")
    packed = bytes([packed[0] ^ 0x80, *packed[1:]])
    if value < 0:
        packed = bytes(byte ^ 0xFF for byte in packed)
    assert numbers.build_decimal_reader(19, 4)(packed, 0) == (value, 9)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_has_one_text_both_ways(value: float) -> None:
    logged, _ = numbers.read_single(pack("<f", value), 0)
    assert logged == numbers.convert_single(repr(value).encode())
    assert pack("<f", logged) == pack("<f", value)


@given(st.integers(-838, 838), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999_999))
def test_a_time_has_one_value_both_ways(hours: int, minutes: int, seconds: int, micro: int) -> None:
    shown = (
        f"{hours:03}:{minutes:02}:{seconds:02}.{micro:06}"
        if hours >= 0
        else f"{hours}:{minutes:02}:{seconds:02}.{micro:06}"
    )
    size = ((abs(hours) << 12 | minutes << 6 | seconds) << 24 | micro) * (-1 if hours < 0 else 1)
    logged, _ = moments.build_duration_reader(6)((size + (1 << 47)).to_bytes(6, "big"), 0)
    assert logged == moments.convert_duration(shown.encode())


@given(st.sampled_from(sorted(list_charsets())), st.binary(max_size=30))
def test_every_character_set_reads_any_bytes(charset: str, data: bytes) -> None:
    decode = find_decoder(charset)
    assert decode is not None
    assert isinstance(decode(data), str)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_two_keys_of_bytes_never_look_alike(one: bytes, other: bytes) -> None:
    try:
        keys = as_key(one), as_key(other)
    except InvalidEventError:
        return
    assert (keys[0] == keys[1]) == (one == other) or None in keys
    if keys[0] is not None:
        found = build_condition(Declared("id", "varbinary"), keys[0])
        assert found is not None
        assert found.value == one


@given(
    st.lists(st.text("AB \\", max_size=4), min_size=2, max_size=2),
    st.lists(st.text("AB \\", max_size=4), min_size=2, max_size=2),
)
def test_different_rows_never_share_an_id_made_of_several_columns(one: list[str], other: list[str]) -> None:
    read = build_name_reader("transaction_id", TextField(columns=["a", "b"]), flat=True)
    ids = [read(dict(zip("ab", each, strict=True))) for each in (one, other)]
    blank = [[part if part.strip() else "" for part in each] for each in (one, other)]
    assert (ids[0] == ids[1]) == (blank[0] == blank[1])


@pytest.mark.parametrize("key", ["A", " A", "A ", "a", "\u00e9", "e\u0301"])
def test_an_id_is_taken_exactly_as_it_stands(key: str) -> None:
    assert build_name_reader("transaction_id", TextField(column="id"), flat=True)({"id": key}) == key


def test_ids_that_are_bytes_are_written_as_the_file_says() -> None:
    stored = bytes.fromhex("6ccd780cbaba102695645b8c656024db")
    assert as_id("transaction_id", stored, "uuid") == "6ccd780c-baba-1026-9564-5b8c656024db"
    swapped = bytes.fromhex("1026baba6ccd780c95645b8c656024db")
    assert as_id("transaction_id", swapped, "uuid_swapped") == "6ccd780c-baba-1026-9564-5b8c656024db"
    assert as_id("device", b"\xca\xfe", "hex") == "cafe"
    with pytest.raises(InvalidEventError, match="format: uuid"):
        build_name_reader("transaction_id", TextField(column="id"), flat=True)({"id": stored})


@pytest.mark.parametrize(
    ("change", "after"),
    [
        (b"\x00\x03$.a\x03\x05\x07\x00", '{"a": 7, "b": [1.50, "x"]}'),
        (b"\x01\x06$.b[0]\x02\x04\x00", '{"a": 1, "b": [null, 1.50, "x"]}'),
        (b"\x02\x06$.b[1]", '{"a": 1, "b": [1.50]}'),
        (b'\x01\x07$."c d"\x02\x04\x01', '{"a": 1, "b": [1.50, "x"], "c d": true}'),
        (b"\x01\x04$.aa\x02\x04\x01", '{"a": 1, "b": [1.50, "x"], "aa": true}'),
        (b"\x02\x03$.a\x00\x06$.b[0]\x03\x05\x02\x00", '{"b": [2, "x"]}'),
    ],
)
def test_json_told_by_its_changes_is_what_select_shows(change: bytes, after: str) -> None:
    assert apply_changes('{"a": 1, "b": [1.50, "x"]}', change) == after
    assert apply_changes(UNTOLD, change) is UNTOLD


def test_an_update_told_by_its_changes_is_the_row_that_it_leads_to() -> None:
    found = table((3, b"", "id"), (245, b"\x04", "doc"), (3, b"", "total"))
    one, seven = b"\x05\x01\x00", b"\x05\x07\x00"

    def image(document: bytes, total: int) -> bytes:
        return b"\x00" + pack("<i", 1) + pack("<I", len(document)) + document + pack("<i", total)

    head = bytes(8) + b"\x02\x00" + b"\x03" + b"\x07" + b"\x07"
    change = b"\x00\x01$\x03" + seven
    for after, value in (
        (b"\x01\x01" + image(change, 6), "7"),
        (b"\x01\x00" + image(seven, 6), "7"),
        (b"\x00" + image(seven, 6), "7"),
        (b"\x01\x00" + b"\x02" + pack("<i", 1) + pack("<i", 6), None),
    ):
        for wanted in ({"id", "doc", "total"}, {"id", "total"}):
            rows = list(RowDecoder(found, wanted).decode_rows(39, head + image(one, 5) + after + image(one, 5) + after))
            expected = {"id": 1, "doc": value, "total": 6}
            assert [row.after for row in rows if isinstance(row, RowImage)] == [
                {name: expected[name] for name in expected if name in wanted}
            ] * 2


def test_answers_of_select_that_mean_nothing_are_faults_of_their_field() -> None:
    selection = Selection([Declared("id", "int"), Declared("at", "datetime"), Declared("gone", "date")])
    row = selection.make_row((b"5", b"2026-02-31 10:00:00", b"0000-00-00"))
    assert (row["id"], type(row["at"]), row["gone"]) == (5, Unusable, None)


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (99, body(1, b"\x00\x01\x00\x00\x00"), "events of type 99 hold no rows"),
        (30, body(2), "rows of 2 columns after a table map of 1"),
        (30, bytes(8) + b"\x02\x00\xff", "ends within a number"),
        (30, bytes(8) + b"\x02\x00\xfc\x01", "ends within a number"),
        (30, bytes(8) + b"\x02", "ends 1 bytes too early"),
    ],
)
def test_an_event_that_does_not_fit_its_table_is_told_and_no_row_of_it(kind: int, text: bytes, words: str) -> None:
    assert list(RowDecoder(table((3, b"", "id")), {"id"}).decode_rows(kind, text)) == [RowFault({}, words)]


def test_a_wanted_column_that_cannot_be_read_is_named_before_any_row_and_others_are_stepped_over() -> None:
    found = table((3, b"", "id"), (15, b"\x14\x00", "note"))
    with pytest.raises(UndecodableError, match=r"shop\.sales, column note: a text whose character set is not known"):
        RowDecoder(found, {"id", "note"})
    (image,) = RowDecoder(found, {"id"}).decode_rows(30, body(2, b"\x00" + pack("<i", 7) + b"\x02no"))
    assert image == RowImage(None, {"id": 7})


def test_nulls_and_updates_and_deletes_are_read_by_their_kind() -> None:
    found = table((3, b"", "id"), (3, b"", "total"))
    one, gone = b"\x00" + pack("<ii", 1, 5), b"\x02" + pack("<i", 1)
    decoder = RowDecoder(found, {"id", "total"})
    update = bytes(8) + b"\x02\x00\x02\x03\x03" + one + gone
    assert list(decoder.decode_rows(31, update)) == [RowImage({"id": 1, "total": 5}, {"id": 1, "total": None})]
    assert list(decoder.decode_rows(32, body(2, gone))) == [RowImage({"id": 1, "total": None}, None)]
    assert list(RowDecoder(found, {"id"}).decode_rows(30, body(2, gone))) == [RowImage(None, {"id": 1})]
    old = bytes(8) + b"\x02\x03" + one
    assert list(decoder.decode_rows(23, old)) == [RowImage(None, {"id": 1, "total": 5})]


@pytest.mark.parametrize("change", [b"\x07\x03$.a\x02\x04\x00", b"\x00\x02$!\x02\x04\x00", b"\x02\x06$.b[9]"])
def test_a_change_of_json_that_means_nothing_damages_its_column_alone(change: bytes) -> None:
    assert type(apply_changes('{"a": 1, "b": [1.50, "x"]}', change)) is Unusable
