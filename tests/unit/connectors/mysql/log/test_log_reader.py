"""From the bytes of a log to rows and positions: what leaves, when it leaves, and from where reading may continue."""

import zlib
from collections.abc import Callable, Iterator, Mapping

import msgspec
import pytest

from connectors.mysql.delivery import Delivery
from connectors.mysql.log.identifiers import Xid
from connectors.mysql.log.reader import LogReader, Policy
from connectors.mysql.log.spool import Spool
from connectors.mysql.log.transactions import Held
from connectors.mysql.names import TableNames
from connectors.mysql.position import BinlogPosition
from connectors.ports import Checkpoint, Item, Row, Rowless, Unreadable
from connectors.values import Unusable
from contract.errors import ConfigurationError, TransientError
from support.log_events import PACKED_WRITE, TABLE_MAP, Log, packet, payload, row, statement

NAMES = TableNames("cap", ["sales"], ignore_case=False)
ONE = "X'6f6e65',X'',1"
PREPARE = b"\x00" + (1).to_bytes(4, "little") + (3).to_bytes(4, "little") + bytes(4) + b"one"


class NoTables:
    """A server that is not asked: the log tells everything."""

    def read_definition(self, table: str) -> list[object]:
        raise AssertionError(table)

    def fetch_current(self, table: str, values: Mapping[str, object]) -> None:
        raise AssertionError((table, values))

    def find_row_end(self, table: str) -> str:
        """MariaDB is asked whether a table keeps rows of the past: none does."""
        assert table == "sales"
        return ""


def lost(xid: Xid, before: BinlogPosition) -> Held | None:
    raise LookupError


def read(
    log: Log,
    *,
    policy: Policy = "stop",
    find: Callable[[Xid, BinlogPosition], Held | None] = lost,
    mariadb: bool = False,
    mapped: tuple[str, ...] = ("id", "currency"),
) -> Iterator[Item]:
    """Everything that the log gives, until its stream ends."""
    delivery = Delivery(NAMES, lambda _: set(mapped), lambda _: "id", NoTables(), mariadb=mariadb)  # type: ignore[arg-type]
    reader = LogReader(
        BinlogPosition(file="binlog.000001", offset=4), end=BinlogPosition(file="binlog.000001", offset=log.end),
        names=NAMES, rows=delivery, history=None, policy=policy, find_prepared=find,
    )  # fmt: skip
    try:
        yield from reader.read_items(log)
    except TransientError as error:
        if "ended the binary log stream" not in str(error):
            raise
    finally:
        reader.close()


def ids(items: list[Item]) -> list[object]:
    return [item.values["id"] for item in items if isinstance(item, Row)]


def offsets(items: list[Item]) -> list[int]:
    return [msgspec.json.decode(item.position.text)["offset"] for item in items if isinstance(item, Checkpoint)]


def test_rows_leave_after_their_commit_and_the_position_behind_them() -> None:
    log = Log()
    begun = log.end
    items = list(read(log.begin().rows(1, 2)))
    assert (ids(items), offsets(items)) == ([], [begun])
    items = list(read(log.commit()))
    assert (ids(items), offsets(items)) == ([1, 2], [begun, log.end])
    assert [item.coordinates for item in items if isinstance(item, Row)] == [
        f"binlog.000001:{begun}+1", f"binlog.000001:{begun}+2",
    ]  # fmt: skip


@pytest.mark.parametrize("end", ["ROLLBACK", "rollback"])
def test_rows_that_were_rolled_back_never_come_and_are_counted(end: str) -> None:
    items = list(read(Log().begin().rows(1).say(end).begin().rows(2).commit()))
    assert ids(items) == [2]
    assert [item.why for item in items if isinstance(item, Rowless)] == ["rolled_back"]


def test_a_part_that_was_rolled_back_to_a_savepoint_never_comes() -> None:
    log = Log().begin().rows(1).say("SAVEPOINT `a`").rows(2).say("ROLLBACK TO `a`").rows(3).commit()
    assert ids(list(read(log))) == [1, 3]
    with pytest.raises(ConfigurationError, match="which part cannot be told"):
        list(read(Log().begin().rows(1).say("ROLLBACK TO `b`").rows(3).commit()))


def prepared(log: Log) -> Log:
    return log.begin(f"XA START {ONE}").rows(1, 2).say(f"XA END {ONE}").add(38, PREPARE)


def test_rows_of_a_distributed_transaction_wait_for_its_verdict_across_others() -> None:
    log = prepared(Log()).begin().rows(3).commit()
    assert ids(list(read(log))) == [3]
    assert ids(list(read(log.begin(f"XA COMMIT {ONE}")))) == [3, 1, 2]


def test_rows_of_a_distributed_transaction_that_was_rolled_back_never_come() -> None:
    items = list(read(prepared(Log()).begin(f"XA ROLLBACK {ONE}").begin().rows(3).commit()))
    assert ids(items) == [3]
    assert [item.why for item in items if isinstance(item, Rowless)] == ["rolled_back"]


def test_a_distributed_transaction_in_one_phase_comes_at_once() -> None:
    log = Log().begin(f"XA START {ONE}").rows(1).say(f"XA END {ONE}").add(38, b"\x01" + PREPARE[1:])
    assert ids(list(read(log))) == [1]


