"""The order in which a package goes out, whenever its sending fails."""

from collections.abc import Sequence

import msgspec
import pytest

from contract.errors import TransientError
from contract.models import CHUNK_BYTES, PROMOTION_KEY, ModelChunk, ModelMessage, ModelPromotion
from contract.package import hash_package
from runtime.kafka.producer import KeyValue
from support.tiny_model import NOW, tiny_package
from trainer.learning.package_writer import publish


class Topic:
    """An outlet that keeps what it is given and loses the broker after `confirmed_max` messages."""

    def __init__(self, confirmed_max: int = 1_000) -> None:
        self.messages: list[KeyValue] = []
        self._confirmed_max = confirmed_max

    def deliver(self, topic: str, messages: Sequence[KeyValue], partition: int | None = None) -> None:
        assert (topic, partition) == ("models", None)
        left = self._confirmed_max - len(self.messages)
        self.messages.extend(messages[:left])
        if len(messages) > left:
            raise TransientError("the broker is gone")


def large_package() -> bytes:
    """Of several chunks."""
    return tiny_package(parameters={f"p{number}": "x" * 1_000 for number in range(900)})


def promotion_of(package: bytes) -> ModelPromotion:
    return ModelPromotion(
        model_version="tiny-1", package_sha256=hash_package(package), promoted_at=NOW, promoted_by="test"
    )


def test_every_chunk_stands_before_the_promotion() -> None:
    package, topic = large_package(), Topic()
    publish(topic, "models", package, promotion_of(package))
    decoded = [msgspec.json.decode(value or b"", type=ModelMessage) for _, value in topic.messages]
    chunks = [message for message in decoded if isinstance(message, ModelChunk)]
    assert len(chunks) == -(-len(package) // CHUNK_BYTES) > 2
    assert b"".join(chunk.data for chunk in chunks) == package
    assert isinstance(decoded[-1], ModelPromotion)
    assert len(decoded) == len(chunks) + 1


@pytest.mark.parametrize("confirmed", range(4))
def test_a_broker_lost_at_any_chunk_leaves_no_promotion(confirmed: int) -> None:
    package, topic = large_package(), Topic(confirmed)
    with pytest.raises(TransientError):
        publish(topic, "models", package, promotion_of(package))
    assert PROMOTION_KEY.encode() not in {key for key, _ in topic.messages}


def test_a_bad_package_is_not_sent_at_all() -> None:
    topic = Topic()
    with pytest.raises(Exception, match="zip"):
        publish(topic, "models", b"no package", promotion_of(b"no package"))
    assert topic.messages == []
