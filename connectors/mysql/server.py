"""One MySQL or MariaDB server: connecting, its settings and columns, and what its errors mean."""

import re
import ssl
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pymysql
from pymysql.cursors import Cursor, DictCursor

from connectors.config.connector_file import MysqlServer, Tls
from connectors.mysql.columns.column_types import Declared, find_family
from connectors.mysql.columns.selection import quote_identifier
from connectors.mysql.sign_in import CLEAR_TEXT
from contract.errors import ConfigurationError, PositionDeadError, TransientError

CONNECT_TIMEOUT_S = 10
COUNTED_ROWS_MAX = 100_000
"""A table of fewer rows is counted, which takes some tens of milliseconds."""
_SESSION = "SET time_zone = '+00:00', sql_mode = ''"
"""What a server's defaults must not change: moments in UTC, CHAR without padding, names in backquotes."""
_AS_STORED = f"{_SESSION}, character_set_results = NULL"
GRANTS = "GRANT SELECT ON {database}.* TO {user}; GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO {user}"
"""What the connector's user needs; MariaDB also knows REPLICATION CLIENT as BINLOG MONITOR."""

_REFUSED = frozenset((1044, 1045, 1049, 1054, 1142, 1143, 1146, 1227, 1235, 1698, 2059, 2061))
"""Access denied, unknown database, table or column, missing privilege, unknown sign-in method: only a person can help."""
_POSITION_DEAD = frozenset((1236, 1373, 1789, 1945, 1955))
"""Binlog file or position not there, purged GTIDs (MySQL), GTID not found (MariaDB)."""
_FAULTY_ANSWERS = (
    ValueError,
    LookupError,
    ArithmeticError,
    TypeError,
    AttributeError,
    AssertionError,
    RuntimeError,
    struct.error,
)
"""What the driver and decoders raise when an answer is not what the protocol says; UnicodeDecodeError is a ValueError."""
_SETTINGS = (
    "log_bin", "binlog_format", "binlog_row_image", "binlog_row_metadata",
    "server_uuid", "server_uid", "version", "lower_case_table_names", "gtid_mode", "log_replica_updates",
    "log_slave_updates",
)  # fmt: skip


def build_options(server: MysqlServer, password: str | None, *, read_timeout_s: float) -> dict[str, Any]:
    """Keyword arguments of `pymysql.connect`."""
    return {
        "host": server.host,
        "port": server.port,
        "user": server.user,
        "password": password or "",
        "charset": "utf8mb4",
        "autocommit": True,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "read_timeout": read_timeout_s,
        "write_timeout": read_timeout_s,
        "init_command": _SESSION,
    } | ({"ssl": build_tls_context(server.tls)} if server.tls else {"auth_plugin_map": CLEAR_TEXT})


def build_tls_context(tls: Tls) -> ssl.SSLContext:
    """The TLS settings as a context; raises ConfigurationError when a file cannot be read."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file) if tls.ca_file else None)
        context.check_hostname = tls.check_hostname
        if tls.cert_file:
            context.load_cert_chain(str(tls.cert_file), str(tls.key_file) if tls.key_file else None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError([f"source.tls: {type(error).__name__}: a PEM file cannot be read"]) from None
    return context


@contextmanager
def translate_driver_errors(server: MysqlServer) -> Iterator[None]:
    """Turns the driver's errors into ours; messages of the server name objects, not data."""
    try:
        yield
    except pymysql.MySQLError as error:
        raise translate_error(error, server) from None
    except (OSError, EOFError) as error:
        raise TransientError(f"MySQL {server.host}:{server.port}: {type(error).__name__}") from None
    except _FAULTY_ANSWERS as error:
        raise TransientError(
            f"MySQL {server.host}:{server.port} gave an answer that cannot be read ({type(error).__name__})"
        ) from None


def translate_error(error: pymysql.MySQLError, server: MysqlServer) -> Exception:
    """The error that `error` of the driver means to the runner."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    text = str(error.args[-1]) if error.args else type(error).__name__
    where = f"MySQL {server.host}:{server.port}"
    if code in _REFUSED:
        grants = GRANTS.format(database=server.database, user=server.user or "USER")
        return ConfigurationError([f"{where}: {text} ({code}); the user needs: {grants}"])
    if code in _POSITION_DEAD:
        if "same server_uuid/server_id" in text:
            return TransientError(f"{where}: another replica uses this server_id; set source.server_id")
        if "max_allowed_packet" in text:
            return ConfigurationError([f"{where}: {text}; raise max_allowed_packet on the server"])
        return PositionDeadError(f"{where}: {text} ({code})")
    return TransientError(f"{where}: {text} ({code})")


def connect(server: MysqlServer, password: str | None, *, read_timeout_s: float = 60.0) -> Any:
    """A connection for ordinary statements; raises TransientError or ConfigurationError."""
    with translate_driver_errors(server):
        return pymysql.connect(**build_options(server, password, read_timeout_s=read_timeout_s))


def connect_for_rows(server: MysqlServer, password: str | None, *, read_timeout_s: float = 60.0) -> Any:
    """A connection whose answers are the bytes that tables hold, as connectors.mysql.columns.selection reads them."""
    given = build_options(server, password, read_timeout_s=read_timeout_s) | {
        "init_command": _AS_STORED,
        "use_unicode": False,
        "conv": pymysql.converters.encoders,
    }
    with translate_driver_errors(server):
        return pymysql.connect(**given)


def fetch_rows(connection: Any, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """All rows of a small query."""
    with connection.cursor(Cursor) as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())


def read_settings(connection: Any) -> dict[str, str]:
    """Server variables that matter to a reader of the binary log; a variable the server does not know is absent."""
    marks = ", ".join(["%s"] * len(_SETTINGS))
    found = fetch_rows(connection, f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({marks})", _SETTINGS)
    return {str(name).lower(): str(value) for name, value in found}


def find_setting_faults(found: Mapping[str, str]) -> list[str]:
    """What must change on the server before its binary log can be read, in words. Pure."""
    wanted = {"log_bin": "ON", "binlog_format": "ROW", "binlog_row_image": "FULL", "binlog_row_metadata": "FULL"}
    return [
        f"the server has {name}={found.get(name, '(unknown to this server)')}; set {name}={value}"
        + (" (needs MySQL 8.0.1 or MariaDB 10.5)" if name not in found else "")
        for name, value in wanted.items()
        if found.get(name, "").upper() != value
    ]


def is_mariadb(found: Mapping[str, str]) -> bool:
    """Whether the variables are MariaDB's."""
    return "mariadb" in found.get("version", "").lower()


