"""Accounts over a database, with hashes that cost next to nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import SecretStr

from backoffice.accounts.passwords import HashCost, Passwords
from backoffice.accounts.people import People
from backoffice.accounts.permissions import EVERYWHERE, Role
from backoffice.accounts.principal import Grant, Principal
from backoffice.accounts.sessions import SessionLimits, Sessions
from backoffice.accounts.sign_in import SignIn
from backoffice.audit.trail import AuditTrail
from backoffice.database import open_database
from contract.clock import ManualClock
from runtime.database import Database

CHEAP = HashCost(memory_kib=8, passes=1)
ROOT = Principal("shell", "root", "root", frozenset({Grant(EVERYWHERE, Role.ADMIN)}))
PASSWORD = SecretStr("planted horse battery 7")


@dataclass(frozen=True)
class Accounts:
    """Everything that signing in needs."""

    clock: ManualClock
    database: Database
    trail: AuditTrail
    passwords: Passwords
    people: People
    sessions: Sessions
    sign_in: SignIn


@contextmanager
def open_accounts(url: str, cost: HashCost = CHEAP) -> Iterator[Accounts]:
    database, clock, passwords = open_database(url), ManualClock(datetime(2026, 5, 1, tzinfo=UTC)), Passwords(cost)
    trail = AuditTrail(database, clock)
    sessions = Sessions(database, SessionLimits(), clock)
    people = People(database, trail, passwords, clock)
    sign_in = SignIn(database, trail, passwords, sessions, clock)
    yield Accounts(clock, database, trail, passwords, people, sessions, sign_in)
    database.close()
