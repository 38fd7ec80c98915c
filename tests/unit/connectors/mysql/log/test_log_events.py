"""Events of the binary log: the closed table of types, frames, identifiers, compression; and no bytes raise a stranger's error."""

import zlib
from struct import pack

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from connectors.mysql.log.compression import TooLargeError, read_payload, unpack_event
from connectors.mysql.log.cursor import MalformedEventError
from connectors.mysql.log.event_types import EVENT_TYPES, IGNORABLE_FLAG, Treatment, choose_treatment
from connectors.mysql.log.follower import Ended, Follower, Loud
from connectors.mysql.log.framing import ChecksumError, Frames, read_heartbeat, read_rotate
from connectors.mysql.log.identifiers import Gtid, MariadbGtid, Xid, read_begin, read_prepare
from connectors.mysql.log.queries import read_query
from connectors.mysql.log.spool import Spool
from connectors.mysql.names import TableNames
from support.log_events import GTID, PACKED_WRITE, TABLE_MAP, TAGGED, UUID, WRITE, event, packet, payload, query

NAMES = TableNames("cap", ["Sales"], ignore_case=True)


def follower() -> Follower:
    return Follower(NAMES, Spool)


def test_every_number_that_a_server_can_write_is_in_the_table_and_every_other_is_loud() -> None:
    assert set(EVENT_TYPES) == {*range(43), *range(160, 172)}
    assert all(kind.why for kind in EVENT_TYPES.values())
    for code in set(range(256)) - set(EVENT_TYPES):
        assert choose_treatment(code, 0) is Treatment.LOUD
        assert choose_treatment(code, IGNORABLE_FLAG) is Treatment.HARMLESS


def test_a_type_that_is_loud_is_told_by_name_and_an_unknown_one_by_its_number() -> None:
    for code in (0, 20, 26, 99):
        (told,) = follower().follow(event(code, b"anything"), "f:4")
        assert isinstance(told, Loud)
        assert str(code) in told.why


@given(st.integers(0, 255), st.binary(max_size=300), st.integers(0, 0xFFFF))
def test_no_bytes_of_an_event_raise_anything(code: int, body: bytes, flags: int) -> None:
    followed = follower()
    for given_event in (event(33, GTID), event(code, body, flags=flags), event(code, body, flags=flags)):
        for outcome in followed.follow(given_event, "f:4"):
            held = getattr(outcome, "held", None)
            if held is not None:
                held.store.close()
    followed.transactions.close()


@given(
    st.sampled_from([GTID, TAGGED, TABLE_MAP, WRITE, PACKED_WRITE]),
    st.integers(0, 80),
    st.binary(max_size=8),
    st.integers(0, 255),
)
def test_no_damage_to_real_events_raises_anything(body: bytes, at: int, put: bytes, code: int) -> None:
    followed = follower()
    list(followed.follow(event(code, body[:at] + put + body[at + len(put) :]), "f:4"))
    followed.transactions.close()


@given(st.binary(max_size=200))
def test_no_packet_raises_a_strangers_error(data: bytes) -> None:
    for checksums in (True, False):
        frames = Frames(checksums=checksums)
        for each in (data, packet(2, data), packet(15, data)):
            try:
                read = frames.read(each)
                read_rotate(read)
                read_heartbeat(read)
            except (MalformedEventError, ChecksumError):
                continue


def test_a_flipped_bit_is_found_by_the_checksum() -> None:
    frames = Frames(checksums=True)
    good = packet(16, bytes(8))
    assert frames.read(good).body == bytes(8)
    with pytest.raises(ChecksumError):
        frames.read(good[:20] + b"\x01" + good[21:])


def test_identifiers_of_both_servers_are_read() -> None:
    assert read_begin(event(33, GTID)).gtid == Gtid(UUID, "", 3)
    assert read_begin(event(42, TAGGED)).gtid == Gtid(UUID, "till", 1)
    assert read_begin(event(34, GTID)).gtid is None
    opened = read_begin(event(162, b"\x0a" + bytes(7) + b"\x02\0\0\0" + b"\x0c" + bytes(6)))
    assert (opened.gtid, opened.opened) == (MariadbGtid(2, 1, 10), True)
    assert read_prepare(event(38, b"\x00\x07\0\0\0\x03\0\0\0\x01\0\0\0twob")) == (Xid(7, b"two", b"b"), False)


def test_heartbeats_of_both_kinds_tell_file_and_offset() -> None:
    assert read_heartbeat(event(27, b"binlog.000002", end=77)) == ("binlog.000002", 77)
    field = b"\x02\x09\xfe" + (2**33).to_bytes(8, "little")
    assert read_heartbeat(event(41, b"\x01\x0dbinlog.000002" + field + b"\x00")) == ("binlog.000002", 2**33)


def test_mariadbs_compressed_rows_and_statements_are_the_plain_ones() -> None:
    plain = unpack_event(event(166, PACKED_WRITE))
    assert plain.code == 23
    assert plain.body.endswith(b"\x03EUR")
    text = b"CREATE TABLE t (a INT)"
    head = pack("<IIBHH", 8, 0, 1, 0, 0) + b"d\0"
    packed = unpack_event(event(165, head + bytes([0x81, len(text)]) + zlib.compress(text)))
    assert read_query(packed).text == text.decode()


