"""Puts a package on the models topic: every chunk confirmed first, the promotion last.

So workers see a promotion only when the whole package lies before it, whenever the trainer is killed.
"""

from contract.models import ModelPromotion
from contract.package import to_messages, to_promotion
from runtime.kafka.producer import Outlet


def publish(outlet: Outlet, topic: str, package: bytes, promotion: ModelPromotion | None) -> None:
    """The chunks, then the promotion if any; raises TransientError, after which nothing is promoted. May be repeated."""
    outlet.deliver(topic, to_messages(package))
    if promotion is not None:
        outlet.deliver(topic, [to_promotion(promotion)])
