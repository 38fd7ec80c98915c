"""Delivers transactions a second time, as a crash of a connector or worker would, to see that the answers stay the same."""

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from contract.errors import TransientError
from contract.settings import Settings
from contract.topics import TRANSACTIONS

TIMEOUT_S = 20.0


def redeliver(settings: Settings, count: int) -> int:
    """Sends about `count` of the newest records of the transactions topic again, to the same partitions; returns how many.

    Raises TransientError where Kafka does not answer.
    """
    topic = TRANSACTIONS.name(settings.retailer)
    consumer = Consumer(
        {**settings.kafka.to_librdkafka(), "group.id": "tillguard-demo-again", "enable.auto.commit": False}
    )
    producer = Producer({**settings.kafka.to_librdkafka(), "acks": "all"})
    try:
        partitions = sorted(consumer.list_topics(topic, timeout=TIMEOUT_S).topics[topic].partitions)
        sent = 0
        for partition in partitions:
            sent += _again(consumer, producer, TopicPartition(topic, partition), -(-count // len(partitions)))
        if producer.flush(TIMEOUT_S):
            raise TransientError(f"{topic}: not every record was taken within {TIMEOUT_S:.0f} s")
    except KafkaException as error:
        raise TransientError(f"{topic} cannot be read again: {error.args[0]}") from None
    else:
        return sent
    finally:
        consumer.close()


def _again(consumer: Consumer, producer: Producer, place: TopicPartition, count: int) -> int:
    low, high = consumer.get_watermark_offsets(place, timeout=TIMEOUT_S)
    start = max(low, high - count)
    if start == high:
        return 0
    consumer.assign([TopicPartition(place.topic, place.partition, start)])
    messages = consumer.consume(high - start, timeout=TIMEOUT_S)
    sound = [message for message in messages if message.error() is None]
    for message in sound:
        producer.produce(place.topic, value=message.value(), key=message.key(), partition=place.partition)
    return len(sound)
