"""Signing in: by password, by a link that is good once, by an identity provider; and out again. Each is in the audit trail.

A refusal has the same words and costs the same whether or not there is such a person: the same counting, one hash, one entry.
"""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from pydantic import SecretStr

from backoffice.accounts.attempts import Attempts
from backoffice.accounts.passwords import Passwords
from backoffice.accounts.people import Person, normalise_name, read_person
from backoffice.accounts.permissions import EVERYWHERE
from backoffice.accounts.principal import Principal
from backoffice.accounts.secret_text import hash_secret, make_secret
from backoffice.accounts.sessions import Sessions
from backoffice.accounts.tables import LINKS, PEOPLE
from backoffice.audit.chain import Who
from backoffice.audit.trail import AuditTrail
from backoffice.refusals import NotSignedInError, UnknownObjectError
from contract.clock import Clock, to_epoch_ms
from runtime.database import Database

OPEN = "session.open"
CLOSE = "session.close"
MAKE_LINK = "sign_in_link.make"
LINK_LASTS = timedelta(minutes=15)
_SOMEBODY = Who("anonymous", "", "")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """An open session, with the only copy of its secret."""

    person: Person
    session: SecretStr


class SignIn:
    """Used by any number of threads and processes."""

    def __init__(
        self,
        database: Database,
        trail: AuditTrail,
        passwords: Passwords,
        sessions: Sessions,
        clock: Clock,
    ) -> None:
        self._database = database
        self._trail = trail
        self._passwords = passwords
        self._sessions = sessions
        self._attempts = Attempts(database, clock)
        self._clock = clock

    def open_by_password(
        self, name: str, password: SecretStr, address: str, previous: SecretStr | None = None
    ) -> SignedIn:
        """A new session; `address` is the browser's, `previous` the session that it had, which ends.

        Raises NotSignedInError, WaitRequiredError after too many failures, TransientError.
        """
        known = normalise_name(name) or ""
        self._attempts.begin(known, address)
        row = self._find_row(PEOPLE.c.name == known)
        kept = None if row is None else row.password_hash
        matches = self._passwords.verify(kept, password)
        if row is None or kept is None or not matches or row.disabled_ms is not None:
            raise self._refuse("?" if row is None else row.person_id, "password")
        rehashed = self._passwords.hash(password) if self._passwords.needs_rehash(kept) else None
        with self._database.begin() as connection:
            # The password may have been changed, or the person disabled, while the hash was computed.
            still = PEOPLE.update().where(
                PEOPLE.c.person_id == row.person_id, PEOPLE.c.password_hash == kept, PEOPLE.c.disabled_ms.is_(None)
            )
            if not connection.execute(still.values(password_hash=rehashed or kept)).rowcount:
                raise NotSignedInError
            signed_in = self._open(connection, row.person_id, "password", previous)
        self._attempts.forgive(known, address)
        return signed_in

    def make_link(self, by: Principal, person_id: str, lasts: timedelta = LINK_LASTS) -> SecretStr:
        """A secret that lets this person in once, within `lasts`; raises UnknownObjectError, TransientError."""
        secret, now_ms = make_secret(), to_epoch_ms(self._clock.now())
        expires_ms = now_ms + lasts // timedelta(milliseconds=1)
        with self._database.begin() as connection:
            connection.execute(LINKS.delete().where(LINKS.c.expires_ms < now_ms))
            person = read_person(connection, PEOPLE.c.person_id == person_id)
            if person.disabled_at is not None:
                raise UnknownObjectError(f"{person.name} is disabled: enable this person first")
            row = {"link_sha256": hash_secret(secret), "person_id": person_id, "expires_ms": expires_ms}
            connection.execute(LINKS.insert().values(**row))
            self._trail.record_with(connection, by.who, EVERYWHERE, MAKE_LINK, f"person:{person_id}")
        return secret

    def open_by_link(self, link: SecretStr, previous: SecretStr | None = None) -> SignedIn:
        """A new session for whom the link was made; it is good once. Raises NotSignedInError, TransientError.

        To be called by a person's own click on a page, since programs that preview links follow them too.
        """
        chosen = (LINKS.c.link_sha256 == hash_secret(link)) & (LINKS.c.expires_ms > to_epoch_ms(self._clock.now()))
        with self._database.begin() as connection:
            person_id = connection.scalar(sa.select(LINKS.c.person_id).where(chosen))
            # The person's row first, as in everything that ends links.
            if (
                person_id is not None
                and _is_enabled(connection, person_id)
                and connection.execute(LINKS.delete().where(chosen)).rowcount
            ):
                return self._open(connection, person_id, "link", previous)
        raise self._refuse(person_id or "?", "link")

    def open_for(self, person_id: str, opened_with: str, previous: SecretStr | None = None) -> SignedIn:
        """A new session for somebody whom an identity provider vouches for. Raises NotSignedInError, TransientError."""
        with self._database.begin() as connection:
            if _is_enabled(connection, person_id):
                return self._open(connection, person_id, opened_with, previous)
        raise self._refuse(person_id, opened_with)

    def close(self, by: Principal, session: SecretStr) -> None:
        """Signs out; raises TransientError."""
        self._sessions.close(session)
        self._trail.record(by.who, EVERYWHERE, CLOSE, f"person:{by.principal_id}")

    def close_all(self, by: Principal, person_id: str) -> int:
        """Ends all sessions of a person; gives how many. Raises TransientError."""
        count = self._sessions.close_all(person_id)
        self._trail.record(by.who, EVERYWHERE, CLOSE, f"person:{person_id}", details={"sessions": count})
        return count

    def _open(
        self, connection: sa.Connection, person_id: str, opened_with: str, previous: SecretStr | None
    ) -> SignedIn:
        person = read_person(connection, PEOPLE.c.person_id == person_id)
        session = self._sessions.open_with(connection, person_id, opened_with, previous)
        who = person.as_principal().who
        details = {"with": opened_with}
        self._trail.record_with(connection, who, EVERYWHERE, OPEN, f"person:{person_id}", details=details)
        return SignedIn(person, session)

    def _refuse(self, person_id: str, opened_with: str) -> NotSignedInError:
        """The name that was given is not noted: people type passwords there."""
        details = {"with": opened_with}
        self._trail.record(_SOMEBODY, EVERYWHERE, OPEN, f"person:{person_id}", outcome="refused", details=details)
        return NotSignedInError()

    def _find_row(self, where: sa.ColumnElement[bool]) -> sa.Row[tuple[object, ...]] | None:
        with self._database.begin() as connection:
            return connection.execute(PEOPLE.select().where(where)).one_or_none()


def _is_enabled(connection: sa.Connection, person_id: str) -> bool:
    """Takes the person's row, so that nobody disables the person before a session stands there to be ended."""
    chosen = PEOPLE.update().where(PEOPLE.c.person_id == person_id, PEOPLE.c.disabled_ms.is_(None))
    return bool(connection.execute(chosen.values(person_id=person_id)).rowcount)