def test_the_verdict_of_a_transaction_prepared_before_brings_its_rows_from_the_log_before() -> None:
    asked: list[Xid] = []

    def find(xid: Xid, before: BinlogPosition) -> Held:
        asked.append(xid)
        store = Spool()
        store.append(19, 1, TABLE_MAP)
        store.append(30, 1, row(7))
        return Held("binlog.000001:4", store)

    log = Log().begin(f"XA COMMIT {ONE}")
    assert ids(list(read(log, find=find))) == [7]
    assert asked == [Xid(1, b"one", b"")]
    with pytest.raises(ConfigurationError, match="before the oldest log file"):
        list(read(log))


def test_compressed_transactions_of_both_servers_are_read() -> None:
    inner = [(2, b"\x08" + bytes(12) + b"\0BEGIN"), (19, TABLE_MAP), (30, row(5)), (16, bytes(8))]
    data = b"".join(packet(code, body, checksum=False) for code, body in inner)
    assert ids(list(read(Log().begin().rows(4).commit().add(33, bytes(1) + bytes(41)).add(40, payload(data))))) == [
        4,
        5,
    ]
    opened = (9).to_bytes(8, "little") + bytes(4) + b"\x0c" + bytes(6)
    log = Log().add(162, opened).add(19, b"\x15" + TABLE_MAP[1:]).add(166, PACKED_WRITE).commit()
    assert [item.values["currency"] for item in read(log, mariadb=True) if isinstance(item, Row)] == ["EUR"]


@pytest.mark.parametrize(
    ("code", "body", "why"),
    [
        (2, statement("INSERT INTO sales VALUES (9)", "cap"), "binlog_format"),
        (26, b"\x01\0\0", "INCIDENT"),
        (18, statement("LOAD DATA INFILE 'x' INTO TABLE sales", "cap", bytes(13)), "LOAD stands in the log as text"),
        (2, statement("XA COMMIT what", "cap"), "name of a distributed"),
        (99, b"new", "unknown type 99"),
        (30, b"k" + row(9)[1:], "without the map"),
        (40, b"\x02\x01\x07\x00", "unknown algorithm"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_stops_the_connector_before_it_or_is_a_dead_letter(
    code: int, body: bytes, why: str
) -> None:
    log = Log().begin().rows(1).commit()
    behind = log.end
    log.add(33, bytes(42)).add(code, body).commit().begin().rows(2).commit()
    found: list[Item] = []
    with pytest.raises(ConfigurationError, match=why) as told:
        found.extend(read(log))
    assert "on_unreadable: dead_letter" in str(told.value)
    assert (ids(found), offsets(found)[-1]) == ([1], behind)
    items = list(read(log, policy="dead_letter"))
    assert ids(items) == [1, 2]
    assert [(item.table, item.reason) for item in items if isinstance(item, Unreadable)] == [("sales", "unseen")]


def test_a_bad_row_does_not_take_its_neighbours_and_hurts_only_whoever_maps_the_column() -> None:
    bad = row(2)[:21] + b"\xff" * 5 + row(2)[26:]  # a moment that no calendar has
    log = Log().begin().rows().add(30, row(1) + bad[12:] + row(3)[12:]).commit()
    assert ids(list(read(log))) == [1, 2, 3]
    rows = [item.values for item in read(log, mapped=("id", "at")) if isinstance(item, Row)]
    assert [row["id"] for row in rows] == [1, 2, 3]
    assert [isinstance(row["at"], Unusable) for row in rows] == [False, True, False]


def test_within_a_transaction_no_heartbeat_gives_a_position() -> None:
    log = Log()
    begun = log.end
    assert set(offsets(list(read(log.quiet().begin().rows(1).quiet())))) == {begun}
    assert offsets(list(read(log.commit().quiet())))[-1] == log.end


def test_what_a_crash_of_the_server_cut_off_is_dropped_by_the_next_file() -> None:
    log = Log().begin().rows(1)
    log._packets += Log("binlog.000002")._packets
    log.end = Log().end
    assert ids(list(read(log.rows(2).commit()))) == [2]


def test_a_changed_byte_ends_the_stream_so_that_it_is_read_again() -> None:
    log = Log().begin().rows(1)
    log._packets[-1] = log._packets[-1][:-9] + b"x" + log._packets[-1][-8:]
    assert zlib.crc32(log._packets[-1][:-4]) != int.from_bytes(log._packets[-1][-4:], "little")
    with pytest.raises(TransientError, match="damaged on its way"):
        list(read(log.commit()))


def test_inside_a_compressed_transaction_the_table_of_types_is_as_closed_as_outside() -> None:
    for code in (99, 40):
        inner = [(19, TABLE_MAP), (30, row(5)), (code, payload(b"")), (16, bytes(8))]
        data = b"".join(packet(each, body, checksum=False) for each, body in inner)
        log = Log().add(33, bytes(42)).add(40, payload(data))
        with pytest.raises(ConfigurationError, match=str(code)):
            list(read(log))
        assert ids(list(read(log, policy="dead_letter"))) == [5]
