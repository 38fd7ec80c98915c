"""The two shops, their fresh start, the reader and the redelivery on real servers."""

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymongo
import pymysql
import pytest
import redis
from confluent_kafka import Producer

from contract.codec import encode
from contract.dead_letters import DeadLetter
from contract.topics import DEAD_LETTERS, TRANSACTIONS
from demo import beginnings
from demo.reader import Reader
from demo.redelivery import redeliver
from demo.shops.mongo_shop import MongoShop
from demo.shops.mysql_shop import MysqlShop
from demo.tally import Entry, Tally
from simulator.profile import Profile
from simulator.retail import HistoryPlan, Retail
from simulator.sales import Labelled, Sale, Truth
from support.kafka_ends import end_of
from tillguard.history.reading import Found, read_canonical

pytestmark = pytest.mark.integration

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)
TRUTH = Truth(fraud=True, kind="bots", known_at=NOW)


@pytest.fixture(scope="module")
def history() -> list[Labelled]:
    retail = Retail(Profile(customers=300), 5, NOW - timedelta(days=28), "A-")
    return retail.simulate_history(NOW, HistoryPlan(rows=1_200, rushes=1))


@pytest.fixture
def mysql(stack: Any) -> Iterator[MysqlShop]:
    server = stack.endpoints["mariadb"]
    shop = MysqlShop(f"demo-{secrets.token_hex(4)}", server.host, server.port, server.user, server.password)
    shop.create()
    yield shop
    shop.close()


@pytest.fixture
def mongo(stack: Any) -> Iterator[MongoShop]:
    server = stack.endpoints["mongodb"]
    shop = MongoShop(f"demo-{secrets.token_hex(4)}", server.host, server.port)
    shop.create()
    yield shop
    shop.close()


def ask(stack: Any, shop: MysqlShop, question: str) -> Any:
    server = stack.endpoints["mariadb"]
    database = f"{shop.retailer.replace('-', '_')}_shop"
    connection = pymysql.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, database=database
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute(question)
            return cursor.fetchall()
    finally:
        connection.close()


def documents(stack: Any, shop: MongoShop, question: dict[str, Any]) -> list[dict[str, Any]]:
    server = stack.endpoints["mongodb"]
    with pymongo.MongoClient[dict[str, Any]](server.uri) as client:
        return list(client[f"{shop.retailer.replace('-', '_')}_shop"]["checkouts"].find(question))


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_mysql_holds_every_order_and_a_chargeback_for_every_fraud(
    stack: Any, mysql: MysqlShop, history: list[Labelled]
) -> None:
    mysql.load(history)
    frauds = {entry.sale.transaction_id for entry in history if entry.truth.fraud}
    assert ask(stack, mysql, "SELECT COUNT(*), SUM(total) FROM orders") == (
        (1_200, sum(e.sale.amount_minor for e in history) / pymysql.converters.Decimal(100)),
    )
    assert {number for (number,) in ask(stack, mysql, "SELECT order_no FROM chargebacks")} == frauds


def test_mongodb_holds_every_checkout_and_a_review_in_every_fraud(
    stack: Any, mongo: MongoShop, history: list[Labelled]
) -> None:
    mongo.load(history)
    assert len(documents(stack, mongo, {})) == 1_200
    reviewed = {found["_id"] for found in documents(stack, mongo, {"review.outcome": "fraud"})}
    assert reviewed == {entry.sale.transaction_id for entry in history if entry.truth.fraud}


def test_every_spoilt_row_is_taken_by_its_database(
    stack: Any, mysql: MysqlShop, mongo: MongoShop, history: list[Labelled]
) -> None:
    for number, fault in enumerate(mysql.faults):
        mysql.write([fault.spoil(mysql.make_row(history[number].sale))])
    for number, fault in enumerate(mongo.faults):
        mongo.write([fault.spoil(mongo.make_row(history[number].sale))])
    assert ask(stack, mysql, "SELECT COUNT(*) FROM orders") == ((len(mysql.faults),),)
    assert len(documents(stack, mongo, {})) == len(mongo.faults)


def test_labels_come_later_by_transaction_id(stack: Any, mysql: MysqlShop, mongo: MongoShop) -> None:
    sale = Sale("x-1", NOW, 100, "EUR")
    for shop in (mysql, mongo):
        shop.write([shop.make_row(sale)])
        shop.write_labels({"x-1": TRUTH})
    assert ask(stack, mysql, "SELECT order_no, reason FROM chargebacks") == (("x-1", "bots"),)
    assert documents(stack, mongo, {})[0]["review"] == {
        "outcome": "fraud",
        "kind": "bots",
        "at": NOW.replace(tzinfo=None),
    }


