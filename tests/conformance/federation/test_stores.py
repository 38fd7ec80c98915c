"""One suite over every store of checkpoints."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from contract.errors import ConfigurationError, InvariantError
from federation.store import Checkpoint, MemoryStore, SqlStore, Store

FIRST = Checkpoint({"control": 3, "updates": 7}, b"\x00state", 1_000)
SECOND = Checkpoint({"control": 5, "updates": 9}, bytes(range(256)) * 5_000, 2_000)


@pytest.fixture(params=["memory", "sqlite", pytest.param("mariadb", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    url = f"sqlite:///{tmp_path / 'new' / 'checkpoints.db'}"
    if request.param == "mariadb":
        url = str(request.getfixturevalue("stack").endpoints["mariadb"].uri)
    made = SqlStore(url, setting="federation.coordinator.store_url")
    yield made
    made.close()


def test_what_is_saved_is_loaded_and_replaces_what_was_before(store: Store, retailer_name: str) -> None:
    assert store.load(retailer_name) is None
    store.save(retailer_name, FIRST)
    assert store.load(retailer_name) == FIRST
    store.save(retailer_name, SECOND)
    assert store.load(retailer_name) == SECOND


def test_owners_do_not_see_each_other(store: Store, retailer_name: str) -> None:
    store.save(f"{retailer_name}/a", FIRST)
    store.save(f"{retailer_name}/b", SECOND)
    assert store.load(f"{retailer_name}/a") == FIRST


def test_a_damaged_checkpoint_is_never_believed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'checkpoints.db'}"
    store = SqlStore(url, setting="x")
    store.save("coordinator/f", FIRST)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE federation_checkpoints SET state = x'00'"))
    engine.dispose()
    with pytest.raises(InvariantError, match="damaged"):
        store.load("coordinator/f")
    store.close()


def test_a_store_opened_again_holds_what_it_held(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'checkpoints.db'}"
    for checkpoint in (FIRST, SECOND):
        store = SqlStore(url, setting="x")
        store.save("coordinator/f", checkpoint)
        store.close()
    again = SqlStore(url, setting="x")
    assert again.load("coordinator/f") == SECOND
    again.close()


def test_a_url_that_is_none_names_the_setting_and_not_the_url() -> None:
    with pytest.raises(ConfigurationError, match=r"federation\.participant\.store_url") as error:
        SqlStore("nonsense://user:secret@host", setting="federation.participant.store_url")
    assert "secret" not in str(error.value)
