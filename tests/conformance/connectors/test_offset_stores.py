"""What every offset store promises: what was saved is there, what was not saved changed nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from connectors.ports import OffsetStore, Position, Saved
from connectors.running.positions import SqlOffsetStore
from contract.errors import ConfigurationError, TransientError
from support.connector_parts import NOW, MemoryStore

FRESH = Saved("orders", Position("snapshot", "a"), {"orders": {"id": "number"}}, "m1", 0, 0, NOW)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OffsetStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    made = SqlOffsetStore(f"sqlite:///{tmp_path / 'deep' / 'positions.db'}", "shop")
    yield made
    made.close()


def test_what_was_saved_is_loaded(store: OffsetStore) -> None:
    assert store.load("orders") is None
    store.save(FRESH)
    loaded = store.load("orders")
    assert loaded is not None
    assert loaded[:5] == FRESH[:5]
    assert loaded.version == 1


def test_a_save_needs_the_version_that_stands_there(store: OffsetStore) -> None:
    first = store.save(FRESH)
    second = store.save(first._replace(position=Position("stream", "b")))
    for stale in (FRESH, first):
        with pytest.raises(ConfigurationError):
            store.save(stale)
    assert store.load("orders") == second


def test_a_reset_forgets_one_connector_only(store: OffsetStore) -> None:
    store.save(FRESH)
    store.save(FRESH._replace(connector="others"))
    assert store.list_names() == ["orders", "others"]
    assert store.reset("orders")
    assert not store.reset("orders")
    assert store.list_names() == ["others"]


def test_retailers_share_a_database_and_not_a_position(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'positions.db'}"
    one, two = SqlOffsetStore(url, "shop"), SqlOffsetStore(url, "bazaar")
    one.save(FRESH)
    assert two.load("orders") is None
    assert two.list_names() == []
    one.close()
    two.close()


def test_a_full_disk_refuses_the_save_and_keeps_what_was(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'positions.db'}"
    first = SqlOffsetStore(url, "shop")
    saved = first.save(FRESH)
    first.close()
    full = SqlOffsetStore(url, "shop")
    event.listen(
        full._database._engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1")
    )
    full._database._engine.dispose()
    with pytest.raises(TransientError, match="full"):
        full.save(saved._replace(position=Position("stream", "x" * 500_000)))
    assert full.load("orders") == saved
    full.close()


@pytest.mark.parametrize("url", ["nonsense", "oracle+nosuch://x", "sqlite:////proc/no/positions.db"])
def test_an_url_that_cannot_be_opened_is_a_fault_for_a_person(url: str) -> None:
    with pytest.raises((ConfigurationError, TransientError)) as refused:
        SqlOffsetStore(url, "shop")
    assert url not in str(refused.value)