def identify_server(found: Mapping[str, str]) -> str:
    """What tells this server from another with binlog files of the same names; empty where it has nothing such."""
    return found.get("server_uuid") or found.get("server_uid") or ""


def is_case_insensitive(found: Mapping[str, str]) -> bool:
    """Whether the server takes names of tables that differ only in case for one."""
    return found.get("lower_case_table_names", "0") != "0"


def derive_server_id(name: str) -> int:
    """A replica id made from a connector's name, outside the small numbers that people give by hand."""
    return 2**31 + zlib.crc32(name.encode()) % 2**30


def log_status(connection: Any) -> dict[str, str]:
    """What the server says about its log, by the names of the answer's columns in small letters; empty without a log."""
    with connection.cursor(DictCursor) as cursor:
        try:
            cursor.execute("SHOW MASTER STATUS")
        except pymysql.ProgrammingError:
            cursor.execute("SHOW BINARY LOG STATUS")  # MySQL 8.4
        found = cursor.fetchone()
    return {str(name).lower(): str(value or "") for name, value in (found or {}).items()}


def read_binlog_end(connection: Any) -> tuple[str, int]:
    """File and position of the end of the binary log."""
    found = log_status(connection)
    if not found:
        raise ConfigurationError(["the server writes no binary log; set log_bin=ON"])
    return found["file"], int(found["position"])


def log_files(connection: Any) -> list[str]:
    """Names of the log files that the server has, the oldest first."""
    return [str(row[0]) for row in fetch_rows(connection, "SHOW BINARY LOGS")]


def read_gtid_end(connection: Any, *, mariadb: bool) -> str:
    """The GTIDs of everything in the binary log up to now."""
    statement = "SELECT @@GLOBAL.gtid_binlog_pos" if mariadb else "SELECT @@GLOBAL.gtid_executed"
    return re.sub(r"\s", "", str(fetch_rows(connection, statement)[0][0] or ""))


def estimate_rows(connection: Any, database: str, table: str) -> int | None:
    """How many rows a table holds: counted where they are few, by the server's statistics where counting takes long.

    None where the server does not say. `connection` reads rows (`connect_for_rows`).
    """
    name = f"{quote_identifier(database)}.{quote_identifier(table)}"
    statement = f"SELECT COUNT(*) FROM (SELECT 1 FROM {name} LIMIT {COUNTED_ROWS_MAX}) AS counted"  # noqa: S608 - quoted names
    try:
        counted = int(fetch_rows(connection, statement)[0][0])
        if counted < COUNTED_ROWS_MAX:
            return counted
        wanted = "SELECT TABLE_ROWS FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s AND TABLE_NAME = %s"
        found = fetch_rows(connection, wanted, (database, table))
        return max(counted, int(found[0][0])) if found and found[0][0] is not None else None
    except pymysql.MySQLError:
        return None  # it is told to people only; a lost connection shows at the next statement


def read_columns(connection: Any, database: str, table: str) -> dict[str, Declared]:
    """Columns of a table by name, in order; empty when there is no such table."""
    found = fetch_rows(
        connection,
        "SELECT column_name, data_type, character_set_name, collation_name, character_octet_length "
        "FROM information_schema.columns WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
        (database, table),
    )
    declared = [
        Declared(str(name), str(kind).lower(), charset, collation, int(octets) if octets is not None else None)
        for name, kind, charset, collation, octets in found
    ]
    return {column.name: column for column in declared}


def find_families(found: Mapping[str, Declared]) -> dict[str, str]:
    """Family of each column: what must not change under a mapping. Pure."""
    return {name: find_family(column.data_type) for name, column in found.items()}


def read_unique_keys(connection: Any, database: str, table: str) -> set[str]:
    """Columns that are a primary or unique key on their own."""
    found = fetch_rows(
        connection,
        "SELECT MIN(column_name) FROM information_schema.statistics WHERE table_schema = %s AND table_name = %s "
        "AND non_unique = 0 GROUP BY index_name HAVING COUNT(*) = 1",
        (database, table),
    )
    return {str(name) for (name,) in found}
