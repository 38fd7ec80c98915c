"""Verdicts that wait for a resolution, and holds that wait for their expiry, on Redis."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from contract.clock import epoch_ms, from_epoch_ms
from contract.settings import Settings
from scoring.ports import Case, RevisionConflictError
from scoring.redis_client import RedisClient
from scoring.redis_keys import LIVE, Keys
from scoring.redis_scripts import script

_FIELDS = ("revision", "verdict", "open_until")


class RedisCases:
    """CaseStore on Redis (scoring/ports.py); safe for threads, shared by all workers of a retailer. `timeout_s`: RedisClient's."""

    def __init__(self, settings: Settings, namespace: str = LIVE, *, timeout_s: float | None = None) -> None:
        self._client = RedisClient(settings.redis, timeout_s)
        self._keys = Keys(settings.retailer, namespace)
        self._lifetime_ms = int(timedelta(days=settings.retention.case_days) / timedelta(milliseconds=1))
        self._open_script = script("open_case")
        self._close_script = script("close_case")

    def open(self, cases: Sequence[Case]) -> None:
        """As the port says; one round trip for all of them."""
        if cases:
            self._client.run(lambda client: self._open(client, cases))

    def get(self, transaction_id: str) -> Case | None:
        """As the port says."""
        values = self._client.run(lambda client: client.hmget(self._keys.case(transaction_id), _FIELDS))
        return _case(transaction_id, values)

    def close(self, case: Case, *, expected_revision: int, cause_id: str) -> bytes:
        """As the port says; a case that is not known (any more) is a conflict too."""
        arguments = [*self._arguments(case), str(expected_revision), cause_id]
        stored = self._client.run(lambda client: client.eval(self._close_script, 2, *arguments))
        if stored is None:
            raise RevisionConflictError(f"the case does not stand at revision {expected_revision}")
        return bytes(stored)

    def expired(self, now: datetime, limit: int) -> list[Case]:
        """As the port says; forgets holds whose case is no longer kept."""
        return self._client.run(lambda client: self._expired(client, epoch_ms(now), limit))

    def shut(self) -> None:
        """Ends the connections."""
        self._client.close()

    def _arguments(self, case: Case) -> list[Any]:
        until = "" if case.open_until is None else str(epoch_ms(case.open_until))
        key, holds = self._keys.case(case.transaction_id), self._keys.holds
        return [key, holds, str(case.revision), case.verdict, until, self._lifetime_ms, case.transaction_id]

    def _open(self, client: Any, cases: Sequence[Case]) -> None:
        with client.pipeline(transaction=False) as pipeline:
            for case in cases:
                pipeline.eval(self._open_script, 2, *self._arguments(case))
            pipeline.execute()

    def _expired(self, client: Any, now_ms: int, limit: int) -> list[Case]:
        found: list[Case] = []
        while len(found) < limit:
            due = client.zrangebyscore(self._keys.holds, "-inf", now_ms, start=len(found), num=limit - len(found))
            if not due:
                break
            with client.pipeline(transaction=False) as pipeline:
                for member in due:
                    pipeline.hmget(self._keys.case(member.decode()), _FIELDS)
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
