"""What callers of a shared producer rely on, on a real Kafka; and the publishers of a worker over one."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from contract.errors import TransientError
from contract.settings import KafkaSettings, Settings, parse
from contract.topics import ALARMS, LABELS, VERDICTS
from runtime.kafka import topics
from runtime.kafka.producer import DeliveryError, KeyValue, SharedProducer
from runtime.kafka.topic_log import TopicReader
from scoring.feeds.publisher import KafkaPublisher
from scoring.ports import EventResult
from support.live_worker import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]
AWAY = KafkaSettings(bootstrap_servers="127.0.0.1:1", request_timeout_s=0.5)
DEADLINE_S = 60.0


@pytest.fixture
def settings(stack: Any, retailer_name: str) -> Settings:
    kafka = {"bootstrap_servers": stack.endpoints["kafka"].uri, "partitions": 2, "request_timeout_s": DEADLINE_S}
    found = parse({"retailer": retailer_name, "kafka": kafka}, where="test")
    topics.ensure(found, (VERDICTS, ALARMS, LABELS))
    return found


@pytest.fixture
def producer(settings: Settings) -> Iterator[SharedProducer]:
    with SharedProducer(settings.kafka, "test") as opened:
        yield opened


def standing(settings: Settings, topic: str) -> list[KeyValue]:
    return [(record.key or b"", record.value) for record in TopicReader(settings.kafka).read_until_now(topic)]


def client_threads() -> int:
    """Threads of this process that Python did not start, such as librdkafka's."""
    return len(list(Path("/proc/self/task").iterdir())) - threading.active_count()


def test_threads_that_share_a_producer_keep_their_order_and_lose_nothing(
    settings: Settings, producer: SharedProducer
) -> None:
    topic = VERDICTS.name(settings.retailer)

    def write(name: str) -> None:
        for start in range(0, 300, 100):
            producer.deliver(topic, [(b"one-key", f"{name} {number}".encode()) for number in range(start, start + 100)])

    writers = [threading.Thread(target=write, args=(name,)) for name in "abc"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(DEADLINE_S)
    found = [(value or b"").decode().split() for _, value in standing(settings, topic)]
    for name in "abc":
        assert [int(number) for writer, number in found if writer == name] == list(range(300))


def test_a_message_and_its_tombstone_go_to_the_partition_that_is_named(
    settings: Settings, producer: SharedProducer
) -> None:
    topic = VERDICTS.name(settings.retailer)
    for partition in (0, 1):
        producer.deliver(topic, [(b"key", b"value"), (b"key", None)], partition)
    found = [(record.partition, record.value) for record in TopicReader(settings.kafka).read_until_now(topic)]
    assert sorted(found, key=lambda one: one[0]) == [(0, b"value"), (0, None), (1, b"value"), (1, None)]


def test_a_topic_that_takes_nothing_fails_its_messages_and_no_others(settings: Settings) -> None:
    hasty = settings.kafka.model_copy(update={"request_timeout_s": 2.0})
    with SharedProducer(hasty, "test") as producer:
        with pytest.raises(TransientError, match="did not take all records"):
            producer.deliver(f"{settings.retailer}.nobody-made-this", [(b"key", b"value")])
        with pytest.raises(DeliveryError, match="MSG_SIZE_TOO_LARGE"):
            producer.deliver(VERDICTS.name(settings.retailer), [(b"key", b"x" * 2_000_000)])
        producer.deliver(VERDICTS.name(settings.retailer), [(b"key", b"value")])
    assert standing(settings, VERDICTS.name(settings.retailer)) == [(b"key", b"value")]


def test_without_a_broker_a_delivery_ends_with_a_sentence_and_closing_ends_the_threads() -> None:
    before = client_threads()
    with SharedProducer(AWAY, "test") as producer:
        assert not producer.is_answered("topic", 0.1)
        with pytest.raises(TransientError, match="topic did not take all records: _MSG_TIMED_OUT"):
            producer.deliver("topic", [(b"key", b"value")])
    # A thread that was joined may be seen by the kernel for a moment more.
    until(lambda: client_threads() == before, "the end of the client's threads")


def test_an_endless_producer_keeps_what_a_dead_broker_does_not_take_and_can_be_closed_at_once() -> None:
    before, reports = client_threads(), list[object]()
    producer = SharedProducer(AWAY, "test", endless=True)
    producer.produce("topic", b"key", b"value", lambda error, _: reports.append(error))
    producer.poll(4 * AWAY.request_timeout_s)
    assert (producer.queued, reports) == (1, [])
    closing = threading.Thread(target=producer.close, daemon=True)
    closing.start()
    closing.join(DEADLINE_S)
    assert not closing.is_alive()
    # A thread that was joined may be seen by the kernel for a moment more.
    until(lambda: client_threads() == before, "the end of the client's threads")


def test_publishers_over_one_producer_hear_of_their_own_messages_in_their_own_calls(settings: Settings) -> None:
    with (
        SharedProducer(settings.kafka, "verdicts", endless=True, linger_ms=0.2) as verdicts,
        SharedProducer(settings.kafka, "unhurried", endless=True) as unhurried,
    ):
        answering = KafkaPublisher(settings.retailer, unhurried, verdicts)
        watching = KafkaPublisher(settings.retailer, unhurried)
        delivered = list[str]()
        answer = EventResult(key=b"t", verdict=b"verdict", labels=[b"label"])
        answering.publish([answer], partial(delivered.append, "answer"))
        watching.publish([EventResult(key=b"a", alarm=b"alarm")], partial(delivered.append, "alarm"))
        deadline_s = time.monotonic() + DEADLINE_S
        while verdicts.queued or unhurried.queued:  # every report is called here, in a third place
            assert time.monotonic() < deadline_s
            verdicts.poll(0.01)
            unhurried.poll(0.01)
        assert delivered == []
        watching.serve()
        assert delivered == ["alarm"]
        assert answering.flush(0.0)
        assert delivered == ["alarm", "answer"]
        answering.publish([], partial(delivered.append, "nothing"))
        answering.serve()
        assert delivered[2:] == ["nothing"]
    for topic, messages in (
        (VERDICTS, [(b"t", b"verdict")]),
        (LABELS, [(b"t", b"label")]),
        (ALARMS, [(b"a", b"alarm")]),
    ):
        assert standing(settings, topic.name(settings.retailer)) == messages


def test_what_a_broker_refuses_reaches_the_publisher_that_sent_it_and_no_other(settings: Settings) -> None:
    with SharedProducer(settings.kafka, "unhurried", endless=True) as unhurried:
        one, other = (KafkaPublisher(settings.retailer, unhurried) for _ in range(2))
        with pytest.raises(DeliveryError, match="MSG_SIZE_TOO_LARGE"):
            one.publish([EventResult(key=b"a", alarm=b"x" * 2_000_000)], lambda: None)
        other.publish([EventResult(key=b"a", alarm=b"alarm")], lambda: None)
        assert other.flush(DEADLINE_S)


def test_a_publisher_that_yields_early_is_full_before_the_others() -> None:
    unhurried = SharedProducer(AWAY, "unhurried", endless=True)
    patient, yielding = KafkaPublisher("shop", unhurried), KafkaPublisher("shop", unhurried, full_from=100)
    assert not yielding.full  # a few notices of the client, that no broker answers, may be counted
    for number in range(100):
        patient.publish([EventResult(key=b"%d" % number, alarm=b"alarm")], lambda: None)
    assert (patient.full, yielding.full) == (False, True)
    assert not patient.flush(0.0)
    unhurried.close()