def test_a_document_that_is_there_already_is_a_fault_unless_the_connection_broke(mongo: MongoShop) -> None:
    row = mongo.make_row(Sale("x-1", NOW, 100, "EUR"))
    mongo.write([row])
    with pytest.raises(pymongo.errors.BulkWriteError):
        mongo.write([row])


@pytest.fixture
def state(stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Retailers' folders go to a place of their own."""
    monkeypatch.setenv("TILLGUARD_STATE", str(tmp_path))
    return tmp_path


def test_a_second_beginning_leaves_nothing_of_the_first(
    stack: Any, state: Path, mysql: MysqlShop, history: list[Labelled]
) -> None:
    endpoints = {name: stack.endpoints[name] for name in ("kafka", "redis")}
    name = mysql.retailer
    other = f"{name}-other"
    (settings, _) = beginnings.begin([name, other], endpoints)
    topic = TRANSACTIONS.name(name)
    producer = Producer(settings.kafka.to_librdkafka())
    producer.produce(topic, b"old", key=b"old")
    assert producer.flush(30) == 0
    with redis.Redis(**settings.redis.to_redis_py()) as client:
        client.set(f"{{{name}}}live/seq", 5)
        client.set(f"{{{other}}}live/seq", 6)
        first_key = settings.connectors.token_key_id
        beginnings.begin([name], endpoints)
        assert client.exists(f"{{{name}}}live/seq") == 0
        assert client.get(f"{{{other}}}live/seq") == b"6"
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({**settings.kafka.to_librdkafka(), "group.id": "test"})
    ends = [end_of(consumer, TopicPartition(topic, p)) for p in range(4)]
    consumer.close()
    assert ends == [0, 0, 0, 0]
    assert first_key == "k1"


def test_the_history_file_is_what_the_connector_would_send_with_labels(
    stack: Any, state: Path, mysql: MysqlShop, history: list[Labelled]
) -> None:
    endpoints = {name: stack.endpoints[name] for name in ("kafka", "redis")}
    (settings,) = beginnings.begin([mysql.retailer], endpoints)
    beginnings.fill(mysql, history, settings, None)
    found = Found()
    rows = list(read_canonical(beginnings.get_history_path(mysql.retailer), found))
    assert [row.transaction_id for row in rows] == [entry.sale.transaction_id for entry in history]
    assert found.labels == {entry.sale.transaction_id: entry.truth.fraud for entry in history}
    assert not found.rows.counts
    assert not found.unusable_labels.counts
    cards = {row.card for row in rows if row.card}
    assert cards
    assert all(card.startswith("k1.") for card in cards)
    assert beginnings.get_connector_path(mysql).stat().st_mode & 0o077 == 0


def test_the_reader_enters_what_it_reads_and_redelivery_sends_the_newest_again(retailer: Any) -> None:
    tally, lock = Tally(retailer.name), threading.Lock()
    for number in range(10):
        tally.expect(f"t-{number}", Entry("live", TRUTH, 100))
    letter = DeadLetter(
        retailer=retailer.name, part="scoring", reason="malformed", detail="", source="s", position="0:1",
        failed_at=NOW, key="t-3",
    )  # fmt: skip
    producer = Producer(retailer.settings.kafka.to_librdkafka())
    for number in range(10):
        producer.produce(TRANSACTIONS.name(retailer.name), b"%d" % number, key=b"k%d" % number, partition=number % 4)
    with Reader([retailer.settings], {retailer.name: tally}, lock) as reader:
        producer.produce(DEAD_LETTERS.name(retailer.name), encode(letter), key=b"t-3")
        assert producer.flush(30) == 0
        wait_for(lambda: tally.entries["t-3"].dead_letter == "malformed")
        reader.check()
    assert tally.answered["live"] == 1
    assert redeliver(retailer.settings, 4) == 4
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({**retailer.settings.kafka.to_librdkafka(), "group.id": "test"})
    topic = TRANSACTIONS.name(retailer.name)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in range(4)])
    messages = consumer.consume(14, timeout=30)
    consumer.close()
    by_partition = {p: [m.value() for m in messages if m.partition() == p] for p in range(4)}
    assert by_partition == {
        0: [b"0", b"4", b"8", b"8"], 1: [b"1", b"5", b"9", b"9"], 2: [b"2", b"6", b"6"], 3: [b"3", b"7", b"7"],
    }  # fmt: skip


def test_a_reader_that_cannot_go_on_says_so(retailer: Any) -> None:
    from contract.topics import VERDICTS
    from demo.children import DemoError

    producer = Producer(retailer.settings.kafka.to_librdkafka())
    producer.produce(VERDICTS.name(retailer.name), b"not a verdict", key=b"t-1")
    assert producer.flush(30) == 0
    with Reader([retailer.settings], {retailer.name: Tally(retailer.name)}, threading.Lock()) as reader:
        wait_for(lambda: reader.failure is not None)
        with pytest.raises(DemoError, match="reading the verdicts failed"):
            reader.check()
