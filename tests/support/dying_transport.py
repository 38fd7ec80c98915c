"""A Kafka transport that kills its process with -9 at the message it is told of: before it is sent, in its open transaction, or after it stands.

It is the product's own in everything else. What it dies of is the last line of the process's log.
"""

import os
import signal
import sys
from collections.abc import Sequence

from federation.transports.kafka_logs import KafkaTransport
from federation.transports.ports import Outgoing
from support.federation_kinds import Heading, headings_of

LAST_WORDS = "killed at"


def die(heading: Heading) -> None:
    """Says of which message, and is gone."""
    sys.stderr.write(f"{LAST_WORDS} {heading.sender} {heading.kind} {heading.round} {heading.attempt}\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def last_words(log: str) -> Heading:
    """What the process of this log died of."""
    sender, kind, number, attempt = log.rstrip().splitlines()[-1].removeprefix(LAST_WORDS).split()
    return Heading(sender, kind, int(number), int(attempt))


class DyingTransport(KafkaTransport):
    """See the module. Its class says where it dies, since the product makes it."""

    kind = ""
    moment = ""
    round_number: int | None = None
    """None: in whatever round it comes to that."""

    def append(self, records: Sequence[Outgoing]) -> int:
        meant = next(filter(self._is_meant, headings_of(record.value for record in records)), None)
        if meant is not None and self.moment == "before":
            die(meant)
        if meant is not None and self.moment == "during":
            self._producer.commit_transaction = lambda: die(meant)
        appended_ms = super().append(records)
        if meant is not None:
            die(meant)
        return appended_ms

    def _is_meant(self, heading: Heading) -> bool:
        return heading.kind == self.kind and self.round_number in (None, heading.round)
