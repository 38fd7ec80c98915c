"""Names of transactions on both servers, and what was seen of them."""

import struct
from uuid import UUID

import pytest

from connectors.mysql.log.cursor import MalformedEventError
from connectors.mysql.log.event_types import Code
from connectors.mysql.log.framing import Event
from connectors.mysql.log.gtid_set import GtidSet
from connectors.mysql.log.identifiers import (
    Begin,
    Gtid,
    MariadbGtid,
    MariadbHistory,
    MysqlHistory,
    Xid,
    parse_mariadb,
    read_begin,
    read_prepare,
)

ONE, TWO = "00112233-4455-6677-8899-aabbccddeeff", "11112233-4455-6677-8899-aabbccddeeff"


def event(code: Code, body: bytes, server_id: int = 3) -> Event:
    return Event(code=code, timestamp=0, server_id=server_id, end=0, flags=0, body=body)


def varint(number: int) -> bytes:
    """As MySQL's serialization library writes it where it fits into one or two bytes."""
    return bytes([number << 1]) if number < 128 else (number << 2 | 1).to_bytes(2, "little")


def tagged(uuid: str, tag: str, number: int) -> bytes:
    octets = b"".join(map(varint, UUID(uuid).bytes))
    fields = varint(0) + varint(1) + varint(1) + octets + varint(2) + varint(2 * number)
    return varint(1) + varint(90) + varint(3) + fields + varint(3) + varint(len(tag)) + tag.encode()


def test_each_server_s_beginning_is_read() -> None:
    plain = b"\x01" + UUID(ONE).bytes + (77).to_bytes(8, "little") + b"more"
    assert read_begin(event(Code.GTID, plain)) == Begin(Gtid(ONE, "", 77))
    assert read_begin(event(Code.GTID_TAGGED, tagged(ONE, "blue", 77))) == Begin(Gtid(ONE, "blue", 77))
    assert read_begin(event(Code.ANONYMOUS_GTID, b"")) == Begin(None)
    for flags, opened in ((0, True), (1, False), (2, True), (3, False)):
        body = struct.pack("<QIB", 9, 4, flags)
        assert read_begin(event(Code.MARIADB_GTID, body, server_id=5)) == Begin(MariadbGtid(4, 5, 9), opened=opened)


@pytest.mark.parametrize(
    ("code", "body"),
    [
        (Code.GTID, b"\x01" + bytes(20)),
        (Code.MARIADB_GTID, bytes(12)),
        (Code.GTID_TAGGED, tagged(ONE, "blue", 0)),
        (Code.GTID_TAGGED, b"\x00\x00\x06" + varint(9) * 4),
        (Code.GTID_TAGGED, b"\x02\x02\x02\x00\x02\x00\x02\x00\x02\x00\x02"),
    ],
)
def test_a_beginning_that_names_nothing_is_malformed(code: Code, body: bytes) -> None:
    with pytest.raises(MalformedEventError, match="GTID"):
        read_begin(event(code, body))


def test_a_tagged_beginning_has_a_uuid_and_a_number() -> None:
    octets = b"".join(map(varint, UUID(ONE).bytes))
    head, uuid, number, tag = varint(1) + varint(90) + varint(3) + varint(0) + varint(1), varint(1) + octets, varint(2) + varint(2), varint(3) + varint(1) + b"b"  # fmt: skip
    assert read_begin(event(Code.GTID_TAGGED, head + uuid + number + tag)).gtid == Gtid(ONE, "b", 1)
    assert read_begin(event(Code.GTID_TAGGED, head + uuid + number + varint(7))).gtid == Gtid(ONE, "", 1)
    for missing in (uuid + tag + varint(7), number + tag + varint(7)):
        with pytest.raises(MalformedEventError, match="GTID"):
            read_begin(event(Code.GTID_TAGGED, head + missing))


def test_a_prepared_transaction_has_the_name_that_its_application_gave() -> None:
    body = struct.pack("<BIII", 0, 1, 3, 2) + b"abcde"
    assert read_prepare(event(Code.XA_PREPARE, body)) == (Xid(1, b"abc", b"de"), False)
    assert read_prepare(event(Code.XA_PREPARE, b"\x01" + body[1:])) == (Xid(1, b"abc", b"de"), True)
    with pytest.raises(MalformedEventError, match="XA_PREPARE"):
        read_prepare(event(Code.XA_PREPARE, body[:-1]))


