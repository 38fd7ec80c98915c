"""A real MySQL server for tests, from Debian's packages: unpacked into the cache, never installed, run without root.

The version is whatever Debian's development release holds (9.7 in November 2026). Where no Debian packages can be had, the tests that
need the server are skipped with the reason.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pymysql

from embedded.artifacts import find_default_cache, hold_cache, require_space
from embedded.ledger import Endpoint
from runtime.ports import HOST, choose

PACKAGES = ("mysql-server-core", "mysql-client-core")
SUITE = "sid"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
UNPACKED_BYTES = 900 << 20
PASSWORD = "of-the-tests"  # the server listens on the loopback interface alone, for as long as a test runs
START_LIMIT_S = 120.0
FOLDED_NAMES = "--lower-case-table-names=1"
"""Names of tables are kept in small letters, as RDS and Windows do; a server has this from its first start, or never."""
OPTIONS = (
    "--server-id=1",
    "--log-bin=binlog",
    "--binlog-row-metadata=FULL",
    "--gtid-mode=ON",
    "--enforce-gtid-consistency=ON",
    "--sync-binlog=1",
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-redo-log-capacity=16M",
    "--innodb-buffer-pool-size=64M",
    "--default-time-zone=+00:00",
    "--skip-name-resolve",
    "--performance-schema=OFF",
    "--mysqlx=OFF",
    "--local-infile=ON",
    "--secure-file-priv=NULL",
    # relative to the data folder: the path of a socket may have 107 bytes only
    "--socket=mysql.sock",
)


class UnavailableError(Exception):
    """No MySQL can be had on this machine; the text says why."""


class DebianMysql:
    """One server with its data in `folder`; it may be killed and started again, and keeps its port."""

    def __init__(self, folder: Path, options: tuple[str, ...] = ()) -> None:
        """Starts nothing.

        Args:
            folder: becomes the home of the data; must not exist yet.
            options: command-line options of mysqld, after this module's; FOLDED_NAMES may be one.
        """
        self._programs = _programs()
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        shutil.copytree(_template(self._programs, folded_names=FOLDED_NAMES in options), folder)
        port = choose((), random.Random(os.urandom(8)))
        self.endpoint = Endpoint(
            HOST, port, f"mysql+pymysql://root:{PASSWORD}@{HOST}:{port}", user="root", password=PASSWORD
        )

    def start(self, *options: str) -> None:
        """Returns once the server answers; `options` are for this start alone."""
        command = [
            *_mysqld(self._programs), f"--datadir={self._folder}", f"--bind-address={HOST}",
            f"--port={self.endpoint.port}", f"--log-error={self._folder / 'error.log'}", *OPTIONS, *self._options, *options,
        ]  # fmt: skip
        guard = shutil.which("setpriv")
        self._process = subprocess.Popen([guard, "--pdeathsig", "KILL", "--", *command] if guard else command)
        deadline_s = time.monotonic() + START_LIMIT_S
        while True:
            try:
                self.connect().close()
            except pymysql.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline_s:
                    log = (self._folder / "error.log").read_text(errors="replace")
                    raise RuntimeError(f"MySQL did not start: {log[-2000:]}") from None
                time.sleep(0.05)
            else:
                return

    def connect(self, **options: Any) -> Any:
        """A connection of the administrator, in autocommit unless `options` of pymysql.connect say otherwise."""
        given: Mapping[str, Any] = {
            "host": self.endpoint.host,
            "port": self.endpoint.port,
            "user": self.endpoint.user,
            "password": self.endpoint.password,
            "autocommit": True,
            "charset": "utf8mb4",
        }
        return pymysql.connect(**{**given, **options})

    def kill(self) -> None:
        """SIGKILL; the process has ended on return."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """An orderly end; does nothing to a server that does not run."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


