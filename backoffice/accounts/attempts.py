"""Attempts to sign in, counted for each account and address before a password is looked at, so that many at once count as well.

Names and addresses are kept as hashes only. A name that nobody has counts as any other: what comes back tells nothing.
"""

from collections.abc import Sequence
from contextlib import suppress
from hashlib import sha256

import sqlalchemy as sa

from backoffice.accounts.tables import FAILURES
from backoffice.accounts.throttle import FORGOTTEN_MS, Failures, Of, compute_wait_s, count_failure
from backoffice.refusals import WaitRequiredError
from contract.clock import Clock, to_epoch_ms
from contract.errors import TransientError
from runtime.database import Database

PRUNE_EVERY = 200
_BEGIN = sa.text(
    "INSERT INTO sign_in_failures (of_sha256, failures, last_ms) VALUES (:of_sha256, 0, :now_ms) ON CONFLICT DO NOTHING"
)


class Attempts:
    """Used by any number of threads and processes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._begun = 0

    def begin(self, name: str, address: str) -> None:
        """Counts one more, as failed until `forgive`; raises WaitRequiredError, and then it does not count, and TransientError."""
        now_ms = to_epoch_ms(self._clock.now())
        with self._database.begin() as connection:
            taken = [(key, of, _take(connection, key, now_ms)) for key, of in _list_keys(name, address)]
            if wait_s := max(compute_wait_s(failures, now_ms, of) for _, of, failures in taken):
                raise WaitRequiredError(wait_s)
            for key, _, failures in taken:
                _write(connection, key, count_failure(failures, now_ms))
        self._prune(now_ms)

    def forgive(self, name: str, address: str) -> None:
        """After a success: the account has no failures, the address one less. Raises TransientError."""
        with self._database.begin() as connection:
            for key, of in _list_keys(name, address):
                chosen = FAILURES.c.of_sha256 == key
                if of == "account":
                    connection.execute(FAILURES.delete().where(chosen))
                else:
                    less = FAILURES.update().where(chosen, FAILURES.c.failures > 0)
                    connection.execute(less.values(failures=FAILURES.c.failures - 1))

    def _prune(self, now_ms: int) -> None:
        self._begun += 1
        if self._begun % PRUNE_EVERY == 1:
            # Others may hold a row of these just now; the next time is soon enough.
            with suppress(TransientError), self._database.begin() as connection:
                connection.execute(FAILURES.delete().where(FAILURES.c.last_ms < now_ms - FORGOTTEN_MS))


def _list_keys(name: str, address: str) -> Sequence[tuple[str, Of]]:
    """In the order in which everybody takes them, so that no two wait for each other."""
    keys: list[tuple[str, Of]] = [(_hash(f"account:{name}"), "account"), (_hash(f"address:{address}"), "address")]
    return sorted(keys)


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _take(connection: sa.Connection, key: str, now_ms: int) -> Failures:
    connection.execute(_BEGIN, {"of_sha256": key, "now_ms": now_ms})
    same = FAILURES.update().where(FAILURES.c.of_sha256 == key).values(failures=FAILURES.c.failures)
    row = connection.execute(same.returning(FAILURES.c.failures, FAILURES.c.last_ms)).one()
    return Failures(row.failures, row.last_ms)


def _write(connection: sa.Connection, key: str, failures: Failures) -> None:
    chosen = FAILURES.update().where(FAILURES.c.of_sha256 == key)
    connection.execute(chosen.values(failures=failures.times, last_ms=failures.last_ms))
