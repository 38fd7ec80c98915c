"""A redis-py client for what is not on the hot path, with the store's errors and a cluster's redirections."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.exceptions import MovedError, RedisError, ResponseError
from redis.retry import Retry

from contract.errors import InvariantError
from contract.settings import RedisSettings
from scoring.ports import StoreUnavailableError

Result = TypeVar("Result")

_PASSING = re.compile(
    r"(?:^|: -)(ASK|BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|MOVED|NOREPLICAS|OOM|READONLY|TRYAGAIN) "
)
"""Errors of a server that cannot serve now, as its answer or (before Redis 7) as the cause of a script's."""


def passing_error(text: str) -> str | None:
    """The kind of an error after which asking again later is right, or None for one that will not pass."""
    found = _PASSING.search(text)
    return found[1] if found else None


class RedisClient:
    """Runs functions on a redis-py client; safe for threads."""

    def __init__(self, settings: RedisSettings, timeout_s: float | None = None) -> None:
        """`timeout_s`: how long an answer may take, instead of the setting."""
        self._options = settings.redis_py() | {"retry": Retry(NoBackoff(), 1)}
        if timeout_s is not None:
            self._options["socket_timeout"] = timeout_s
        self._client = redis.Redis(**self._options)

    def run(self, function: Callable[[Any], Result]) -> Result:
        """The function's result; raises StoreUnavailableError, or InvariantError where the server found the command wrong.

        The function may run again on another node or after a lost connection, so its effect must be idempotent.
        """
        try:
            try:
                return function(self._client)
            except MovedError as moved:
                self._client = redis.Redis(**self._options | {"host": moved.host, "port": moved.port})
                return function(self._client)
        except ResponseError as error:
            if passing_error(str(error)) or type(error) is not ResponseError:
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
