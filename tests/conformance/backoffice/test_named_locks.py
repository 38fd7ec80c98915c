"""Named locks on both kinds of database: one holder at a time, freed by the holder's end, and never by its silence."""

import sqlalchemy as sa

from runtime.database import Database
from runtime.locks import LockBusyError


def open_one(url: str) -> Database:
    return Database(url, setting="test", what="the test's database")


def is_busy(database: Database, name: str) -> bool:
    try:
        database.hold(name).release()
    except LockBusyError:
        return True
    return False


def test_a_lock_has_one_holder_until_it_is_given_back(database_url: str) -> None:
    first, second = open_one(database_url), open_one(database_url)
    try:
        with first.hold("trainer-meadow") as held:
            assert held.is_still_held()
            assert is_busy(second, "trainer-meadow")
            assert not is_busy(second, "trainer-harbour"), "another name is another lock"
        assert not is_busy(second, "trainer-meadow")
    finally:
        first.close()
        second.close()


def test_a_lock_whose_session_ended_is_not_held_any_more_and_free_for_others(database_url: str) -> None:
    first, second = open_one(database_url), open_one(database_url)
    try:
        held = first.hold("trainer-meadow")
        if database_url.startswith("postgresql"):
            # As when the server was started again, or a proxy closed the connection.
            with second.begin() as connection:
                ended = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
                assert connection.execute(sa.text(ended)).scalars().all() == [True]
            assert not held.is_still_held()
        held.release()
        held.release()
        assert not is_busy(second, "trainer-meadow")
    finally:
        first.close()
        second.close()
