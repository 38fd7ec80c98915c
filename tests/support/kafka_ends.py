"""Where a partition ends, also just after its topic was made."""

import time

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

DEADLINE_S = 60.0
YOUNG = {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE}


def end_of(consumer: Consumer, place: TopicPartition) -> int:
    """The offset after the newest record; a topic that was just made has no leader for a moment."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return int(consumer.get_watermark_offsets(place, 10)[1])
        except KafkaException as error:
            if error.args[0].code() not in YOUNG or time.monotonic() > deadline:
                raise
        time.sleep(0.05)
