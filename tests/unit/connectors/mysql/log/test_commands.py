"""What a reader of the log says to the server: the same bytes as a replica of each kind."""

import struct

import pytest

from connectors.mysql.log.commands import (
    DUMP,
    DUMP_GTID,
    FromFile,
    FromGtids,
    FromMariadbGtids,
    build_session_statements,
    dump,
    register,
)
from connectors.mysql.log.gtid_set import GtidSet

KNOWN = GtidSet.parse("00112233-4455-6677-8899-aabbccddeeff:1-5")


def statements(start: FromFile | FromGtids | FromMariadbGtids, *, mariadb: bool) -> dict[str, tuple[object, ...]]:
    return dict(build_session_statements(start, mariadb=mariadb, heartbeat_s=1.5, uuid="u-1"))


def test_mysql_is_told_of_checksums_heartbeats_and_the_reader_s_name() -> None:
    said = statements(FromGtids(KNOWN), mariadb=False)
    assert said["SET @source_binlog_checksum = @@GLOBAL.binlog_checksum"] == ()
    assert said["SET @source_heartbeat_period = %s"] == (1_500_000_000,)
    assert said["SET @slave_uuid = %s, @replica_uuid = %s"] == ("u-1", "u-1")
    assert not any("mariadb" in text or "gtid" in text for text in said)


def test_mariadb_is_told_what_the_reader_understands_and_what_it_knows() -> None:
    by_file = statements(FromFile("binlog.1", 4), mariadb=True)
    assert by_file["SET @mariadb_slave_capability = 4"] == ()
    assert not any("connect_state" in text or "uuid" in text for text in by_file)
    by_gtid = statements(FromMariadbGtids("0-1-7"), mariadb=True)
    assert by_gtid["SET @slave_connect_state = %s"] == ("0-1-7",)
    assert by_gtid["SET @slave_gtid_strict_mode = 1"] == by_gtid["SET @slave_gtid_ignore_duplicates = 0"] == ()


def test_a_reader_registers_under_its_number_alone() -> None:
    assert register(77) == struct.pack("<I", 77) + bytes(13)


@pytest.mark.parametrize(("blocking", "flags"), [(True, 0), (False, 1)])
def test_the_log_is_asked_for_from_a_file_or_behind_what_is_known(blocking: bool, flags: int) -> None:
    assert dump(FromFile("binlog.7", 1_234), 77, blocking=blocking) == (
        DUMP,
        struct.pack("<IHI", 1_234, flags, 77) + b"binlog.7",
    )
    assert dump(FromMariadbGtids("0-1-7"), 77, blocking=blocking) == (DUMP, struct.pack("<IHI", 4, flags, 77))
    known = KNOWN.encode()
    assert dump(FromGtids(KNOWN), 77, blocking=blocking) == (
        DUMP_GTID,
        struct.pack("<HIIQI", flags | 4, 77, 0, 4, len(known)) + known,
    )