@contextlib.contextmanager
def started(folder: Path, *options: str) -> Iterator[DebianMysql]:
    """A running server that is ended afterwards; raises UnavailableError where none can be had."""
    server = DebianMysql(folder, options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def _programs() -> Path:
    """The folder of the unpacked packages, complete if it exists."""
    cache = find_default_cache()
    target = cache / "debian-mysql"
    if not target.exists():
        if not all(shutil.which(program) for program in ("apt-get", "dpkg")):
            raise UnavailableError("a real MySQL comes from Debian's packages, and this machine has no apt-get")
        with hold_cache(cache, "MySQL", _report):
            if not target.exists():
                _unpack(target)
    return target


def _report(line: str) -> None:
    print(line)  # noqa: T201 - pytest shows it with a test that fails


def _unpack(target: Path) -> None:
    require_space(target.parent, UNPACKED_BYTES)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".debian-mysql-"))
    try:
        for package in _download(partial / "apt"):
            subprocess.run(["dpkg", "-x", str(package), str(partial)], check=True)
        shutil.rmtree(partial / "apt")
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _download(folder: Path) -> list[Path]:
    """The packages and all that they need, into an apt of their own that knows nothing of what is installed here."""
    signed = f"[signed-by={KEYRING}] " if KEYRING.exists() else ""  # else apt's own trusted keys
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    (folder / "sources.list").write_text(f"deb {signed}{_archive()} {SUITE} main\n")
    options = {
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache": folder / "cache",
        "Dir::Etc::sourcelist": folder / "sources.list",
        "Dir::Etc::sourceparts": "-",
        "APT::Install-Recommends": "false",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "1",
    }
    apt = ["apt-get", "-qq", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    for step in (["update"], ["install", "--yes", "--download-only", *PACKAGES]):
        done = subprocess.run([*apt, *step], capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            raise UnavailableError(f"Debian's packages of MySQL cannot be reached: {done.stderr.strip()[-300:]}")
    return sorted((folder / "cache" / "archives").glob("*.deb"))


def _archive() -> str:
    """Address of the Debian archive that this machine uses."""
    form = "$(SITE)\t$(LABEL)\t$(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        site, label, component = line.split("\t")
        if (label, component) == ("Debian", "main"):
            return site
    raise UnavailableError("a real MySQL comes from Debian's packages, and this machine's apt knows no Debian archive")


def _mysqld(programs: Path) -> list[str]:
    """The server's command, run by the loader and libraries that it was built for."""
    share = programs / "usr/share/mysql"
    libraries = (programs / "usr/lib/x86_64-linux-gnu", programs / "usr/lib/mysql/private")
    return [
        str(programs / "usr/lib64/ld-linux-x86-64.so.2"), "--library-path", ":".join(map(str, libraries)),
        str(programs / "usr/sbin/mysqld"), "--no-defaults", f"--lc-messages-dir={share}",
        f"--character-sets-dir={share / 'charsets'}", f"--plugin-dir={programs / 'usr/lib/mysql/plugin'}",
        *(["--user=root"] if os.geteuid() == 0 else []),
    ]  # fmt: skip


def _template(programs: Path, *, folded_names: bool) -> Path:
    """A data folder as the server makes it at first, with the administrator's password; copied for each server."""
    target = programs.parent / f"debian-mysql-data{'-folded' if folded_names else ''}"
    with hold_cache(programs.parent, "MySQL data", _report):
        if not target.exists():
            partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".debian-mysql-data-"))
            try:
                _initialise(programs, partial, *([FOLDED_NAMES] if folded_names else []))
                partial.rename(target)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return target


def _initialise(programs: Path, data: Path, *options: str) -> None:
    accounts = data.with_suffix(".sql")
    accounts.write_text(
        f"ALTER USER root@localhost IDENTIFIED BY '{PASSWORD}';\nRENAME USER root@localhost TO root@'%';\n"
    )
    command = [
        *_mysqld(programs), "--initialize-insecure", f"--datadir={data}", "--innodb-redo-log-capacity=16M",
        f"--init-file={accounts}", *options,
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    finally:
        accounts.unlink()
    if done.returncode != 0:
        raise RuntimeError(f"MySQL could not make its data folder: {done.stderr[-2000:]}")
