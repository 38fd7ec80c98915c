"""The sink and a broker that dies: nothing is lost, and what waits stays bounded."""

import threading
import time
from typing import Any

import pytest

from connectors.ports import Interrupted, Outgoing
from connectors.running.sink import KafkaSink
from contract.errors import ConfigurationError
from contract.partitions import choose_partition
from contract.settings import KafkaSettings
from support.connector_kafka import read_topic

pytestmark = pytest.mark.integration


def sink(kafka: KafkaSettings, stop: threading.Event, **changes: Any) -> KafkaSink:
    limits = {"messages_max": 500, "bytes_max": 10**7, "request_timeout_s": 5.0} | changes
    return KafkaSink(kafka.to_kafka_python(), client_id="test", stop=stop, **limits)


def message(topic: str, number: int) -> Outgoing:
    return Outgoing(topic, b"%d" % number, b"x" * 100, b"%d" % (number % 7))


def topic_on(kafka: KafkaSettings, name: str) -> str:
    from kafka.admin import KafkaAdminClient, NewTopic

    admin = KafkaAdminClient(**kafka.to_kafka_python())
    try:
        admin.create_topics([NewTopic(name, num_partitions=4, replication_factor=1)])
    finally:
        admin.close()
    return name


def test_every_message_goes_to_its_partition_once(stack: Any, retailer_name: str) -> None:
    kafka = KafkaSettings(bootstrap_servers=stack.endpoints["kafka"].uri)
    topic = topic_on(kafka, retailer_name)
    made = sink(kafka, threading.Event())
    for number in range(2000):
        made.send(message(topic, number))
        assert made.in_flight <= 500
    assert made.flush(30)
    assert made.count_confirmed() == made.count_sent() == 2000
    made.close()
    found = read_topic(kafka, topic)
    assert sorted(int(record.key) for record in found) == list(range(2000))
    assert all(record.partition == choose_partition(b"%d" % (int(record.key) % 7), 4) for record in found)
    for partition in range(4):
        order = [int(record.key) for record in found if record.partition == partition]
        assert order == sorted(order)


def test_what_is_in_flight_is_bounded_in_bytes(stack: Any, retailer_name: str) -> None:
    kafka = KafkaSettings(bootstrap_servers=stack.endpoints["kafka"].uri)
    topic = topic_on(kafka, retailer_name)
    made = sink(kafka, threading.Event(), bytes_max=5_000)
    for number in range(500):
        made.send(message(topic, number))
        assert made.in_flight <= 51
    assert made.flush(30)
    made.close()


def test_a_broker_that_is_killed_and_comes_back_has_everything(own_stack: Any) -> None:
    kafka = KafkaSettings(bootstrap_servers=own_stack.endpoints["kafka"].uri)
    topic = topic_on(kafka, "orders")
    stop = threading.Event()
    made = sink(kafka, stop, request_timeout_s=3.0)
    for number in range(1000):
        made.send(message(topic, number))
    own_stack.kill("kafka")
    done: list[int] = []

    def send() -> None:
        for number in range(1000, 3000):
            made.send(message(topic, number))
        done.append(made.count_sent())

    thread = threading.Thread(target=send)
    thread.start()
    # the sender fills what may be in flight, then waits for the broker
    deadline = time.monotonic() + 30
    while made.in_flight < 500:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert done == []
    own_stack.restart("kafka")
    thread.join(120)
    assert done == [3000]
    assert made.flush(60)
    assert made.count_confirmed() == 3000
    made.close()
    assert {int(record.key) for record in read_topic(kafka, topic)} == set(range(3000))


def test_a_sink_without_a_broker_can_be_interrupted() -> None:
    stop = threading.Event()
    made = sink(KafkaSettings(bootstrap_servers="127.0.0.1:1"), stop)
    threading.Timer(0.5, stop.set).start()
    with pytest.raises(Interrupted):
        made.send(message("orders", 1))
    made.close()


def test_a_message_that_kafka_will_never_take_is_a_fault_for_a_person(stack: Any, retailer_name: str) -> None:
    kafka = KafkaSettings(bootstrap_servers=stack.endpoints["kafka"].uri)
    topic = topic_on(kafka, retailer_name)
    made = sink(kafka, threading.Event())
    with pytest.raises(ConfigurationError, match="MessageSizeTooLarge"):
        made.send(Outgoing(topic, b"1", b"x" * 2_000_000, b"1"))
    made.close()
