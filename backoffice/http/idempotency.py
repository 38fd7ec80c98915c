"""Idempotency-Key: a request that is sent again with the same key is answered as the first time, for a day.

The same key with another body is refused, as is one whose first request still runs. Only answers below 400 are kept: after any other
the key is free again, and the request may be sent again. Answers stand in the database: never use it for one that holds a secret.
"""

import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from hashlib import sha256
from typing import Annotated, NamedTuple

import sqlalchemy as sa
from fastapi import Header
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from backoffice.http.bodies import JSON
from backoffice.http.problems import FieldProblem, ProblemError
from contract.clock import Clock, to_epoch_ms
from runtime.database import Database

KEPT_FOR = timedelta(hours=24)
RUNNING_FOR = timedelta(seconds=90)
"""A request that has not ended by then died with its process."""
KEY_MAX = 255
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        max_length=KEY_MAX,
        description="Any text of your own, a UUID say: the same request sent again with it is answered as the first time, for 24 h",
    ),
]
KEYS = sa.Table(
    "idempotency_keys",
    sa.MetaData(),
    sa.Column("retailer", sa.String(48), primary_key=True),
    sa.Column("who_id", sa.String(64), primary_key=True),
    sa.Column("request_key", sa.String(64), primary_key=True),
    sa.Column("request_sha256", sa.String(64)),
    sa.Column("attempt", sa.String(32)),
    sa.Column("begun_ms", sa.BigInteger),
    sa.Column("status", sa.Integer),
    sa.Column("answer", sa.Text),
)
_BEGIN = sa.text(
    "INSERT INTO idempotency_keys (retailer, who_id, request_key, request_sha256, attempt, begun_ms) "
    "VALUES (:retailer, :who_id, :request_key, :request_sha256, :attempt, :begun_ms) ON CONFLICT DO NOTHING"
)


class KeyOwner(NamedTuple):
    """Whose keys: those of different people and retailers are apart."""

    retailer: str
    who_id: str


class IdempotencyKeys:
    """Used by any number of threads and processes. Every method raises TransientError."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, owner: KeyOwner, request_key: str, request_sha256: str) -> str | Response:
        """The answer that was given, or the name of this attempt, which then runs alone under the key.

        Raises ProblemError: 409 while another runs, 422 for another request under the key.
        """
        now = self._clock.now()
        attempt = secrets.token_hex(8)
        values = {
            "retailer": owner.retailer,
            "who_id": owner.who_id,
            "request_key": request_key,
            "request_sha256": request_sha256,
            "attempt": attempt,
            "begun_ms": to_epoch_ms(now),
        }
        with self._database.begin() as connection:
            dead = KEYS.c.status.is_(None) & (KEYS.c.begun_ms <= to_epoch_ms(now - RUNNING_FOR))
            connection.execute(KEYS.delete().where(dead | (KEYS.c.begun_ms <= to_epoch_ms(now - KEPT_FOR))))
            if connection.execute(_BEGIN, values).rowcount:
                return attempt
            row = connection.execute(KEYS.select().where(_one(owner, request_key))).one()
        if row.request_sha256 != request_sha256:
            text = "was sent before with another request; choose a new one"
            raise ProblemError(422, errors=[FieldProblem(pointer="Idempotency-Key", code="reused", text=text)])
        if row.status is None:
            raise ProblemError(409, "the same request still runs", code="running", headers={"Retry-After": "1"})
        return Response(row.answer, status_code=row.status, media_type=JSON, headers={"Idempotency-Replayed": "true"})

    def keep(self, owner: KeyOwner, request_key: str, attempt: str, answer: Response) -> None:
        """The answer of an attempt."""
        mine = _one(owner, request_key) & (KEYS.c.attempt == attempt)
        values = {"status": answer.status_code, "answer": bytes(answer.body).decode()}
        with self._database.begin() as connection:
            connection.execute(KEYS.update().where(mine).values(values))

    def forget(self, owner: KeyOwner, request_key: str, attempt: str) -> None:
        """That an attempt came to nothing."""
        mine = _one(owner, request_key) & (KEYS.c.attempt == attempt)
        with self._database.begin() as connection:
            connection.execute(KEYS.delete().where(mine, KEYS.c.status.is_(None)))


async def answer_once(
    keys: IdempotencyKeys,
    owner: KeyOwner,
    key: str | None,
    told: tuple[str, bytes],
    act: Callable[[], Awaitable[Response]],
) -> Response:
    """The answer of `act`, or the one that the same request got before.

    Args:
        keys: where answers are kept.
        owner: who asks.
        key: the header's text; None runs `act` and keeps nothing.
        told: route with its path, and body, which together are the request.
        act: answers the request; may raise.

    Raises ProblemError as `IdempotencyKeys.begin`, TransientError, and whatever `act` raises.
    """
    if key is None:
        return await act()
    request_key = _hash_key(key)
    digest = sha256(told[0].encode() + b"\x00" + told[1]).hexdigest()
    begun = await run_in_threadpool(keys.begin, owner, request_key, digest)
    if isinstance(begun, Response):
        return begun
    answer = None
    try:
        answer = await act()
    finally:
        if answer is None or answer.status_code >= 400:
            await run_in_threadpool(keys.forget, owner, request_key, begun)
        else:
            await run_in_threadpool(keys.keep, owner, request_key, begun, answer)
    return answer


def _hash_key(key: str) -> str:
    """What is kept of a key: whoever chose it may have put anything in it."""
    return sha256(key.encode()).hexdigest()


def name_request(key: str | None, body: bytes) -> str | None:
    """What a room may keep of a request to know it again, whatever became of the answer; None without a key."""
    return None if key is None else sha256(key.encode() + b"\x00" + body).hexdigest()


def _one(owner: KeyOwner, request_key: str) -> sa.ColumnElement[bool]:
    c = KEYS.c
    return (c.retailer == owner.retailer) & (c.who_id == owner.who_id) & (c.request_key == request_key)
