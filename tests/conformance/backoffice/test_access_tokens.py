"""Access tokens over every database: shown once, found by hash, ended by revocation or time, each with its audit entry."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from backoffice.accounts.access_tokens import AccessTokens
from backoffice.accounts.permissions import Role, Scope
from backoffice.accounts.principal import Grant, Principal
from backoffice.accounts.token_cache import TokenCache
from backoffice.accounts.token_text import hash_token
from backoffice.audit.trail import AuditTrail
from backoffice.database import open_database
from backoffice.refusals import UnknownObjectError
from contract.clock import ManualClock
from runtime.database import Database

ANN = Principal("person", "p1", "ann", frozenset({Grant("meadow", Role.ADMIN)}))


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 5, 1, tzinfo=UTC))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def tokens(database: Database, clock: ManualClock) -> AccessTokens:
    return AccessTokens(database, AuditTrail(database, clock), clock)


def test_a_token_is_found_by_its_hash_and_nothing_of_its_text_is_kept(tokens: AccessTokens, database: Database) -> None:
    made = tokens.make(ANN, "meadow", "till 3", {Scope.SCORE, Scope.READ})
    text = made.text.get_secret_value()
    assert tokens.find_by_hash(hash_token(text)) == made.token
    assert tokens.find_by_hash(hash_token(text[:-1] + "x")) is None
    secret = text.rpartition("_")[2]
    with database.begin() as connection:
        for table in ("access_tokens", "audit_entries"):
            assert secret not in str(connection.execute(sa.text(f"SELECT * FROM {table}")).all())
    assert secret not in repr(made)


def test_a_token_of_another_retailer_can_neither_be_seen_nor_revoked(tokens: AccessTokens) -> None:
    made = tokens.make(ANN, "meadow", "till", {Scope.SCORE})
    assert tokens.list_tokens("harbour") == []
    with pytest.raises(UnknownObjectError):
        tokens.revoke(ANN, "harbour", made.token.token_id)
    assert [each.token_id for each in tokens.list_tokens("meadow")] == [made.token.token_id]


def test_making_and_revoking_stand_in_the_trail_once_each(
    tokens: AccessTokens, database: Database, clock: ManualClock
) -> None:
    made = tokens.make(ANN, "meadow", "till", {Scope.SCORE}, sandbox=True)
    first = tokens.revoke(ANN, "meadow", made.token.token_id)
    clock.advance(60)
    assert tokens.revoke(ANN, "meadow", made.token.token_id) == first
    trail = AuditTrail(database, clock)
    entries = trail.list_entries("meadow")
    assert [(each.action, each.object, each.who_name) for each in entries] == [
        ("tokens.revoke", f"token:{made.token.token_id}", "ann"),
        ("tokens.make", f"token:{made.token.token_id}", "ann"),
    ]
    assert entries[1].details == {"name": "till", "scopes": "score", "sandbox": True}
    assert trail.verify("meadow").holds


def test_use_is_noted_by_the_hour(tokens: AccessTokens, clock: ManualClock) -> None:
    cache = TokenCache(tokens, clock)
    text = tokens.make(ANN, "meadow", "till", {Scope.SCORE}).text.get_secret_value()
    seen = []
    for seconds in (0, 600, 3_600):
        clock.advance(seconds)
        assert cache.authenticate(text) is not None
        seen.append(tokens.list_tokens("meadow")[0].last_used_at)
    began = datetime(2026, 5, 1, tzinfo=UTC)
    assert seen == [began, began, began + timedelta(seconds=4_200)]


def test_a_token_ends_when_it_expires(tokens: AccessTokens, clock: ManualClock) -> None:
    cache = TokenCache(tokens, clock)
    text = tokens.make(ANN, "meadow", "till", {Scope.SCORE}, expires_at=clock.now() + timedelta(seconds=1)).text
    assert cache.authenticate(text.get_secret_value()) is not None
    clock.advance(1)
    assert cache.authenticate(text.get_secret_value()) is None


def test_what_another_process_revokes_is_refused_a_moment_later(
    tokens: AccessTokens, database_url: str, clock: ManualClock
) -> None:
    cache = TokenCache(tokens, clock)
    made = tokens.make(ANN, "meadow", "till", {Scope.SCORE})
    assert cache.authenticate(made.text.get_secret_value()) == made.token.as_principal()
    other = open_database(database_url)
    AccessTokens(other, AuditTrail(other, clock), clock).revoke(ANN, "meadow", made.token.token_id)
    other.close()
    clock.advance(5)
    assert cache.authenticate(made.text.get_secret_value()) is None
