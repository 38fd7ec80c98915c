"""The projector on a real Kafka: killed, doubled, overtaken by retention, without its database. The rows are right all the same."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import sqlalchemy as sa
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from backoffice.projection import projector as projector_module
from backoffice.projection.projector import Projector, ProjectorState
from backoffice.projection.projectors import ProjectorThreads
from backoffice.projection.read_model import SqlReadModel
from backoffice.projection.results import Entity
from backoffice.projection.store import ReadModelStore
from contract.clock import SystemClock
from contract.codec import encode
from contract.settings import Settings
from contract.topics import TRANSACTIONS
from runtime.kafka import topics
from runtime.kafka.producer import SharedProducer
from support import forked
from support.read_model import (
    KINDS,
    NOON,
    dump,
    make_alarm,
    make_label,
    make_letter,
    make_resolution,
    make_transaction,
    make_verdict,
)
from tillguard.operations.forgetting import forget

pytestmark = pytest.mark.integration
WITHIN_S = 60.0
DYING = Path(forked.__file__).with_name("dying_projector.py")


def url_in(folder: Path, name: str = "read-model") -> str:
    return f"sqlite:///{folder / f'{name}.db'}"


def tell(settings: Settings, *messages: Any) -> None:
    """Delivers the messages as the retailer's."""
    by_topic: dict[str, list[tuple[bytes, bytes | None]]] = {}
    for message in messages:
        key = getattr(message, "transaction_id", None) or getattr(message, "alarm_id", None) or "t-9"
        value = encode(message).replace(b'"acme"', f'"{settings.retailer}"'.encode())
        by_topic.setdefault(f"{settings.retailer}.{KINDS[type(message)]}.v1", []).append((key.encode(), value))
    with SharedProducer(settings.kafka, "test") as producer:
        for topic, records in by_topic.items():
            producer.deliver(topic, records)


def day_of_sales(count: int = 40) -> list[Any]:
    """Transactions with verdicts, every fourth of them resolved and labelled."""
    told: list[Any] = [make_alarm(), make_letter()]
    for at in range(count):
        name, device = f"t-{at}", f"d-{at % 5}"
        told += [make_transaction(name, device=device), make_verdict(name, decision="hold" if at % 2 else "flag")]
        if at % 4 == 0:
            told += [make_resolution(name), make_label(name), make_verdict(name, revision=2, outcome="approved")]
    return told


@contextmanager
def running(settings: Settings, url: str, **named: Any) -> Iterator[Projector]:
    made = Projector(settings, lambda: ReadModelStore(url), SystemClock(), keep_days=3650, **named)
    with ProjectorThreads([made]):
        yield made


def wait_for(made: Projector, holds: Callable[[ProjectorState], bool]) -> ProjectorState:
    deadline_s, pause = time.monotonic() + WITHIN_S, Event()
    while not holds(made.state):
        assert time.monotonic() < deadline_s, made.state
        pause.wait(0.02)
    return made.state


def wait_until_read(made: Projector, records: int) -> ProjectorState:
    return wait_for(made, lambda state: state.records >= records and state.lag_records == 0)


def rows_of(url: str, retailer: str) -> Any:
    store = ReadModelStore(url)
    try:
        return dump(store, retailer)
    finally:
        store.close()


@pytest.mark.timeout(180)
def test_killed_at_any_place_it_continues_and_a_rebuild_gives_the_same_rows(retailer: Any, tmp_path: Path) -> None:
    url, log, told = url_in(tmp_path), tmp_path / "log", day_of_sales()
    tell(retailer.settings, *told)
    for moment in ("before", "after", "before"):
        assert forked.start([str(DYING), str(retailer.file), url, moment], log=log).wait(WITHIN_S) == -9, (
            log.read_text()
        )
    assert forked.start([str(DYING), str(retailer.file), url, "never"], log=log).wait(WITHIN_S) == 0, log.read_text()
    kept = rows_of(url, retailer.name)
    with running(retailer.settings, url_in(tmp_path, "rebuilt")) as made:
        wait_until_read(made, len(told))
    assert rows_of(url_in(tmp_path, "rebuilt"), retailer.name) == kept
    assert len(kept["transactions"]) == 40
    assert sum(row[-1] for row in kept["minutes"]) == 40


@pytest.mark.timeout(180)
def test_a_forgotten_entity_leaves_the_read_model_with_everything_of_its_transactions(
    retailer: Any, tmp_path: Path
) -> None:
    settings, url, told = retailer.settings, url_in(tmp_path), day_of_sales()
    tell(settings, *told)
    with running(settings, url) as made:
        wait_until_read(made, len(told))
        store = ReadModelStore(url)
        model = SqlReadModel(store, SystemClock())
        later = NOON + timedelta(days=1)
        page = model.list_entity_history(settings.retailer, Entity("device", "d-1"), at=later)
        assert len(page.items) == 8
        forget(settings, "device", ["d-1"], dry_run=False)
        wait_until_read(made, len(told) + 16)
        assert model.list_entity_history(settings.retailer, Entity("device", "d-1"), at=later).items == ()
        gone = [f"t-{at}" for at in range(40) if at % 5 == 1]
        assert all(model.is_erased(settings.retailer, name) for name in gone)
        assert all(
            name not in repr(dump(store, settings.retailer, without=["erasures"])) for name in ("'d-1'", "'t-1'")
        )
        store.close()


