"""Connections to Redis for everything but the windows, which have `scoring.store.link`.

Time limits, TLS, sign-in, a name, the store's errors and a cluster's redirections are settled here.
"""

import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import MovedError, RedisError, ResponseError
from redis.retry import Retry

from contract.errors import InvariantError
from contract.settings import RedisSettings
from scoring.ports import StoreUnavailableError

Result = TypeVar("Result")
CONNECTIONS_MAX = 2

_PASSING = re.compile(
    r"(?:^|: -)(ASK|BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|MOVED|NOREPLICAS|OOM|READONLY|TRYAGAIN) "
)
"""Errors of a server that cannot serve now, as its answer or (before Redis 7) as the cause of a script's."""


def find_passing_error(text: str) -> str | None:
    """The kind of an error after which asking again later is right, or None for one that will not pass."""
    found = _PASSING.search(text)
    return found[1] if found else None


def build_client_name() -> str:
    """What `CLIENT LIST` shows of every connection of this process."""
    return f"tillguard-{socket.gethostname()}-{os.getpid()}"


class RedisClient:
    """Runs functions on a redis-py client; safe for threads.

    Threads and stores that may wait equally long share one, for functions take milliseconds: it opens two connections at most, so that
    a third function waits for the first of two. Whoever makes it closes it.
    """

    def __init__(self, settings: RedisSettings, timeout_s: float | None = None) -> None:
        """`timeout_s`: how long an answer may take, instead of the setting."""
        self._options = settings.to_redis_py() | {"retry": Retry(NoBackoff(), 1), "redis_connect_func": _greet}
        if timeout_s is not None:
            self._options["socket_timeout"] = timeout_s
        self._client = redis.Redis(**self._options)
        self._turns = threading.BoundedSemaphore(CONNECTIONS_MAX)

    def run(self, function: Callable[[Any], Result]) -> Result:
        """The function's result; raises StoreUnavailableError, or InvariantError where the server found the command wrong.

        The function may run again on another node or after a lost connection, so its effect must be idempotent.
        """
        try:
            with self._turns:
                try:
                    return function(self._client)
                except MovedError as moved:
                    self._client = redis.Redis(**self._options | {"host": moved.host, "port": moved.port})
                    return function(self._client)
        except ResponseError as error:
            if find_passing_error(str(error)) or type(error) is not ResponseError:
                raise StoreUnavailableError(f"the store cannot serve: {type(error).__name__}") from None
            raise InvariantError(f"the store refused a command: {str(error)[:200]}") from None
        except RedisError as error:
            raise StoreUnavailableError(
                f"Redis at {self._options['host']}:{self._options['port']} did not answer ({type(error).__name__}); "
                "is it running, and are the settings under redis right?"
            ) from None

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()

    def is_answered(self) -> bool:
        """Whether Redis answers now."""
        try:
            return bool(self.run(lambda client: client.ping()))
        except StoreUnavailableError:
            return False


def _greet(connection: Any) -> None:
    """Signs in, then gives the connection its name; a server that does not let this user name it is no fault."""
    connection.on_connect()
    connection.send_command("CLIENT", "SETNAME", build_client_name(), check_health=False)
    with suppress(ResponseError):
        connection.read_response()
