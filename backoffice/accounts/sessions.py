"""Sessions of browsers: opened at sign-in, found by the hash of a random secret, ended by time, by the person or by an admin."""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from pydantic import SecretStr

from backoffice.accounts.people import read_person
from backoffice.accounts.principal import Principal
from backoffice.accounts.secret_text import hash_secret, make_secret
from backoffice.accounts.tables import PEOPLE, SESSIONS
from contract.clock import Clock, to_epoch_ms
from runtime.database import Database

SEEN_EVERY_MS = 60_000
"""How exactly it is known when a session was used last: not every request writes."""


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """How long a session lasts."""

    idle: timedelta = timedelta(hours=1)
    whole: timedelta = timedelta(hours=12)


class Sessions:
    """Used by any number of threads and processes."""

    def __init__(self, database: Database, limits: SessionLimits, clock: Clock) -> None:
        self._database = database
        self._idle_ms = limits.idle // timedelta(milliseconds=1)
        self._whole_ms = limits.whole // timedelta(milliseconds=1)
        self._clock = clock

    def open_with(
        self, connection: sa.Connection, person_id: str, opened_with: str, previous: SecretStr | None = None
    ) -> SecretStr:
        """A new session in the caller's transaction; the one that the browser had ends, so nobody else's is taken over."""
        secret, now_ms = make_secret(), to_epoch_ms(self._clock.now())
        if previous is not None:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.session_sha256 == hash_secret(previous)))
        connection.execute(SESSIONS.delete().where(SESSIONS.c.opened_ms < now_ms - self._whole_ms))
        row = {"person_id": person_id, "opened_ms": now_ms, "seen_ms": now_ms, "opened_with": opened_with}
        connection.execute(SESSIONS.insert().values(session_sha256=hash_secret(secret), **row))
        return secret

    def authenticate(self, secret: SecretStr) -> Principal | None:
        """Whose session it is, with the roles of this moment; None where it is none, or none any more. Raises TransientError."""
        digest, now_ms = hash_secret(secret), to_epoch_ms(self._clock.now())
        if digest is None:
            return None
        with self._database.begin() as connection:
            row = connection.execute(SESSIONS.select().where(SESSIONS.c.session_sha256 == digest)).one_or_none()
            if row is None:
                return None
            if now_ms - row.seen_ms > self._idle_ms or now_ms - row.opened_ms > self._whole_ms:
                connection.execute(SESSIONS.delete().where(SESSIONS.c.session_sha256 == digest))
                return None
            if now_ms - row.seen_ms >= SEEN_EVERY_MS:
                seen = SESSIONS.update().where(SESSIONS.c.session_sha256 == digest)
                connection.execute(seen.values(seen_ms=now_ms))
            person = read_person(connection, PEOPLE.c.person_id == row.person_id)
        return person.as_principal() if person.disabled_at is None else None

    def close(self, secret: SecretStr) -> None:
        """Ends this session, if it is one; raises TransientError."""
        with self._database.begin() as connection:
            connection.execute(SESSIONS.delete().where(SESSIONS.c.session_sha256 == hash_secret(secret)))

    def close_all(self, person_id: str) -> int:
        """Ends all sessions of a person; gives how many there were. Raises TransientError."""
        with self._database.begin() as connection:
            return connection.execute(SESSIONS.delete().where(SESSIONS.c.person_id == person_id)).rowcount