def test_a_payload_gives_the_events_inside_it_and_never_more_than_it_declares() -> None:
    inside = b"".join(
        packet(code, body, checksum=False) for code, body in ((19, TABLE_MAP), (30, WRITE), (16, bytes(8)))
    )
    assert [(each.code, each.end) for each in read_payload(payload(inside))] == [(19, 0), (30, 0), (16, 0)]
    several = zstandard.ZstdCompressor().compress(inside[:50]) + zstandard.ZstdCompressor().compress(inside[50:])
    assert len(list(read_payload(payload(inside, packed=several)))) == 3
    for body in (
        payload(inside, size=len(inside) - 1),
        payload(inside, size=len(inside) + 40),
        payload(b"x" * 40),
        payload(inside, packed=b"junk"),
    ):
        with pytest.raises(MalformedEventError):
            list(read_payload(body))
    with pytest.raises(TooLargeError):
        list(read_payload(payload(bytes(1 << 20)), bytes_max=1000))
    # the last event says that it continues behind the declared end, where there is more
    longer = inside[:-18] + (400).to_bytes(4, "little") + inside[-14:] + bytes(400)
    events = read_payload(payload(longer, size=len(inside)))
    assert [next(events).code for _ in range(2)] == [19, 30]
    with pytest.raises(MalformedEventError, match="impossible length"):
        next(events)


def test_capitals_become_small_letters_one_by_one_as_on_the_server() -> None:
    names = TableNames("b", ["SATIŞİ", "ΣΑΣ"], ignore_case=True)
    assert names.find("B", "satişi") == "SATIŞİ"
    assert names.find("b", "\u03c3\u03b1\u03c3") == "ΣΑΣ"


def test_one_table_under_two_names_is_a_fault_where_the_server_ignores_case() -> None:
    (fault,) = TableNames("shop", ["orders", "Orders", "refunds"], ignore_case=True).faults
    assert "orders and Orders are one table" in fault
    names = TableNames("shop", ["orders", "Orders"], ignore_case=False)
    assert (names.faults, names.find("shop", "Orders"), names.find("shop", "ORDERS")) == ([], "Orders", None)
    assert not names.are_same("orders", "Orders")
    assert TableNames("shop", ["orders"], ignore_case=True).are_same("orders", "ORDERS")


def test_names_of_tables_are_compared_as_the_server_does() -> None:
    begun = [event(33, GTID), query("BEGIN"), event(19, TABLE_MAP), event(30, WRITE), event(16, bytes(8))]
    for ignore_case, rows in ((True, 1), (False, 0)):
        followed = Follower(TableNames("CAP", ["Sales"], ignore_case=ignore_case), Spool)
        ended = [out for each in begun for out in followed.follow(each, "f:4") if isinstance(out, Ended)]
        held = [out.held for out in ended if out.held is not None]
        assert len(held) == rows
        for each in held:
            each.store.close()


def test_the_description_of_a_file_that_is_being_written_fits_its_checksum_without_its_mark() -> None:
    closed = packet(15, pack("<H50sIB", 4, b"9.7.0", 0, 19) + bytes(41) + b"\x01")
    marked = closed[:17] + bytes([closed[17] | 1]) + closed[18:]
    assert Frames(checksums=True).read(marked).flags == 1
    plain = packet(2, b"a statement")
    for damaged in (marked[:18] + b"\x02" + marked[19:], plain[:17] + b"\x01" + plain[18:]):
        with pytest.raises(ChecksumError):
            Frames(checksums=True).read(damaged)


def test_a_heartbeat_with_no_more_to_say_need_not_say_that_it_ends() -> None:
    assert read_heartbeat(event(41, b"\x01\x01f")) == ("f", None)


def test_a_payload_may_be_plain_and_by_no_algorithm_that_is_not_known() -> None:
    inside = packet(16, bytes(8), checksum=False)
    head = b"\x02\x03\xfc\xff\x00\x01\x01" + bytes([len(inside)])
    assert [each.code for each in read_payload(head + b"\x00" + inside)] == [16]
    with pytest.raises(MalformedEventError, match=r"unknown algorithm \(7\)"):
        list(read_payload(b"\x02\x01\x07" + b"\x00" + inside))


ROWS = zlib.compress(b"rows")


@pytest.mark.parametrize(
    ("packed", "error"),
    [
        (b"\x81\x04" + ROWS, None),
        (b"\x82\x00\x04" + ROWS, None),
        (b"\x91\x04" + ROWS, MalformedEventError),
        (b"\x81\x03" + ROWS, MalformedEventError),
        (b"\x81\x05" + ROWS, MalformedEventError),
        (b"\x81\x04junk", MalformedEventError),
        (b"\x81\x65" + ROWS, TooLargeError),
        (b"\x81\x64" + ROWS, MalformedEventError),
    ],
)
def test_compressed_rows_are_as_long_as_they_say_and_never_longer_than_the_bound(
    packed: bytes, error: type[MalformedEventError] | None
) -> None:
    heads = {
        166: bytes(8) + b"\x04\x0f",
        167: bytes(8) + b"\x04\x0f\x0f",
        168: bytes(8) + b"\x09\xff\x01",
        169: bytes(8) + b"\x05\x00abc\x04\x0f",
        170: bytes(8) + b"\x02\x00\x04\x0f\x0f",
    }
    for code, head in heads.items():
        if error is None:
            assert unpack_event(event(code, head + packed)).body == head + b"rows"
        else:
            with pytest.raises(error) as told:
                unpack_event(event(code, head + packed), bytes_max=100)
            assert type(told.value) is error
