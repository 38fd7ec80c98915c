"""What the examples store promises on every database: nothing lost, nothing doubled, whatever the order; bounded."""

import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from contract.clock import to_epoch_ms
from contract.errors import ConfigurationError, TransientError
from contract.features import get_feature_names, get_schema_hash
from contract.windows import DAY_MS
from support.learning import BEGAN, feature_record, label
from trainer.examples import store as example_store
from trainer.examples.labels import Known
from trainer.examples.store import ExampleStore
from trainer.examples.tables import METADATA

Opener = Callable[[str], ExampleStore]
LATER = BEGAN + timedelta(days=60)
UNBOUNDED: dict[str, Any] = {"examples_max": 10**9, "examples_days": 36_500.0, "frauds_days": 36_500.0}


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.integration)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'deep' / 'examples.db'}"
        return
    stack, name = request.getfixturevalue("stack"), request.getfixturevalue("retailer_name").replace("-", "_")
    server = sa.create_engine(stack.endpoints["mariadb"].uri)
    with server.begin() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    yield f"{stack.endpoints['mariadb'].uri}/{name}"
    with server.begin() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name}"))
    server.dispose()


@pytest.fixture
def opened(url: str) -> Iterator[Opener]:
    stores: list[ExampleStore] = []

    def opener(retailer: str = "shop") -> ExampleStore:
        stores.append(ExampleStore(url, retailer))
        return stores[-1]

    yield opener
    for each in stores:
        each.close()


@pytest.fixture
def store(opened: Opener) -> ExampleStore:
    return opened("shop")


def known(store: ExampleStore) -> dict[str, Known]:
    return {each.transaction_id: each for page in store.read_known() for each in page}


def column(store: ExampleStore, ids: list[str]) -> dict[str, float]:
    return {
        ids[place]: float(row[0])
        for places, rows in store.read_features(ids)
        for place, row in zip(places, rows, strict=True)
    }


def test_features_and_labels_wait_for_each_other(store: ExampleStore) -> None:
    store.put([feature_record(1)], [label(2)])
    assert known(store)["t-1"].revisions == ()
    assert "t-2" not in known(store)
    store.put([feature_record(2)], [label(1, fraud=False)])
    assert [revision.fraud for revision in known(store)["t-1"].revisions] == [False]
    assert [revision.fraud for revision in known(store)["t-2"].revisions] == [True]
    assert store.count() == (1, 1, 0)


def test_what_more_than_one_label_came_for_can_be_asked_for_alone(opened: Opener) -> None:
    store, other = opened("shop"), opened("other")
    store.put(
        [feature_record(number) for number in range(4)], [label(1), label(2), label(2, fraud=False, day=3), label(9)]
    )
    other.put([feature_record(3)], [label(3), label(3, fraud=False, day=3)])
    (found,) = [each for page in store.read_known(relabelled=True) for each in page]
    assert found == known(store)["t-2"]
    assert len(found.revisions) == 2


def test_the_same_again_changes_nothing(store: ExampleStore) -> None:
    records, labels = [feature_record(number) for number in range(5)], [label(1), label(2, fraud=False)]
    assert store.put(records, labels) == 2
    before, numbers = known(store), store.read_label_number()
    assert store.put(records, labels) == 0
    assert store.put([], [*labels, *labels]) == 0
    assert known(store) == before
    assert store.read_label_number() == numbers


def test_every_revision_is_kept_and_the_latest_label_time_holds_in_any_order(
    opened: Opener, chance: random.Random
) -> None:
    revisions = [
        label(1, fraud=True, day=1, source="customer"),
        label(1, fraud=False, day=2, source="analyst"),
        label(1, fraud=True, day=3, kind="card_testing"),
        label(1, fraud=False, day=2.5, source="review"),
    ]
    for run in range(3):
        store = opened(f"shop-{run}")
        store.put([feature_record(1)], [])
        for each in chance.sample(revisions, len(revisions)):
            store.put([], [each])
        assert [revision.source for revision in store.list_revisions("t-1")] == [
            "customer",
            "analyst",
            "review",
            "chargeback",
        ]
        assert store.count() == (1, 0, 0)


def test_of_two_labels_of_one_moment_the_one_that_came_last_holds(store: ExampleStore) -> None:
    both = [label(1, fraud=True), label(1, fraud=False)]
    store.put([feature_record(1)], both)
    assert store.count() == (0, 1, 0)
    store.put([], both)  # delivered again: still the same one
    assert store.count() == (0, 1, 0)


