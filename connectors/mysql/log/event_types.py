"""Every type of event that MySQL 8.0 to 9.7 and MariaDB 10.6 to 11.8 can write, and what becomes of it. Pure.

The table is closed: a type that is not in it is loud, unless the server flags the event as one that readers may ignore.
"""

from enum import Enum, IntEnum
from typing import NamedTuple

IGNORABLE_FLAG = 0x80
"""LOG_EVENT_IGNORABLE_F: the server promises that a reader which does not know the event loses no data by leaving it out."""
ARTIFICIAL_FLAG = 0x20
"""LOG_EVENT_ARTIFICIAL_F: made for this connection; it stands in no file, so it has no place in one."""


class Treatment(Enum):
    """What the reader does with a type of event."""

    READ = "read"
    HARMLESS = "harmless"
    LOUD = "loud"


class Code(IntEnum):
    """Numbers of the types that are read."""

    QUERY = 2
    ROTATE = 4
    FORMAT_DESCRIPTION = 15
    XID = 16
    EXECUTE_LOAD_QUERY = 18
    TABLE_MAP = 19
    WRITE_ROWS_V1 = 23
    UPDATE_ROWS_V1 = 24
    DELETE_ROWS_V1 = 25
    HEARTBEAT = 27
    WRITE_ROWS = 30
    UPDATE_ROWS = 31
    DELETE_ROWS = 32
    GTID = 33
    ANONYMOUS_GTID = 34
    PREVIOUS_GTIDS = 35
    XA_PREPARE = 38
    PARTIAL_UPDATE_ROWS = 39
    TRANSACTION_PAYLOAD = 40
    HEARTBEAT_V2 = 41
    GTID_TAGGED = 42
    MARIADB_GTID = 162
    QUERY_COMPRESSED = 165
    WRITE_ROWS_COMPRESSED_V1 = 166
    UPDATE_ROWS_COMPRESSED_V1 = 167
    DELETE_ROWS_COMPRESSED_V1 = 168
    WRITE_ROWS_COMPRESSED = 169
    UPDATE_ROWS_COMPRESSED = 170
    DELETE_ROWS_COMPRESSED = 171


class EventType(NamedTuple):
    """One line of the table."""

    name: str
    treatment: Treatment
    why: str


_READ, _HARMLESS, _LOUD = Treatment.READ, Treatment.HARMLESS, Treatment.LOUD
_TEXT_ARGUMENT = "an argument of the statement that follows; that statement is judged"
_OLD = "no supported server writes it; its rows would be in a form that is not read"
_NOT_WRITTEN = "it lives in relay logs and between members of a group, never in a binary log that a replica is sent"

