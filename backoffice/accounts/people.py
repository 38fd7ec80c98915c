"""People in the database: their names, passwords and roles.

Invariant: what changes a person and the audit entry that tells of it stand in one transaction. Roles at a retailer are told in that
retailer's chain, all else in the installation's.
"""

import re
import secrets
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from pydantic import SecretStr

from backoffice.accounts.passwords import Passwords, list_password_faults
from backoffice.accounts.permissions import EVERYWHERE, Action, Role
from backoffice.accounts.principal import Grant, Principal
from backoffice.accounts.tables import LINKS, PEOPLE, ROLES, SESSIONS
from backoffice.audit.trail import AuditTrail
from backoffice.refusals import FieldFault, InvalidInputError, StateConflictError, UnknownObjectError
from contract.clock import Clock, from_epoch_ms, to_epoch_ms
from contract.sections.section import IN_WORDS, NAME
from runtime.database import Database

NAME_MAX = 120
_NAME = re.compile(r"[^\s/\\<>\"]{1,120}")


@dataclass(frozen=True, slots=True)
class Person:
    """One who signs in."""

    person_id: str
    name: str
    """A user name or an e-mail address, in small letters."""
    grants: frozenset[Grant]
    has_password: bool
    made_at: datetime
    disabled_at: datetime | None

    def as_principal(self) -> Principal:
        """As whom the person asks; a disabled one may do nothing."""
        return Principal("person", self.person_id, self.name, self.grants if self.disabled_at is None else frozenset())


class People:
    """Used by any number of threads and processes."""

    def __init__(self, database: Database, trail: AuditTrail, passwords: Passwords, clock: Clock) -> None:
        self._database = database
        self._trail = trail
        self._passwords = passwords
        self._clock = clock

    def create(self, by: Principal, name: str, grants: Collection[Grant], password: SecretStr | None = None) -> Person:
        """A new person; without a password only a sign-in link or an identity provider lets that person in.

        Raises InvalidInputError, StateConflictError where the name is taken, TransientError.
        """
        known = normalise_name(name)
        faults = (
            [] if known else [FieldFault("/name", "form", "a user name or e-mail address of visible letters is needed")]
        )
        faults += _list_retailer_faults(each.retailer for each in grants)
        faults += list_password_faults(password, known or "") if password is not None else []
        if faults or known is None:
            raise InvalidInputError(faults)
        hashed = None if password is None else self._passwords.hash(password)
        person_id, now_ms = secrets.token_hex(8), to_epoch_ms(self._clock.now())
        row: dict[str, object] = {
            "person_id": person_id,
            "name": known,
            "password_hash": hashed,
            "made_ms": now_ms,
            "made_by": by.name,
        }
        with self._database.begin() as connection:
            _insert_person(connection, row)
            for grant in grants:
                _insert_role(connection, person_id, grant, by.name)
            self._record(connection, by, EVERYWHERE, person_id, "created")
            for retailer in sorted({each.retailer for each in grants} - {EVERYWHERE}):
                self._record(connection, by, retailer, person_id, _tell_roles(grants, retailer))
            return read_person(connection, PEOPLE.c.person_id == person_id)

    def find(self, name: str) -> Person:
        """The person of that name; raises UnknownObjectError, TransientError."""
        with self._database.begin() as connection:
            return read_person(connection, PEOPLE.c.name == (normalise_name(name) or ""))

    def get(self, person_id: str) -> Person:
        """The person of that id; raises UnknownObjectError, TransientError."""
        with self._database.begin() as connection:
            return read_person(connection, PEOPLE.c.person_id == person_id)

    def list_people(self, retailer: str = EVERYWHERE) -> Sequence[Person]:
        """Who has a role at `retailer`, or there are at all, by name; raises TransientError.

        Of one retailer's people only the roles there are told, and those that hold everywhere.
        """
        chosen = sa.select(PEOPLE.c.person_id).order_by(PEOPLE.c.name)
        if retailer != EVERYWHERE:
            there = sa.select(ROLES.c.person_id).where(ROLES.c.retailer.in_([retailer, EVERYWHERE]))
            chosen = chosen.where(PEOPLE.c.person_id.in_(there))
        with self._database.begin() as connection:
            ids = connection.scalars(chosen).all()
            people = [read_person(connection, PEOPLE.c.person_id == each) for each in ids]
        return [_limit_to(each, retailer) for each in people]

    def set_roles(self, by: Principal, person_id: str, retailer: str, roles: Collection[Role]) -> Person:
        """Exactly these roles at that retailer from now on; other retailers' stay. Raises as `create`, and UnknownObjectError."""
        if faults := _list_retailer_faults([retailer]):
            raise InvalidInputError(faults)
        grants = [Grant(retailer, role) for role in sorted(set(roles))]
        with self._database.begin() as connection:
            _take(connection, person_id)
            before = read_person(connection, PEOPLE.c.person_id == person_id)
            if {each for each in before.grants if each.retailer == retailer} == set(grants):
                return before
            connection.execute(ROLES.delete().where(ROLES.c.person_id == person_id, ROLES.c.retailer == retailer))
            for grant in grants:
                _insert_role(connection, person_id, grant, by.name)
            self._record(connection, by, retailer, person_id, _tell_roles(grants, retailer))
            return read_person(connection, PEOPLE.c.person_id == person_id)

    def set_password(self, by: Principal, person_id: str, password: SecretStr) -> None:
        """From now on; all sessions and sign-in links of the person end. Raises as `create`, and UnknownObjectError."""
        person = self.get(person_id)
        if faults := list_password_faults(password, person.name):
            raise InvalidInputError(faults)
        hashed = self._passwords.hash(password)
        with self._database.begin() as connection:
            connection.execute(PEOPLE.update().where(PEOPLE.c.person_id == person_id).values(password_hash=hashed))
            _end_access(connection, person_id)
            self._record(connection, by, EVERYWHERE, person_id, "password set")

    def disable(self, by: Principal, person_id: str) -> None:
        """Lets the person in no more, and ends what is open; again changes nothing. Raises UnknownObjectError, TransientError."""
        chosen = PEOPLE.update().where(PEOPLE.c.person_id == person_id)
        with self._database.begin() as connection:
            changed = connection.execute(
                chosen.where(PEOPLE.c.disabled_ms.is_(None)).values(disabled_ms=to_epoch_ms(self._clock.now()))
            ).rowcount
            read_person(connection, PEOPLE.c.person_id == person_id)
            _end_access(connection, person_id)
            if changed:
                self._record(connection, by, EVERYWHERE, person_id, "disabled")

    def enable(self, by: Principal, person_id: str) -> None:
        """Lets a disabled person in again; again changes nothing. Raises UnknownObjectError, TransientError."""
        chosen = PEOPLE.update().where(PEOPLE.c.person_id == person_id)
        with self._database.begin() as connection:
            changed = connection.execute(
                chosen.where(PEOPLE.c.disabled_ms.is_not(None)).values(disabled_ms=None)
            ).rowcount
            read_person(connection, PEOPLE.c.person_id == person_id)
            if changed:
                self._record(connection, by, EVERYWHERE, person_id, "enabled")

    def _record(self, connection: sa.Connection, by: Principal, retailer: str, person_id: str, change: str) -> None:
        self._trail.record_with(
            connection, by.who, retailer, Action.WRITE_USERS, f"person:{person_id}", details={"change": change}
        )


