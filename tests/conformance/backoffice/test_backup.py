"""A backup from every kind of database into every kind: the same rows, whole or not at all."""

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from backoffice.accounts.access_tokens import AccessTokens
from backoffice.accounts.permissions import Action, Role, Scope
from backoffice.accounts.principal import Grant
from backoffice.audit.chain import Who
from backoffice.audit.trail import AuditTrail
from backoffice.backup import LEFT_OUT, back_up, restore
from backoffice.database import open_database
from backoffice.refusals import StateConflictError
from contract.errors import TillguardError
from runtime.database import Database
from support.accounts import PASSWORD, ROOT, Accounts, open_accounts
from support.postgresql import PostgreSql


@pytest.fixture
def accounts(database_url: str) -> Iterator[Accounts]:
    with open_accounts(database_url) as opened:
        opened.people.create(ROOT, "ann", [Grant("meadow", Role.ANALYST)], PASSWORD)
        AccessTokens(opened.database, opened.trail, opened.clock).make(ROOT, "meadow", "till", {Scope.SCORE})
        opened.trail.record(ROOT.who, "meadow", Action.DECIDE_CASES, "case:é", details={"cents": 5, "sure": True})
        opened.sign_in.open_by_password("ann", PASSWORD, "10.0.0.1")
        yield opened


@pytest.fixture(params=["sqlite", "postgresql"])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    server: PostgreSql = request.getfixturevalue("postgresql")
    return f"sqlite:///{tmp_path / 'other.db'}" if request.param == "sqlite" else server.create_database()


def rows_of(database: Database) -> dict[str, list[str]]:
    with database.begin() as connection:
        names = set(sa.inspect(connection).get_table_names()) - LEFT_OUT
        tables = {name: sa.Table(name, sa.MetaData(), autoload_with=connection) for name in names}
        return {name: sorted(map(repr, connection.execute(table.select()).all())) for name, table in tables.items()}


def test_everything_but_sessions_comes_back_and_the_trail_holds(accounts: Accounts, other_url: str) -> None:
    data, count = back_up(accounts.database)
    before = rows_of(accounts.database)
    assert count == sum(len(rows) for rows in before.values())
    assert min(len(before[name]) for name in ("people", "roles", "access_tokens", "audit_entries", "audit_heads")) > 0
    assert restore(other_url, data) == count
    with open_accounts(other_url) as other:
        assert rows_of(other.database) == before
        assert all(other.trail.verify(chain).holds for chain in ("*", "meadow"))
        with other.database.begin() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM sessions")) == 0
        other.sign_in.open_by_password("ann", PASSWORD, "10.0.0.1")
        with pytest.raises(StateConflictError, match="holds something already"):
            restore(other_url, data)


def test_it_shows_one_moment_while_others_write(accounts: Accounts, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        writing = [
            pool.submit(accounts.trail.record, Who("person", "p1", "ann"), "meadow", "cases.note") for _ in range(40)
        ]
        copies = [back_up(accounts.database)[0] for _ in range(3)]
        for each in writing:
            each.result()
    for number, data in enumerate(copies):
        url = f"sqlite:///{tmp_path / f'{number}.db'}"
        restore(url, data)
        with closing(open_database(url)) as copy:
            assert AuditTrail(copy, accounts.clock).verify("meadow").holds


@pytest.fixture
def backup(tmp_path: Path) -> bytes:
    with open_accounts(f"sqlite:///{tmp_path / 'one.db'}") as opened:
        opened.people.create(ROOT, "ann", [])
        return back_up(opened.database)[0]


def test_a_file_that_is_not_whole_or_was_changed_is_refused_and_nothing_is_made(backup: bytes, tmp_path: Path) -> None:
    lines = gzip.decompress(backup).splitlines(keepends=True)
    for damaged in (
        b"",
        b"not a backup",
        backup[:-20],
        gzip.compress(b""),
        gzip.compress(b"".join(lines[:-1])),
        gzip.compress(b"".join(lines[:1] + lines[2:])),
        gzip.compress(b"".join(lines).replace(b'"ann"', b'"eve"')),
    ):
        with pytest.raises(TillguardError, match="cut off or changed"):
            restore(f"sqlite:///{tmp_path / 'new.db'}", damaged)
    assert not (tmp_path / "new.db").exists()


def test_a_backup_of_a_newer_version_is_refused_in_words(backup: bytes, tmp_path: Path) -> None:
    from hashlib import sha256

    import msgspec

    lines = gzip.decompress(backup).splitlines(keepends=True)
    for head, said in (
        ({"format": "tillguard-backoffice-backup-1", "revision": "9999"}, "newer Tillguard"),
        ({"format": "tillguard-backoffice-backup-2", "revision": "0001"}, "does not know"),
    ):
        body = [msgspec.json.encode(head) + b"\n", *lines[1:-1]]
        tail = {"lines": len(body), "sha256": sha256(b"".join(body)).hexdigest()}
        with pytest.raises(TillguardError, match=said):
            restore(
                f"sqlite:///{tmp_path / 'new.db'}", gzip.compress(b"".join(body) + msgspec.json.encode(tail) + b"\n")
            )


def test_a_backup_from_before_a_migration_goes_back_and_is_brought_up_to_date(tmp_path: Path) -> None:
    old = open_database(f"sqlite:///{tmp_path / 'old.db'}", revision="0002")
    with old.begin() as connection:
        connection.execute(sa.text("INSERT INTO audit_heads VALUES ('meadow', 0, 'x')"))
    data, _ = back_up(old)
    old.close()
    url = f"sqlite:///{tmp_path / 'new.db'}"
    assert restore(url, data) == 1
    with open_accounts(url) as opened:
        assert opened.people.list_people() == []
        assert opened.trail.list_chains() == ["meadow"]
    open_database(f"sqlite:///{tmp_path / 'empty.db'}").close()
    with pytest.raises(StateConflictError):
        restore(f"sqlite:///{tmp_path / 'empty.db'}", data)
