"""One connection to Redis that carries many commands before their answers are read.

Knows the protocol and nothing of windows. After any error or timeout the connection is dropped, so that an answer can never
be taken for another command's; the next use connects again, with a growing pause between failed attempts.
"""

import random
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any

import hiredis
import structlog

from scoring.ports import StoreUnavailableError

log = structlog.get_logger()

BACKOFF_FIRST_S = 0.02
BACKOFF_MAX_S = 1.0
_READ_BYTES = 1 << 18

_Connected = tuple[socket.socket, hiredis.Reader]


def encode_command(*parts: bytes) -> bytes:
    """`parts` as one command on the wire."""
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)


class RedisLink:
    """Sends raw commands and reads replies in their order; used by one thread.

    `options` are keyword arguments of `redis.Redis` as `RedisSettings.to_redis_py` makes them, and `client_name`. `prepare` is sent on every new
    connection before anything else (scripts to load); an error in its answers fails the connection. `connect_wait_s` is how
    long a send waits for a new connection, which continues aside after that; None: for as long as it takes.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        prepare: bytes,
        prepare_replies: int,
        monotonic_s: Callable[[], float] = time.monotonic,
        *,
        connect_wait_s: float | None = None,
    ) -> None:
        self._options = dict(options)
        self._address = (options["host"], options["port"])
        self._prepare = prepare
        self._prepare_replies = prepare_replies
        self._monotonic_s = monotonic_s
        self._connect_wait_s = connect_wait_s
        self._attempt: Future[_Connected] | None = None
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
            raise self.drop(error) from None

    def read(self, count: int, into: list[Any], deadline_s: float) -> None:
        """Appends replies to `into` until it holds `count`; raises StoreUnavailableError past `deadline_s` (monotonic)."""
        if self._socket is None:
            raise StoreUnavailableError("the connection to the store was lost")
        try:
            self._receive((self._socket, self._reader), count, into, deadline_s)
        except (OSError, hiredis.HiredisError) as error:
            raise self.drop(error) from None

    def drop(self, cause: Exception) -> StoreUnavailableError:
        """Drops the connection; gives the error to raise. Its text names the cause's kind, never what was sent."""
        self.close()
        self.generation += 1
        return StoreUnavailableError(f"the store did not answer: {_kind(cause)}")

    def follow(self, moved: str) -> None:
        """Takes the address of a cluster's `MOVED <slot> <host>:<port>` for the next connection."""
        host, _, port = moved.rsplit(maxsplit=1)[-1].rpartition(":")
        self._address = (host or self._address[0], int(port))

    def close(self) -> None:
        """Ends the connection; the next send makes a new one."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.add_done_callback(_hang_up)
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        if self._attempt is None and self._monotonic_s() < self._not_before_s:
            raise StoreUnavailableError("the store did not answer: waiting before the next attempt")
        try:
            self._socket, self._reader = self._opened() if self._connect_wait_s is None else self._opened_aside()
        except (OSError, hiredis.HiredisError) as error:
            self._pause(_kind(error))
            raise self.drop(error) from None
        self._backoff_s, self._not_before_s = BACKOFF_FIRST_S, -1.0
        return self._socket

    def _opened_aside(self) -> _Connected:
        """A new connection, made by another thread: a server that hangs must not hold up answers that have a time budget."""
        attempt, wait_s = self._attempt, 0.0
        if attempt is None:
            attempt, wait_s = Future(), self._connect_wait_s or 0.0
            self._attempt = attempt
            threading.Thread(target=_fulfil, args=(attempt, self._opened), name="store-connect", daemon=True).start()
        if not wait([attempt], wait_s).done:
            raise StoreUnavailableError("the store did not answer: still connecting")
        self._attempt = None
        return attempt.result()

    def _opened(self) -> _Connected:
        """A connection that is ready for commands."""
        deadline_s = self._monotonic_s() + self._options["socket_connect_timeout"] + self._options["socket_timeout"]
        connection, reader = self._open(), hiredis.Reader()
        try:
            self._greet((connection, reader), deadline_s)
        except BaseException:
            connection.close()
            raise
        return connection, reader

    def _greet(self, connected: _Connected, deadline_s: float) -> None:
        # Signed in first: who is not may send 16 kB at most, and the scripts would break the connection off before it said why.
        name = self._options.get("client_name")
        naming = encode_command(b"CLIENT", b"SETNAME", name.encode()) if name else b""
        for message, replies in (self._sign_in(), (naming, 1), (self._prepare, self._prepare_replies)):
            if not message:
                continue
            connected[0].sendall(message)
            answers: list[Any] = []
            self._receive(connected, replies, answers, deadline_s)
            refusal = next((answer for answer in answers if isinstance(answer, hiredis.ReplyError)), None)
            if refusal is not None and message is not naming:  # a server may keep names from this user
                raise refusal

    def _receive(self, connected: _Connected, count: int, into: list[Any], deadline_s: float) -> None:
        connection, reader = connected
        while True:
            while len(into) < count:
                reply = reader.gets()
                if reply is False:
                    break
                into.append(reply)
            if len(into) >= count:
                return
            left_s = deadline_s - self._monotonic_s()
            if left_s <= 0:
                raise TimeoutError
            connection.settimeout(left_s)
            data = connection.recv(_READ_BYTES)
            if not data:
                raise ConnectionResetError
            reader.feed(data)

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

    def _sign_in(self) -> tuple[bytes, int]:
        """Password and database as one message, and how many replies it gets."""
        greeting, replies = b"", 0
        if "password" in self._options:
            account = [str(self._options[key]).encode() for key in ("username", "password") if key in self._options]
            greeting, replies = greeting + encode_command(b"AUTH", *account), replies + 1
        if self._options.get("db"):
            greeting, replies = greeting + encode_command(b"SELECT", b"%d" % self._options["db"]), replies + 1
        return greeting, replies


def _kind(cause: Exception) -> str:
    """The first word of an error that Redis answered (its code), or the class of any other."""
    return str(cause).partition(" ")[0] if isinstance(cause, hiredis.ReplyError) else type(cause).__name__


def _fulfil(attempt: "Future[_Connected]", opened: Callable[[], _Connected]) -> None:
    try:
        attempt.set_result(opened())
    except Exception as error:  # noqa: BLE001 - raised where the result is taken
        attempt.set_exception(error)


def _hang_up(attempt: "Future[_Connected]") -> None:
    """The connection that nobody waits for any more."""
    if attempt.exception() is None:
        attempt.result()[0].close()
