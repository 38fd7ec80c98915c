"""What the door needs from outside: a way into Kafka."""

from typing import NamedTuple, Protocol

from contract.errors import TransientError


class Delivered(NamedTuple):
    """Where a record stands."""

    topic: str
    partition: int
    offset: int

    @property
    def position(self) -> str:
        """As dead letters write it."""
        return f"{self.partition}:{self.offset}"


class NotTakenError(TransientError):
    """Kafka did not confirm a record: it may be written or not, and sending it again does no harm."""


class RecordWriter(Protocol):
    """Used by the event loop."""

    async def write(self, topic: str, key: bytes, value: bytes, partition_by: bytes, timeout_s: float) -> Delivered:
        """Returns when all replicas in sync have the record; raises NotTakenError, at the latest after `timeout_s`.

        Records with equal `partition_by` stay in order. Never blocks the event loop.
        """
        ...
