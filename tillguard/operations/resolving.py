"""Sends one resolution and waits for the verdict that follows from it."""

from collections.abc import Callable

from contract.codec import Decoder, encode
from contract.events import Resolution
from contract.settings import Settings
from contract.topics import RESOLUTIONS, VERDICTS
from contract.verdicts import Verdict
from runtime.kafka.producer import SharedProducer
from runtime.kafka.topic_log import TopicReader


def resolve(
    settings: Settings, resolution: Resolution, *, wait_s: float, monotonic_s: Callable[[], float]
) -> Verdict | None:
    """The next verdict of the transaction that carries the resolution's outcome, or None when none came within `wait_s`.

    Raises TransientError.
    """
    records = TopicReader(settings.kafka).read_from_now(VERDICTS.name(settings.retailer)) if wait_s else None
    if records is not None:
        next(records)  # reading has begun: the answer cannot be missed
    message = (resolution.transaction_id.encode(), encode(resolution))
    with SharedProducer(settings.kafka, "operator") as producer:
        producer.deliver(RESOLUTIONS.name(settings.retailer), [message])
    if records is None:
        return None
    decoder, deadline_s = Decoder(Verdict), monotonic_s() + wait_s
    for record in records:
        if record is not None and record.key == resolution.transaction_id.encode() and record.value is not None:
            verdict = decoder.decode(record.value)
            if verdict.outcome == resolution.outcome:
                return verdict
        if monotonic_s() > deadline_s:
            return None
    return None
