"""People who sign in by an identity provider, in the database: found by the provider's name for them, made at the first time."""

import secrets

import sqlalchemy as sa

from backoffice.accounts.identity import Identity
from backoffice.accounts.people import normalise_name, read_person
from backoffice.accounts.permissions import EVERYWHERE, Action
from backoffice.accounts.principal import Grant
from backoffice.accounts.tables import PEOPLE, ROLES
from backoffice.audit.chain import Who
from backoffice.audit.trail import AuditTrail
from backoffice.refusals import NotSignedInError
from contract.clock import Clock, to_epoch_ms
from runtime.database import Database

BY = "oidc"
"""Who gave a role that the provider's claims gave."""


class Identities:
    """Used by any number of threads and processes."""

    def __init__(self, database: Database, trail: AuditTrail, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._clock = clock

    def adopt(self, identity: Identity) -> str:
        """The person of that identity, whose roles by claims are those of today; gives the person's id.

        Somebody new gets an account where the claims give a role. One whom an admin has added under that address, and who has no
        password, is the same person; an account with a password stays its own, so that a provider cannot take it over. Raises
        NotSignedInError, TransientError.
        """
        with self._database.begin() as connection:
            person_id = self._find_or_make(connection, identity)
            self._set_roles(connection, person_id, identity)
            if not read_person(connection, PEOPLE.c.person_id == person_id).grants:
                raise NotSignedInError
        return person_id

    def _find_or_make(self, connection: sa.Connection, identity: Identity) -> str:
        own = (PEOPLE.c.issuer == identity.issuer) & (PEOPLE.c.subject == identity.subject)
        known: str | None = connection.scalar(sa.select(PEOPLE.c.person_id).where(own))
        if known is not None:
            return known
        name = normalise_name(identity.name)
        if name is None:
            raise NotSignedInError
        ids = {"issuer": identity.issuer, "subject": identity.subject}
        invited = PEOPLE.update().where(
            PEOPLE.c.name == name, PEOPLE.c.password_hash.is_(None), PEOPLE.c.issuer.is_(None)
        )
        linked = connection.scalar(invited.values(**ids).returning(PEOPLE.c.person_id))
        if linked is not None:
            self._record(connection, EVERYWHERE, str(linked), "linked to the identity provider")
            return str(linked)
        if connection.scalar(sa.select(PEOPLE.c.person_id).where(PEOPLE.c.name == name)) is not None:
            raise NotSignedInError
        person_id, now_ms = secrets.token_hex(8), to_epoch_ms(self._clock.now())
        row = {"person_id": person_id, "name": name, "made_ms": now_ms, "made_by": BY} | ids
        connection.execute(PEOPLE.insert().values(**row))
        self._record(connection, EVERYWHERE, person_id, "created")
        return person_id

    def _set_roles(self, connection: sa.Connection, person_id: str, identity: Identity) -> None:
        rows = connection.execute(ROLES.select().where(ROLES.c.person_id == person_id)).all()
        there = {Grant(each.retailer, each.role): each.given_by for each in rows}
        gone = [grant for grant, by in there.items() if by == BY and grant not in identity.grants]
        new = [grant for grant in identity.grants if grant not in there]
        for retailer, role in gone:
            own = (ROLES.c.person_id == person_id) & (ROLES.c.retailer == retailer) & (ROLES.c.role == role)
            connection.execute(ROLES.delete().where(own))
        for retailer, role in new:
            values = {"person_id": person_id, "retailer": retailer, "role": role, "given_by": BY}
            connection.execute(ROLES.insert().values(**values))
        for retailer in sorted({each.retailer for each in gone + new}):
            self._record(connection, retailer, person_id, "roles by claims")

    def _record(self, connection: sa.Connection, retailer: str, person_id: str, change: str) -> None:
        who = Who("provider", BY, BY)
        details = {"change": change}
        self._trail.record_with(connection, who, retailer, Action.WRITE_USERS, f"person:{person_id}", details=details)