EVENT_TYPES: dict[int, EventType] = {
    0: EventType("UNKNOWN", _LOUD, "the server itself does not know what it was"),
    1: EventType("START_V3", _LOUD, _OLD),
    2: EventType("QUERY", _READ, "a statement"),
    3: EventType("STOP", _HARMLESS, "the server stopped in good order"),
    4: EventType("ROTATE", _READ, "the next file"),
    5: EventType("INTVAR", _HARMLESS, _TEXT_ARGUMENT),
    6: EventType("LOAD", _LOUD, _OLD),
    7: EventType("SLAVE", _LOUD, _OLD),
    8: EventType("CREATE_FILE", _LOUD, _OLD),
    9: EventType("APPEND_BLOCK", _HARMLESS, "part of a file for EXECUTE_LOAD_QUERY, which is judged"),
    10: EventType("EXEC_LOAD", _LOUD, _OLD),
    11: EventType("DELETE_FILE", _HARMLESS, "a file of LOAD DATA that failed is thrown away"),
    12: EventType("NEW_LOAD", _LOUD, _OLD),
    13: EventType("RAND", _HARMLESS, _TEXT_ARGUMENT),
    14: EventType("USER_VAR", _HARMLESS, _TEXT_ARGUMENT),
    15: EventType("FORMAT_DESCRIPTION", _READ, "how this file is framed"),
    16: EventType("XID", _READ, "a transaction was committed"),
    17: EventType("BEGIN_LOAD_QUERY", _HARMLESS, "part of a file for EXECUTE_LOAD_QUERY, which is judged"),
    18: EventType("EXECUTE_LOAD_QUERY", _READ, "LOAD DATA as a statement"),
    19: EventType("TABLE_MAP", _READ, "the columns of the rows that follow"),
    20: EventType("PRE_GA_WRITE_ROWS", _LOUD, _OLD),
    21: EventType("PRE_GA_UPDATE_ROWS", _LOUD, _OLD),
    22: EventType("PRE_GA_DELETE_ROWS", _LOUD, _OLD),
    23: EventType("WRITE_ROWS_V1", _READ, "rows (MariaDB)"),
    24: EventType("UPDATE_ROWS_V1", _READ, "rows (MariaDB)"),
    25: EventType("DELETE_ROWS_V1", _READ, "rows (MariaDB)"),
    26: EventType("INCIDENT", _LOUD, "the server says that changes may be missing from its log"),
    27: EventType("HEARTBEAT", _READ, "a quiet server says how far it is"),
    28: EventType("IGNORABLE", _HARMLESS, "the server promises that it may be ignored"),
    29: EventType("ROWS_QUERY", _HARMLESS, "the statement's text, next to its rows"),
    30: EventType("WRITE_ROWS", _READ, "rows"),
    31: EventType("UPDATE_ROWS", _READ, "rows"),
    32: EventType("DELETE_ROWS", _READ, "rows"),
    33: EventType("GTID", _READ, "a transaction begins"),
    34: EventType("ANONYMOUS_GTID", _READ, "a transaction without an identifier begins"),
    35: EventType("PREVIOUS_GTIDS", _HARMLESS, "transactions of earlier files"),
    36: EventType("TRANSACTION_CONTEXT", _HARMLESS, _NOT_WRITTEN),
    37: EventType("VIEW_CHANGE", _HARMLESS, "members of a replication group; no rows"),
    38: EventType("XA_PREPARE", _READ, "a transaction waits for its verdict"),
    39: EventType("PARTIAL_UPDATE_ROWS", _READ, "rows whose JSON columns come as differences"),
    40: EventType("TRANSACTION_PAYLOAD", _READ, "a whole transaction, compressed"),
    41: EventType("HEARTBEAT_V2", _READ, "a quiet server says how far it is"),
    42: EventType("GTID_TAGGED", _READ, "a transaction with a tagged identifier begins"),
    160: EventType("ANNOTATE_ROWS", _HARMLESS, "the statement's text, next to its rows (MariaDB)"),
    161: EventType("BINLOG_CHECKPOINT", _HARMLESS, "for crash recovery (MariaDB)"),
    162: EventType("MARIADB_GTID", _READ, "a transaction begins (MariaDB)"),
    163: EventType("GTID_LIST", _HARMLESS, "transactions of earlier files (MariaDB)"),
    164: EventType("START_ENCRYPTION", _HARMLESS, "how the file is encrypted on disk; a replica is sent plain events"),
    165: EventType("QUERY_COMPRESSED", _READ, "a statement, compressed (MariaDB)"),
    166: EventType("WRITE_ROWS_COMPRESSED_V1", _READ, "rows, compressed (MariaDB)"),
    167: EventType("UPDATE_ROWS_COMPRESSED_V1", _READ, "rows, compressed (MariaDB)"),
    168: EventType("DELETE_ROWS_COMPRESSED_V1", _READ, "rows, compressed (MariaDB)"),
    169: EventType("WRITE_ROWS_COMPRESSED", _READ, "rows, compressed (MariaDB)"),
    170: EventType("UPDATE_ROWS_COMPRESSED", _READ, "rows, compressed (MariaDB)"),
    171: EventType("DELETE_ROWS_COMPRESSED", _READ, "rows, compressed (MariaDB)"),
}


def choose_treatment(code: int, flags: int) -> Treatment:
    """What becomes of an event of type `code` whose header carries `flags`."""
    known = EVENT_TYPES.get(code)
    if known is not None:
        return known.treatment
    return Treatment.HARMLESS if flags & IGNORABLE_FLAG else Treatment.LOUD


def get_event_name(code: int) -> str:
    """The type's name for messages."""
    known = EVENT_TYPES.get(code)
    return f"{known.name} ({code})" if known else f"unknown type {code}"