def normalise_name(name: str) -> str | None:
    """As it is kept and compared; None where it cannot be a name."""
    text = unicodedata.normalize("NFC", name).strip().casefold()
    return text if _NAME.fullmatch(text) and text.isprintable() else None


def read_person(connection: sa.Connection, where: sa.ColumnElement[bool]) -> Person:
    """The one person that `where` chooses; raises UnknownObjectError."""
    row = connection.execute(PEOPLE.select().where(where)).one_or_none()
    if row is None:
        raise UnknownObjectError("there is no such person; `tillguard backoffice users list` shows all")
    given = connection.execute(ROLES.select().where(ROLES.c.person_id == row.person_id)).all()
    return Person(
        person_id=row.person_id,
        name=row.name,
        grants=frozenset(Grant(each.retailer, Role(each.role)) for each in given),
        has_password=row.password_hash is not None,
        made_at=from_epoch_ms(row.made_ms),
        disabled_at=None if row.disabled_ms is None else from_epoch_ms(row.disabled_ms),
    )


def _insert_person(connection: sa.Connection, row: dict[str, object]) -> None:
    text = (
        "INSERT INTO people (person_id, name, password_hash, made_ms, made_by)"
        " VALUES (:person_id, :name, :password_hash, :made_ms, :made_by) ON CONFLICT (name) DO NOTHING"
    )
    if not connection.execute(sa.text(text), row).rowcount:
        raise StateConflictError("taken", "there is a person of that name already")


def _insert_role(connection: sa.Connection, person_id: str, grant: Grant, given_by: str) -> None:
    row = {"person_id": person_id, "retailer": grant.retailer, "role": grant.right, "given_by": given_by}
    connection.execute(ROLES.insert().values(**row))


def _take(connection: sa.Connection, person_id: str) -> None:
    """Others that change the same person wait: the transaction's first statement writes."""
    connection.execute(PEOPLE.update().where(PEOPLE.c.person_id == person_id).values(person_id=person_id))


def _end_access(connection: sa.Connection, person_id: str) -> None:
    for table in (SESSIONS, LINKS):
        connection.execute(table.delete().where(table.c.person_id == person_id))


def _list_retailer_faults(retailers: Iterable[str]) -> list[FieldFault]:
    wrong = any(each != EVERYWHERE and re.fullmatch(NAME, each) is None for each in retailers)
    return [FieldFault("/retailer", "pattern", f"{IN_WORDS[NAME]}, or * for all retailers")] if wrong else []


def _limit_to(person: Person, retailer: str) -> Person:
    if retailer == EVERYWHERE:
        return person
    told = frozenset(each for each in person.grants if each.retailer in (retailer, EVERYWHERE))
    return Person(person.person_id, person.name, told, person.has_password, person.made_at, person.disabled_at)


def _tell_roles(grants: Iterable[Grant], retailer: str) -> str:
    return "roles: " + (", ".join(sorted(each.right for each in grants if each.retailer == retailer)) or "none")