def test_names_are_in_the_server_s_notation() -> None:
    assert Gtid(ONE, "", 7).to_text() == f"{ONE}:7"
    assert Gtid(ONE, "blue", 7).to_text() == f"{ONE}:blue:7"
    assert MariadbGtid(0, 1, 7).to_text() == "0-1-7"


def test_what_was_seen_of_mysql_grows_by_its_own_transactions_alone() -> None:
    seen = MysqlHistory(f"{ONE}:1-5")
    seen.add(Gtid(ONE, "", 6))
    seen.add(Gtid(ONE, "blue", 1))
    seen.add(MariadbGtid(0, 1, 7))
    assert seen.to_text() == f"{ONE}:1-6:blue:1"
    with pytest.raises(ValueError, match="badly formed"):
        MysqlHistory("0-1-7")


def test_of_mariadb_the_newest_of_each_domain_is_kept() -> None:
    seen = MariadbHistory("1-1-5, 0-1-9,")
    seen.add(MariadbGtid(0, 2, 10))
    seen.add(Gtid(ONE, "", 6))
    seen.add(MariadbGtid(7, 1, 1))
    assert seen.to_text() == "0-2-10,1-1-5,7-1-1"
    assert parse_mariadb("") == []
    assert parse_mariadb("0-1-9,,1-1-5") == [MariadbGtid(0, 1, 9), MariadbGtid(1, 1, 5)]
    for text in ("0-1", "0-1-x", "0-1-2-3", "0--2"):
        with pytest.raises(ValueError, match="domain-server-number"):
            parse_mariadb(text)


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        (f"{ONE}:1-3:5", ((1, 3), (5, 5))),
        (f"{ONE}:5:1-3", ((1, 3), (5, 5))),
        (f"{ONE}:1-3:4-6", ((1, 6),)),
        (f"{ONE}:1-5:2-3", ((1, 5),)),
    ],
)
def test_runs_are_in_order_and_those_that_touch_are_one(text: str, runs: tuple[tuple[int, int], ...]) -> None:
    assert GtidSet.parse(text).parts == {(ONE, ""): runs}


@pytest.mark.parametrize("text", [ONE, f"{ONE}:0", f"{ONE}:x-2", "x:1", f"{ONE}:1:-"])
def test_what_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - some of it is told in Python's words
        GtidSet.parse(text)


def test_sets_tell_what_they_hold() -> None:
    known = GtidSet.parse(f"{ONE}:1-3:7-9,{TWO}:4")
    assert [known.has((ONE, ""), number) for number in (0, 1, 3, 4, 6, 7, 9, 10)] == [
        False, True, True, False, False, True, True, False,
    ]  # fmt: skip
    assert not known.has((TWO, "blue"), 4)
    assert str(known.subtract(GtidSet.parse(f"{ONE}:2:8-20"))) == f"{ONE}:1:3:7,{TWO}:4"
    assert str(known.combine(GtidSet.parse(f"{ONE}:4-6"))) == f"{ONE}:1-9,{TWO}:4"
    assert str(known.add((ONE, ""), 10)) == f"{ONE}:1-3:7-10,{TWO}:4"
    assert str(known.add((ONE, ""), 5)) == f"{ONE}:1-3:5:7-9,{TWO}:4"
    assert known.has_all_of(GtidSet.parse(f"{ONE}:2-3"))
    assert not known.has_all_of(GtidSet.parse(f"{ONE}:3-4"))
    assert bool(GtidSet.parse("")) is False
    assert (known == GtidSet.parse(str(known)), hash(known) == hash(GtidSet.parse(str(known)))) == (True, True)
    assert known != str(known)


def test_an_empty_run_is_nothing_and_no_set_can_be_made_with_one() -> None:
    assert GtidSet.parse(f"{ONE}:5-4:7").parts == {(ONE, ""): ((7, 7),)}
    assert repr(GtidSet.parse(f"{ONE}:7")) == f"GtidSet('{ONE}:7')"
    with pytest.raises(ValueError, match="is empty"):
        GtidSet.parse("").add((ONE, ""), 0)
