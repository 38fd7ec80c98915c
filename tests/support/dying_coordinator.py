"""A coordinator that is killed with -9 at an exact place of a round: FILE ROUND KIND before|during|after.

It is the product's coordinator; only its transport kills the process when the message KIND of ROUND is about to be written,
stands in an open transaction, or has just been committed.
"""

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import msgspec

from contract.federation import Envelope, Frame, SignedEnvelope
from federation.transports.kafka_logs import KafkaTransport
from federation.transports.ports import Outgoing
from tillguard import federation, logs
from tillguard import federation_keys as keys
from tillguard.config import load_coordinator

_FRAMES = msgspec.msgpack.Decoder(Frame)
_ENVELOPES = msgspec.msgpack.Decoder(Envelope)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class DyingTransport(KafkaTransport):
    """See the module."""

    round_number = 0
    kind = ""
    moment = ""

    def append(self, records: Sequence[Outgoing]) -> None:
        meant = any(self._is_meant(record) for record in records)
        if meant and self.moment == "before":
            die()
        if meant and self.moment == "during":
            self._producer.commit_transaction = die
        super().append(records)
        if meant:
            die()

    def _is_meant(self, record: Outgoing) -> bool:
        frame = _FRAMES.decode(record.value)
        if not isinstance(frame, SignedEnvelope):
            return False
        envelope = _ENVELOPES.decode(frame.envelope)
        return (envelope.type, envelope.round) == (self.kind, self.round_number)


def main(file: str, round_number: str, kind: str, moment: str) -> None:
    """Runs until it is killed."""
    DyingTransport.round_number, DyingTransport.kind, DyingTransport.moment = int(round_number), kind, moment
    federation.KafkaTransport = DyingTransport  # type: ignore[misc]
    settings = load_coordinator(Path(file))
    logs.configure(settings.log)
    identity = keys.load_identity(settings.federation.coordinator, "init")
    federation.run_coordinator(settings.federation, identity, Event(), rounds=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
