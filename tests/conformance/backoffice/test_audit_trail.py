"""The audit trail over every database: appended by several at once without a gap, and every change of it is found."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing import get_context

import pytest
import sqlalchemy as sa

from backoffice.audit.chain import Head, Who
from backoffice.audit.trail import ENTRIES, HEADS, AuditTrail
from backoffice.database import open_database
from contract.clock import ManualClock, SystemClock
from runtime.database import Database

ANN = Who("person", "p1", "ann")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    opened = open_database(database_url)
    yield opened
    opened.close()


@pytest.fixture
def trail(database: Database) -> AuditTrail:
    return AuditTrail(database, ManualClock(datetime(2026, 5, 1, tzinfo=UTC)))


def append(url: str, count: int) -> None:
    with closing(open_database(url)) as database:
        trail = AuditTrail(database, SystemClock())
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda number: trail.record(ANN, "meadow", "cases.decide", f"case:{number}"), range(count)))


def test_two_processes_of_two_threads_append_one_chain(trail: AuditTrail, database_url: str) -> None:
    context = get_context("spawn")
    others = [context.Process(target=append, args=(database_url, 20)) for _ in range(2)]
    for each in others:
        each.start()
    for each in others:
        each.join(60)
    assert [each.exitcode for each in others] == [0, 0]
    finding = trail.verify("meadow")
    assert finding == (trail.find_head("meadow"), "")
    assert finding.head.following == 40


def test_an_entry_of_a_transaction_that_fails_does_not_stand_there(trail: AuditTrail, database: Database) -> None:
    trail.record(ANN, "meadow", "cases.decide", "case:1")

    def fail() -> None:
        with database.begin() as connection:
            trail.record_with(connection, ANN, "meadow", "cases.decide", "case:2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    trail.record(ANN, "meadow", "cases.decide", "case:3")
    assert [each.object for each in trail.list_entries("meadow")] == ["case:3", "case:1"]
    assert trail.verify("meadow").holds


def test_pages_go_back_in_time_without_a_gap_and_each_retailer_has_its_own(trail: AuditTrail) -> None:
    for number in range(7):
        trail.record(ANN, "meadow", "cases.decide", f"case:{number}", details={"outcome": "fraud", "cents": number})
        trail.record(ANN, "harbour", "cases.decide", "elsewhere")
    seen, before = [], None
    while page := trail.list_entries("meadow", before=before, limit=3):
        seen += [each.object for each in page]
        before = page[-1].number
    assert seen == [f"case:{number}" for number in reversed(range(7))]
    assert trail.list_chains() == ["harbour", "meadow"]


def changed_row(connection: sa.Connection, number: int) -> None:
    connection.execute(ENTRIES.update().where(ENTRIES.c.number == number).values(who_name="bob"))


def deleted_row(connection: sa.Connection, number: int) -> None:
    connection.execute(ENTRIES.delete().where(ENTRIES.c.number == number))


def inserted_row(connection: sa.Connection, number: int) -> None:
    row = connection.execute(ENTRIES.select().where(ENTRIES.c.number == number)).one()
    for later in range(9, number, -1):
        connection.execute(ENTRIES.update().where(ENTRIES.c.number == later).values(number=later + 1))
    connection.execute(ENTRIES.insert().values(**row._asdict() | {"number": number + 1}))


def swapped_rows(connection: sa.Connection, number: int) -> None:
    other = (number + 1) % 10
    for before, after in ((number, 99), (other, number), (99, other)):
        connection.execute(ENTRIES.update().where(ENTRIES.c.number == before).values(number=after))


def cut_rows(connection: sa.Connection, number: int) -> None:
    connection.execute(ENTRIES.delete().where(ENTRIES.c.number >= number))


@pytest.mark.parametrize("tamper", [changed_row, deleted_row, inserted_row, swapped_rows, cut_rows])
def test_every_change_of_the_record_is_found(trail: AuditTrail, database: Database, tamper: object) -> None:
    for number in range(10):
        trail.record(ANN, "meadow", "cases.decide", f"case:{number}")
    assert trail.verify("meadow").holds
    assert callable(tamper)
    with database.begin() as connection:
        tamper(connection, random.randrange(10))
    finding = trail.verify("meadow")
    assert not finding.holds
    assert "ann" not in finding.fault


def test_only_a_head_noted_outside_shows_that_the_newest_were_cut_off_with_care(
    trail: AuditTrail, database: Database
) -> None:
    heads = [Head()]
    for number in range(4):
        trail.record(ANN, "meadow", "cases.decide", f"case:{number}")
        heads.append(trail.find_head("meadow"))
    assert all(trail.verify("meadow", noted).holds for noted in heads)
    with database.begin() as connection:
        connection.execute(ENTRIES.delete().where(ENTRIES.c.number >= 3))
        connection.execute(HEADS.update().values(following=3, digest=heads[3].digest))
    assert trail.verify("meadow").holds
    assert trail.verify("meadow", heads[3]).holds
    assert "newest 1 entries" in trail.verify("meadow", heads[4]).fault
    trail.record(ANN, "meadow", "cases.decide", "something else")
    assert "noted head" in trail.verify("meadow", heads[4]).fault


def test_a_chain_that_was_deleted_whole_is_missed(trail: AuditTrail, database: Database) -> None:
    trail.record(ANN, "meadow", "cases.decide", "case:1")
    noted = trail.find_head("meadow")
    with database.begin() as connection:
        connection.execute(ENTRIES.delete())
    assert not trail.verify("meadow").holds
    with database.begin() as connection:
        connection.execute(HEADS.delete())
    assert not trail.verify("meadow", noted).holds
