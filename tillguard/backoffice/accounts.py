"""Opens the accounts of an installation: people, sessions, access tokens and the audit trail, over one database."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from backoffice.accounts.access_tokens import AccessTokens
from backoffice.accounts.passwords import Passwords
from backoffice.accounts.people import People
from backoffice.accounts.permissions import EVERYWHERE, Role
from backoffice.accounts.principal import Grant, Principal
from backoffice.accounts.sessions import SessionLimits, Sessions
from backoffice.accounts.sign_in import SignIn
from backoffice.audit.trail import AuditTrail
from backoffice.database import open_database
from contract.clock import Clock, SystemClock
from contract.sections.backoffice import BackofficeSettings
from runtime.database import Database


@dataclass(frozen=True, slots=True)
class Accounts:
    """What keeps and checks them; used by any number of threads."""

    database: Database
    trail: AuditTrail
    people: People
    sessions: Sessions
    sign_in: SignIn
    tokens: AccessTokens


def build_accounts(database: Database, settings: BackofficeSettings, clock: Clock) -> Accounts:
    """Puts them together over a database that is up to date."""
    trail, passwords = AuditTrail(database, clock), Passwords()
    limits = SessionLimits(timedelta(minutes=settings.session_idle_minutes), timedelta(hours=settings.session_hours))
    sessions = Sessions(database, limits, clock)
    return Accounts(
        database,
        trail,
        People(database, trail, passwords, clock),
        sessions,
        SignIn(database, trail, passwords, sessions, clock),
        AccessTokens(database, trail, clock),
    )


@contextmanager
def open_accounts(settings: BackofficeSettings) -> Iterator[Accounts]:
    """Those of the settings' database, which is made where it is missing; raises ConfigurationError, TransientError."""
    database = open_database(settings.database_url.get_secret_value())
    try:
        yield build_accounts(database, settings, SystemClock())
    finally:
        database.close()


def find_shell_principal() -> Principal:
    """Whoever gives a command on this machine: who can read the settings can do everything in the database anyway."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a user without a name
        user = "unknown"
    return Principal("shell", user[:64], user[:64], frozenset({Grant(EVERYWHERE, Role.ADMIN)}))
