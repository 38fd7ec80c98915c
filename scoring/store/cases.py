"""Verdicts that wait for a resolution, and holds that wait for their expiry, on Redis; the breaker is asked on the way.

What a transaction is told and what the breaker counts for it are one atomic step: a crash leaves both or neither.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from redis.exceptions import NoScriptError

from contract.clock import from_epoch_ms, to_epoch_ms
from contract.verdicts import REVISION_FULL
from scoring.decision.breaker import Limits
from scoring.engine.answers import read_answer
from scoring.ports import Answer, Case, NewCase, RevisionConflictError
from scoring.store.client import RedisClient
from scoring.store.keys import Keys
from scoring.store.scripts import compute_sha1, load_script

STORED, STORED_OTHERWISE = 1, 2
"""What open_case.lua says of a case that was not known."""
_FIELDS = ("revision", "verdict", "open_until")


class RedisCases:
    """CaseStore on Redis (scoring/ports.py); safe for threads, shared by all workers of a retailer."""

    def __init__(
        self,
        client: RedisClient,
        keys: Keys,
        *,
        limits: Limits,
        kept: timedelta,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        """`limits` are the breaker's, and `now_ms` its clock, for tests; without it that of Redis, which all workers share."""
        self._client = client
        self._keys = keys
        self._lifetime_ms = int(kept / timedelta(milliseconds=1))
        self._limits = limits
        self._now_ms = now_ms
        self._open_script = load_script("open_case")
        self._open_sha = compute_sha1(self._open_script).decode()
        self._passed_script = load_script("breaker_passed")
        self._close_script = load_script("close_case")

    def open(self, cases: Sequence[NewCase], passed: int = 0) -> list[Answer]:
        """As the port says; one round trip for all of them."""
        if not cases:
            return []
        replies = self._client.run(lambda client: self._open(client, cases, passed))
        return [_standing(case, reply) for case, reply in zip(cases, replies, strict=True)]

    def count_passed(self, transactions: int) -> None:
        """As the port says."""
        self._client.run(lambda client: client.eval(self._passed_script, 1, *self._passed_arguments(transactions)))

    def get(self, transaction_id: str) -> Case | None:
        """As the port says."""
        values = self._client.run(lambda client: client.hmget(self._keys.name_case(transaction_id), _FIELDS))
        return _case(transaction_id, values)

    def close(self, case: Case, *, expected_revision: int, cause_id: str) -> bytes:
        """As the port says; a case that is not known (any more) is a conflict too."""
        arguments = [*self._arguments(case), str(expected_revision), cause_id]
        stored = self._client.run(lambda client: client.eval(self._close_script, 2, *arguments))
        if stored is None:
            raise RevisionConflictError(f"the case does not stand at revision {expected_revision}")
        return bytes(stored)

    def list_expired(self, now: datetime, limit: int) -> list[Case]:
        """As the port says; forgets holds whose case is no longer kept."""
        return self._client.run(lambda client: self._expired(client, to_epoch_ms(now), limit))

    def stop(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _arguments(self, case: Case) -> list[Any]:
        until = "" if case.open_until is None else str(to_epoch_ms(case.open_until))
        key, holds = self._keys.name_case(case.transaction_id), self._keys.holds
        return [key, holds, str(case.revision), case.verdict, until, self._lifetime_ms, case.transaction_id]

    def _open_arguments(self, new: NewCase) -> list[Any]:
        case = Case(new.transaction_id, REVISION_FULL, new.wanted.verdict, new.open_until)
        key, holds, *arguments = self._arguments(case)
        limits, keys = self._limits, self._keys
        return [
            key, holds, keys.breaker, keys.stops, keys.occurrences, *arguments, new.otherwise.verdict if new.otherwise else "",
            "" if limits.per_minute_max is None else limits.per_minute_max,
            "" if limits.share_max is None else limits.share_max,
            limits.window_ms, limits.bucket_ms, limits.minimum, self._time(),
        ]  # fmt: skip

    def _passed_arguments(self, transactions: int) -> list[Any]:
        return [self._keys.breaker, transactions, self._limits.bucket_ms, self._time()]

    def _time(self) -> int | str:
        return "" if self._now_ms is None else self._now_ms()

    def _open(self, client: Any, cases: Sequence[NewCase], passed: int) -> list[Any]:
        """Again with the script itself where the server has lost it: what was stored meanwhile stands."""
        try:
            return self._open_by(client, "evalsha", self._open_sha, cases, passed)
        except NoScriptError:
            return self._open_by(client, "eval", self._open_script, cases, 0)

    def _open_by(self, client: Any, how: str, named: str, cases: Sequence[NewCase], passed: int) -> list[Any]:
        with client.pipeline(transaction=False) as pipeline:
            if passed:
                pipeline.eval(self._passed_script, 1, *self._passed_arguments(passed))
            for case in cases:
                getattr(pipeline, how)(named, 5, *self._open_arguments(case))
            replies: list[Any] = pipeline.execute()
        return replies[1:] if passed else replies

    def _expired(self, client: Any, now_ms: int, limit: int) -> list[Case]:
        found: list[Case] = []
        while len(found) < limit:
            due = client.zrangebyscore(self._keys.holds, "-inf", now_ms, start=len(found), num=limit - len(found))
            if not due:
                break
            with client.pipeline(transaction=False) as pipeline:
                for member in due:
                    pipeline.hmget(self._keys.name_case(member.decode()), _FIELDS)
                cases = [_case(member.decode(), values) for member, values in zip(due, pipeline.execute(), strict=True)]
            gone = [member for member, case in zip(due, cases, strict=True) if case is None]
            if gone:
                client.zrem(self._keys.holds, *gone)
            found.extend(case for case in cases if case is not None)
        return found


def _case(transaction_id: str, values: Sequence[bytes | None]) -> Case | None:
    revision, verdict, until = values
    if revision is None or verdict is None:
        return None
    return Case(transaction_id, int(revision), verdict, from_epoch_ms(int(until)) if until else None)


def _standing(case: NewCase, reply: Any) -> Answer:
    """The answer that stands after open_case.lua; without a reply the first one is not known any more, and is worked out again."""
    if reply == STORED_OTHERWISE and case.otherwise is not None:
        return case.otherwise
    return read_answer(reply) if isinstance(reply, bytes) else case.wanted
