"""Heartbeats on a real Kafka: by the producer that threads share, and by one of their own."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import islice

import pytest

from contract.errors import TransientError
from contract.settings import KafkaSettings, Settings, parse
from contract.topics import STATUS
from runtime.heartbeat import StatusOutlet
from runtime.kafka import topics
from runtime.kafka.own_status import OwnStatusOutlet
from runtime.kafka.producer import SharedProducer
from runtime.kafka.shared_status import SharedStatusOutlet
from runtime.kafka.topic_log import TopicReader

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]
AWAY = KafkaSettings(bootstrap_servers="127.0.0.1:1")
Opened = Callable[[KafkaSettings, str], StatusOutlet]


@pytest.fixture(params=["shared", "own"])
def opened(request: pytest.FixtureRequest) -> Iterator[Opened]:
    closed: list[Callable[[], None]] = []

    def open_outlet(kafka: KafkaSettings, topic: str) -> StatusOutlet:
        if request.param == "own":
            outlet: StatusOutlet = OwnStatusOutlet(kafka, "test-status", topic)
        else:
            producer = SharedProducer(kafka, "test", endless=True)
            closed.append(producer.close)
            outlet = SharedStatusOutlet(producer, topic)
        closed.insert(0, outlet.close)
        return outlet

    yield open_outlet
    for close in closed:
        close()


@pytest.fixture
def settings(stack: object, retailer_name: str) -> Settings:
    kafka = {"bootstrap_servers": stack.endpoints["kafka"].uri}  # type: ignore[attr-defined]
    return parse({"retailer": retailer_name, "kafka": kafka}, where="test")


def test_what_is_offered_stands_on_the_topic(settings: Settings, opened: Opened) -> None:
    topics.ensure(settings, (STATUS,))
    topic = STATUS.name(settings.retailer)
    outlet = opened(settings.kafka, topic)
    for value in (b"one", b"two"):
        outlet.offer(b"part/process", value)
        assert outlet.settle(30)
    assert [record.value for record in TopicReader(settings.kafka).read_until_now(topic)] == [b"one", b"two"]


def test_a_refused_record_is_told_and_the_next_one_is_tried_again(
    settings: Settings, opened: Opened, chance: random.Random
) -> None:
    topic = STATUS.name(settings.retailer)
    topics.ensure_topics(settings.kafka, "test", {topic: topics.WantedTopic(1, {"max.message.bytes": "300"})})
    outlet = opened(settings.kafka, topic)
    outlet.offer(b"part/process", chance.randbytes(3_000))
    assert outlet.settle(30)
    with pytest.raises(TransientError, match=topic):
        outlet.offer(b"part/process", b"kept")
    outlet.settle(30)
    outlet.offer(b"part/process", b"kept, too")
    assert outlet.settle(30)
    stands = [record.value for record in TopicReader(settings.kafka).read_until_now(topic)]
    assert stands[-1] == b"kept, too"


def test_a_topic_on_which_somebody_writes_all_the_time_is_read_to_the_end_of_now(settings: Settings) -> None:
    topics.ensure(settings, (STATUS,))
    topic, stop = STATUS.name(settings.retailer), threading.Event()
    with SharedProducer(settings.kafka, "test") as producer:
        producer.deliver(topic, [(b"first", b"1")])

        def write() -> None:
            while not stop.wait(0.05):
                producer.deliver(topic, [(b"later", b"2")])

        writer = threading.Thread(target=write)
        writer.start()
        try:
            reading = TopicReader(settings.kafka).read_until_now(topic)
            found = list(islice(reading, 10_000))
            assert next(reading, None) is None
        finally:
            stop.set()
            writer.join()
    assert found[0].key == b"first"
    assert abs(found[0].appended_ms - time.time() * 1000) < 600_000


def test_without_a_broker_an_offer_and_an_end_come_back_soon(opened: Opened) -> None:
    outlet = opened(AWAY, "shop.status.v1")
    began_s = time.monotonic()
    with closing(outlet):
        for _ in range(3):
            try:
                outlet.offer(b"part/process", b"nobody hears it")
            except TransientError:
                continue
        outlet.settle(0.1)
    assert time.monotonic() - began_s < 30
