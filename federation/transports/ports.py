"""What coordinator and participants need of a message log. Knows no Kafka, no message's contents.

A federation has four logs, each one total order of records with rising offsets (gaps are normal). Whoever reads chooses
where to begin; nothing is remembered for readers, so positions are theirs to keep.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

LogName = Literal["control", "updates", "models", "ledger"]
LOGS: tuple[LogName, ...] = ("control", "updates", "models", "ledger")


class Outgoing(NamedTuple):
    """One record on its way to a log; at most `contract.federation.fields.RECORD_BYTES_MAX` of value."""

    log: LogName
    key: bytes
    value: bytes


class Record(NamedTuple):
    """One record as it stands on a log."""

    log: LogName
    offset: int
    key: bytes
    value: bytes
    appended_ms: int
    """When the log took it, by the log's own clock, ms since 1970 UTC."""


class Transport(Protocol):
    """The four logs, as one process sees them. Used by one thread.

    Every method may block for the request time limit. Errors: TransientError (the log does not answer; after `append` it is
    unknown whether the records stand, and the transport is to be closed), FencedError (another holds this writer's identity, forever), ConfigurationError
    (refused for good: rights, size).
    """

    def append(self, records: Sequence[Outgoing]) -> int:
        """Called for everything that is said, some times a round; returns when the records stand for good.

        Gives when the log took the last of them, by the log's own clock, ms since 1970 UTC.

        An exclusive writer's records appear all together or not at all, also across logs; another's appear in their order,
        perhaps with others' between, and perhaps only some of them when the process is killed meanwhile.
        """
        ...

    def read_from(self, positions: Mapping[LogName, int]) -> None:
        """Called at start: `poll` gives these logs from these offsets on, and no other log.

        Raises PositionDeadError where records at a position are gone already.
        """
        ...

    def poll(self, timeout_s: float) -> list[Record]:
        """Called all the time: what is new, each log in its order, a bounded number; waits for the first up to `timeout_s`.

        Never gives an exclusive writer's record before all that was appended with it stands.
        """
        ...

    def find_bounds(self, log: LogName) -> tuple[int, int]:
        """The first offset still there, and the one after the last that a reader gets; equal for an empty log."""
        ...

    def has_caught_up(self, log: LogName, end: int) -> bool:
        """Whether all of `log` before `end` was given by `poll`."""
        ...

    def close(self) -> None:
        """Called once at the end, also after an error; never raises."""
        ...