def test_transactions_come_in_order_of_event_time_and_application_over_any_number_of_pages(
    store: ExampleStore, monkeypatch: pytest.MonkeyPatch, chance: random.Random
) -> None:
    monkeypatch.setattr(example_store, "PAGE", 7)
    monkeypatch.setattr(example_store, "IDS_MAX", 5)
    records = [
        feature_record(number, event_time=BEGAN + timedelta(minutes=number // 4), applied_seq=100 - number)
        for number in range(40)
    ]
    chance.shuffle(records)
    store.put(records, [label(number) for number in range(0, 40, 3)])
    found = [each for page in store.read_known() for each in page]
    expected = sorted(records, key=lambda record: (record.event_time, record.applied_seq))
    assert [each.transaction_id for each in found] == [record.transaction_id for record in expected]
    assert [bool(each.revisions) for each in found] == [int(each.transaction_id[2:]) % 3 == 0 for each in found]
    ids = [each.transaction_id for each in found]
    assert column(store, ids) == {name: float(name[2:]) for name in ids}


def test_all_that_serving_recorded_is_kept(store: ExampleStore) -> None:
    record = feature_record(3, decision="flag", control=True, amount_base_minor=10**13, entities=b"\x01\x00" + b"x" * 8)
    store.put([record], [])
    (each,) = known(store).values()
    assert (each.decision, each.control, each.amount_base_minor) == ("flag", True, 10**13)
    assert each.event_time_ms == to_epoch_ms(record.event_time)
    ((places, rows),) = store.read_features(["gone", "t-3"])
    assert places == [1]
    assert rows.tobytes() == record.values
    assert np.isnan(rows[0, 1:]).all()


def test_rows_of_a_schema_that_this_one_begins_with_are_widened_and_of_others_left_out(store: ExampleStore) -> None:
    values = np.arange(len(get_feature_names(1)), dtype="<f4").tobytes()
    store.put(
        [
            feature_record(1, feature_schema=get_schema_hash(1), values=values),
            feature_record(2, feature_schema="v0-0123456789ab", values=values),
            feature_record(3, values=values),
        ],
        [],
    )
    ((places, rows),) = store.read_features(["t-1", "t-2", "t-3"])
    assert places == [0]
    assert rows.shape == (1, len(get_feature_names()))
    assert rows[0, : len(get_feature_names(1))].tobytes() == values
    assert np.isnan(rows[0, len(get_feature_names(1)) :]).all()


def test_outcomes_are_told_of_frauds_and_of_what_was_called_one_before(store: ExampleStore) -> None:
    row = np.full(len(get_feature_names()), np.nan, dtype="<f4")
    unusual = row.copy()
    unusual[get_feature_names().index("customer_usual_ratio")] = 9.0
    named = b"\x01\x00" + b"x" * 8
    store.put(
        [
            feature_record(1, values=row.tobytes(), entities=named),
            feature_record(2, values=unusual.tobytes(), entities=named),
            feature_record(3, values=row.tobytes()),  # from before schema v2: names nobody
            feature_record(4, values=row.tobytes(), entities=named),
            feature_record(5, values=row.tobytes(), entities=named),
        ],
        [label(1), label(2), label(3), label(4, fraud=False), label(5), label(5, fraud=False, day=30)],
    )
    told = {each.transaction_id: each for each in store.read_outcomes([f"t-{n}" for n in range(1, 7)], LATER)}
    assert {name: (each.fraud, each.plain) for name, each in told.items()} == {
        "t-1": (True, True), "t-2": (True, False), "t-5": (False, False),
    }  # fmt: skip
    assert told["t-1"].entities == named


def test_labels_are_found_by_the_time_of_their_transaction_and_by_their_own(store: ExampleStore) -> None:
    store.put(
        [feature_record(number) for number in range(4)], [label(1), label(3, day=2), label(3, day=9, fraud=False)]
    )
    third = BEGAN + timedelta(minutes=3)
    assert store.list_labelled_since(to_epoch_ms(third)) == ["t-3"]
    assert store.list_labelled_since(0) == ["t-1", "t-3"]
    assert store.list_labelled_between(BEGAN, third + timedelta(days=2)) == ["t-1", "t-3"]
    assert store.list_labelled_between(third + timedelta(days=2), LATER) == ["t-3"]
    assert store.list_labelled_between(third + timedelta(days=9), LATER) == []


def test_retailers_share_a_database_and_nothing_in_it(opened: Opener) -> None:
    one, other = opened("shop"), opened("other")
    one.put([feature_record(1)], [label(1)])
    assert other.count().total == other.read_label_number() == other.count_new_labels() == 0
    other.put([feature_record(1, retailer="other")], [])
    other.forget(["t-1"])
    assert one.count() == (1, 0, 0)


def test_ids_that_differ_in_case_are_different_transactions(store: ExampleStore) -> None:
    store.put([feature_record(1, transaction_id="A"), feature_record(2, transaction_id="a")], [])
    store.put([], [label(1, transaction_id="A"), label(1, transaction_id="a", fraud=False)])
    assert {name: each.revisions[0].fraud for name, each in known(store).items()} == {"A": True, "a": False}


def test_what_is_forgotten_is_gone_with_its_labels(store: ExampleStore) -> None:
    store.put([feature_record(1), feature_record(2)], [label(1), label(2)])
    store.forget(["t-1", "never-seen"])
    assert list(known(store)) == ["t-2"]
    assert store.list_revisions("t-1") == []


def test_labels_since_the_last_training_are_counted_over_restarts(opened: Opener) -> None:
    store = opened("shop")
    assert store.count_new_labels() == 0
    store.put([feature_record(1)], [label(1), label(2)])
    assert store.count_new_labels() == 2
    number = store.read_label_number()
    store.put([], [label(3)])
    store.note_training_ended(number, BEGAN)
    assert opened("shop").count_new_labels() == 1


def test_age_takes_genuine_ones_first_and_frauds_later(store: ExampleStore) -> None:
    day = 1_440
    store.put(
        [feature_record(number * day) for number in range(10)],
        [
            label(0),
            label(day, fraud=False),
            label(6 * day, fraud=False),
            label(7 * day),
            label(-90 * day),
            label(90 * day),
        ],
    )
    assert store.prune(**UNBOUNDED) == 0
    assert store.prune(examples_max=10**9, examples_days=4, frauds_days=8) == 5
    assert sorted(known(store)) == sorted(f"t-{number * day}" for number in range(5, 10))
    assert store.list_revisions(f"t-{day}") == []
    assert store.list_revisions(f"t-{-90 * day}") == []  # no transaction ever came for it
    assert len(store.list_revisions(f"t-{90 * day}")) == 1  # this one may still come


def test_count_takes_the_oldest_and_frauds_only_when_nothing_else_is_left(
    store: ExampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example_store, "IDS_MAX", 3)
    store.put([feature_record(number) for number in range(30)], [label(number) for number in range(0, 30, 5)])
    assert store.prune(**UNBOUNDED | {"examples_max": 12}) == 18
    assert sorted(int(name[2:]) for name in known(store)) == [0, 5, 10, 15, 20, 23, 24, 25, 26, 27, 28, 29]
    assert store.prune(**UNBOUNDED | {"examples_max": 4}) == 8
    assert sorted(int(name[2:]) for name in known(store)) == [10, 15, 20, 25]


def test_the_watermark_is_the_newest_event_time(store: ExampleStore) -> None:
    assert store.read_watermark_ms() is None
    store.put([feature_record(1_440), feature_record(1)], [])
    assert store.read_watermark_ms() == to_epoch_ms(BEGAN) + DAY_MS


def test_the_migrations_make_the_tables_that_the_code_reads_and_can_be_taken_back(
    store: ExampleStore, url: str
) -> None:
    from alembic import command
    from alembic.config import Config

    engine = sa.create_engine(url)
    for table in METADATA.tables.values():
        assert {found["name"] for found in sa.inspect(engine).get_columns(table.name)} == set(table.columns.keys())
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", "trainer.examples:migrations")
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert set(sa.inspect(engine).get_table_names()) == {"examples_version"}
    engine.dispose()


def test_a_full_disk_takes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    store = ExampleStore(f"sqlite:///{tmp_path / 'examples.db'}", "shop")
    store.put([feature_record(1)], [label(1)])
    sa.event.listen(
        store._database._engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1")
    )
    store._database._engine.dispose()
    with pytest.raises(TransientError, match="full"):
        store.put([feature_record(number) for number in range(2, 900)], [label(2)])
    assert list(known(store)) == ["t-1"]
    assert store.list_revisions("t-2") == []
    store.close()


def test_urls_that_cannot_be_used_are_said_without_their_password() -> None:
    with pytest.raises(ConfigurationError, match="examples_url"):
        ExampleStore("secret://password@nowhere", "shop")
    with pytest.raises(TransientError) as raised:
        ExampleStore("mysql+pymysql://ann:hunter2@127.0.0.1:1/examples", "shop")
    assert "hunter2" not in str(raised.value)


def test_registry_and_examples_may_share_a_database(tmp_path: Path) -> None:
    from support.tiny_model import tiny_package
    from trainer.registry.registry import Registry

    shared: dict[str, Any] = {"url": f"sqlite:///{tmp_path / 'both.db'}"}
    registry = Registry(shared["url"], tmp_path / "packages")
    store = ExampleStore(shared["url"], "shop")
    store.put([feature_record(1)], [])
    registry.add(tiny_package("m-1"))
    registry.close()
    store.close()
    again = ExampleStore(shared["url"], "shop")
    assert again.count().total == 1
    again.close()
