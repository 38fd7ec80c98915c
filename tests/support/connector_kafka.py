"""Reads a topic from its first message to its present end."""

from typing import Any

from kafka import KafkaConsumer, TopicPartition

from contract.settings import KafkaSettings


def read_topic(kafka: KafkaSettings, topic: str) -> list[Any]:
    """Every record that is in `topic` now, partition by partition."""
    consumer = KafkaConsumer(**kafka.to_kafka_python(), consumer_timeout_ms=10_000, max_poll_records=5000)
    try:
        partitions = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        left = {partition for partition, end in ends.items() if end > consumer.position(partition)}
        found: list[Any] = []
        while left:
            records = consumer.poll(timeout_ms=2000)
            for partition, batch in records.items():
                found += [record for record in batch if record.offset < ends[partition]]
            left = {partition for partition in left if consumer.position(partition) < ends[partition]}
        return found
    finally:
        consumer.close()
