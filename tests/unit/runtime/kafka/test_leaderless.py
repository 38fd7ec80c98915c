"""A partition whose leader a broker does not know yet is asked again, for as long as there is patience."""

from collections.abc import Callable

import pytest
from confluent_kafka import KafkaError, KafkaException

from runtime.kafka import topic_log


def failing(*codes: int) -> Callable[[], str]:
    left = list(codes)

    def ask() -> str:
        if left:
            raise KafkaException(KafkaError(left.pop(0)))
        return "known"

    return ask


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topic_log, "LEADER_POLL_S", 0.0)


def test_it_is_asked_until_there_is_a_leader() -> None:
    ask = failing(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
    assert topic_log._ask_leader(ask, 60.0) == "known"


def test_patience_ends_and_other_errors_are_told_at_once() -> None:
    with pytest.raises(KafkaException):
        topic_log._ask_leader(failing(KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.NOT_LEADER_FOR_PARTITION), -1.0)
    with pytest.raises(KafkaException):
        topic_log._ask_leader(failing(KafkaError.TOPIC_AUTHORIZATION_FAILED), 60.0)