@pytest.mark.timeout(180)
def test_a_second_projector_waits_and_takes_over(retailer: Any, tmp_path: Path) -> None:
    settings, url, told = retailer.settings, url_in(tmp_path), day_of_sales()
    with running(settings, url) as first:
        wait_for(first, lambda state: state.activity == "following")
        with running(settings, url) as second:
            wait_for(second, lambda state: state.activity == "waiting")
            assert "another process" in (second.state.fault or "")
    with running(settings, url) as first:
        wait_for(first, lambda state: state.activity == "following")
        third = Projector(settings, lambda: ReadModelStore(url), SystemClock(), keep_days=3650)
        stop = Event()
        thread = Thread(target=third.run, args=(stop,))
        thread.start()
        wait_for(third, lambda state: state.activity == "waiting")
        tell(settings, *told)
        wait_until_read(first, len(told))
    wait_for(third, lambda state: state.activity == "following" and state.lag_records == 0)
    stop.set()
    thread.join()
    assert third.state.records == 0  # what the first one read is not read again
    assert len(rows_of(url, settings.retailer)["transactions"]) == 40


@pytest.mark.timeout(180)
def test_two_that_both_believe_to_have_the_lock_write_each_record_once(
    retailer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, url, told = retailer.settings, url_in(tmp_path), day_of_sales()
    monkeypatch.setattr(projector_module, "BATCH_MAX", 5)
    names = count()
    monkeypatch.setattr(
        "backoffice.projection.store.ReadModelStore.hold",
        lambda store, retailer, **_: store._database.hold(f"own-{next(names)}"),
    )
    with running(settings, url) as first, running(settings, url) as second:
        for each in (first, second):
            wait_for(each, lambda state: state.activity == "following")
        tell(settings, *told)
        for each in (first, second):
            wait_for(each, lambda state: state.records > 0 and state.lag_records == 0)
    with running(settings, url_in(tmp_path, "alone")) as made:
        wait_until_read(made, len(told))
    assert rows_of(url, settings.retailer) == rows_of(url_in(tmp_path, "alone"), settings.retailer)


@pytest.mark.timeout(180)
def test_retention_and_topics_made_again_leave_no_more_out_than_what_is_gone(
    retailer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, url = retailer.settings, url_in(tmp_path)
    monkeypatch.setattr(projector_module, "LOOK_EVERY_S", 0.2)
    topic = TRANSACTIONS.name(settings.retailer)
    admin = AdminClient(settings.kafka.to_librdkafka())
    tell(settings, *(make_transaction(f"t-{at}") for at in range(12)))
    with running(settings, url) as made:
        wait_until_read(made, 12)
    tell(settings, *(make_transaction(f"u-{at}") for at in range(12)))
    ends = [TopicPartition(topic, number, -1) for number in range(settings.kafka.partitions)]
    for answer in admin.delete_records(ends).values():
        answer.result(WITHIN_S)
    tell(settings, make_transaction("v-1"))
    with running(settings, url) as made:
        state = wait_until_read(made, 1)
        assert state.missed == 12
        assert len(rows_of(url, settings.retailer)["transactions"]) == 13
        admin.delete_topics([topic])[topic].result(WITHIN_S)
        wait_for(made, lambda state: state.missing == (topic,))
        topics.ensure(settings)
        # fewer records than there were: offsets alone would not show that these are others
        tell(settings, *(make_transaction(f"w-{at}") for at in range(12)))
        wait_for(made, lambda state: not state.missing and state.records >= 13 and state.lag_records == 0)
    assert len(rows_of(url, settings.retailer)["transactions"]) == 25


@pytest.mark.timeout(180)
def test_a_full_disk_stops_nothing_but_the_rows_until_there_is_room(
    retailer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, url, told = retailer.settings, url_in(tmp_path), day_of_sales()
    ReadModelStore(url).close()
    pages_max = [30]

    def limit(connection: Any, _record: object, _proxy: object) -> None:
        connection.execute(f"PRAGMA max_page_count={pages_max[0]}")

    def open_store() -> ReadModelStore:
        store = ReadModelStore(url)
        sa.event.listen(store._database._engine, "checkout", limit)
        return store

    monkeypatch.setattr(projector_module, "PAUSE_MAX_S", 0.5)
    made = Projector(settings, open_store, SystemClock(), keep_days=3650)
    with ProjectorThreads([made]):
        tell(settings, *told)
        state = wait_for(made, lambda state: state.activity == "failing")
        assert "database or disk is full" in (state.fault or "")
        assert rows_of(url, settings.retailer)["transactions"] == []
        pages_max[0] = 1_000_000
        wait_for(made, lambda state: state.activity == "following" and state.lag_records == 0)
    assert len(rows_of(url, settings.retailer)["transactions"]) == 40
