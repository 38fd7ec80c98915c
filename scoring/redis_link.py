"""One connection to Redis that carries many commands before their answers are read.

Knows the protocol and nothing of windows. After any error or timeout the connection is dropped, so that an answer can never
be taken for another command's; the next use connects again, with a growing pause between failed attempts.
"""

import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import hiredis
import structlog

from scoring.ports import StoreUnavailableError

log = structlog.get_logger()

BACKOFF_FIRST_S = 0.02
BACKOFF_MAX_S = 1.0
_READ_BYTES = 1 << 18


def command(*parts: bytes) -> bytes:
    """`parts` as one command on the wire."""
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class RedisLink:
    """Sends raw commands and reads replies in their order; used by one thread.

    `options` are keyword arguments of `redis.Redis` as `RedisSettings.redis_py` makes them. `prepare` is sent on every new
    connection before anything else (scripts to load); an error in its answers fails the connection.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        prepare: bytes,
        prepare_replies: int,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._options = dict(options)
        self._address = (options["host"], options["port"])
        self._prepare = prepare
        self._prepare_replies = prepare_replies
        self._monotonic_s = monotonic_s
        self._socket: socket.socket | None = None
        self._reader = hiredis.Reader()
        self._backoff_s = BACKOFF_FIRST_S
        self._not_before_s = -1.0
        self.generation = 0
        """Grows with every connection that was dropped; what was sent under an older one is lost."""

    def send(self, data: bytes) -> None:
        """Writes `data`, connecting first where needed; raises StoreUnavailableError."""
        connection = self._socket or self._connect()
        try:
            connection.settimeout(self._options["socket_timeout"])
            connection.sendall(data)
        except OSError as error:
            raise self.failed(error) from None

    def read(self, count: int, into: list[Any], deadline_s: float) -> None:
        """Appends replies to `into` until it holds `count`; raises StoreUnavailableError past `deadline_s` (monotonic)."""
        if self._socket is None:
            raise StoreUnavailableError("the connection to the store was lost")
        try:
            while True:
                while len(into) < count:
                    reply = self._reader.gets()
                    if reply is False:
                        break
                    into.append(reply)
                if len(into) >= count:
                    return
                left_s = deadline_s - self._monotonic_s()
                if left_s <= 0:
                    raise TimeoutError
                self._socket.settimeout(left_s)
                data = self._socket.recv(_READ_BYTES)
                if not data:
                    raise ConnectionResetError
                self._reader.feed(data)
        except (OSError, hiredis.HiredisError) as error:
            raise self.failed(error) from None

    def failed(self, cause: Exception) -> StoreUnavailableError:
        """Drops the connection; gives the error to raise. Its text names the cause's kind, never what was sent."""
        self.close()
        self.generation += 1
        kind = str(cause).partition(" ")[0] if isinstance(cause, hiredis.ReplyError) else type(cause).__name__
        return StoreUnavailableError(f"the store did not answer: {kind}")

    def follow(self, moved: str) -> None:
        """Takes the address of a cluster's `MOVED <slot> <host>:<port>` for the next connection."""
        host, _, port = moved.rsplit(maxsplit=1)[-1].rpartition(":")
        self._address = (host or self._address[0], int(port))

    def close(self) -> None:
        """Ends the connection; the next send makes a new one."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        now_s = self._monotonic_s()
        if now_s < self._not_before_s:
            raise StoreUnavailableError("the store did not answer: waiting before the next attempt")
        self._reader = hiredis.Reader()
        try:
            self._socket = self._open()
            greeting, replies = self._greeting()
            self._socket.sendall(greeting)
            answers: list[Any] = []
            self.read(replies, answers, now_s + self._options["socket_timeout"])
            refusals = [answer for answer in answers if isinstance(answer, hiredis.ReplyError)]
            if refusals:
                raise self.failed(refusals[0])
        except OSError as error:
            self._pause(type(error).__name__)
            raise self.failed(error) from None
        except StoreUnavailableError as error:
            self._pause(str(error))
            raise
        self._backoff_s, self._not_before_s = BACKOFF_FIRST_S, -1.0
        return self._socket

    def _pause(self, cause: str) -> None:
        pause_s = self._backoff_s * random.uniform(0.5, 1.0)  # noqa: S311 - workers should not come back in step
        self._not_before_s = self._monotonic_s() + pause_s
        self._backoff_s = min(2 * self._backoff_s, BACKOFF_MAX_S)
        self._address = (self._options["host"], self._options["port"])
        log.warning("store_not_reached", cause=cause, pause_s=round(pause_s, 3))

    def _open(self) -> socket.socket:
        plain = socket.create_connection(self._address, timeout=self._options["socket_connect_timeout"])
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._options.get("ssl"):
            return plain
        try:
            context = ssl.create_default_context(cafile=self._options.get("ssl_ca_certs"))
            if "ssl_certfile" in self._options:
                context.load_cert_chain(self._options["ssl_certfile"], self._options.get("ssl_keyfile"))
            return context.wrap_socket(plain, server_hostname=self._address[0])
        except BaseException:
            plain.close()
            raise

    def _greeting(self) -> tuple[bytes, int]:
        """Sign-in, database and preparation as one message, and how many replies it gets."""
        greeting, replies = b"", self._prepare_replies
        if "password" in self._options:
            account = [str(self._options[key]).encode() for key in ("username", "password") if key in self._options]
            greeting, replies = greeting + command(b"AUTH", *account), replies + 1
        if self._options.get("db"):
            greeting, replies = greeting + command(b"SELECT", b"%d" % self._options["db"]), replies + 1
        return greeting + self._prepare, replies
