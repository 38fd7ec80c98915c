"""What stands on a federation's logs, by the headings of its envelopes alone: who said what, of which attempt."""

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from contract.federation.frames import Envelope, Frame, SignedEnvelope

_FRAMES = msgspec.msgpack.Decoder(Frame)
_ENVELOPES = msgspec.msgpack.Decoder(Envelope)


class Heading(NamedTuple):
    """Of a message that is one record; nobody's signature is checked."""

    sender: str
    kind: str
    round: int
    attempt: int


def heading_of(value: bytes) -> Heading | None:
    """None for a part of a long message, and for its announcement."""
    frame = _FRAMES.decode(value)
    if not isinstance(frame, SignedEnvelope):
        return None
    envelope = _ENVELOPES.decode(frame.envelope)
    return Heading(envelope.sender, envelope.type, envelope.round, envelope.attempt)


def headings_of(values: Iterable[bytes]) -> list[Heading]:
    """In their order."""
    return [heading for heading in map(heading_of, values) if heading is not None]
