"""The four logs in memory, with faults drawn from a seed: for simulation and tests. Time is the broker's, moved by hand.

Faults strike what non-exclusive writers append (participants), between the sender and the log: lost, late, twice, damaged, and
out of order, but for the records of one append, which a log has in their order. The logs themselves lose nothing, as Kafka's do
not. A crash is an exception at a chosen append.
"""

import heapq
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from contract.errors import ConfigurationError, FencedError, PositionDeadError
from contract.federation.fields import RECORD_BYTES_MAX
from federation.transports.ports import LOGS, LogName, Outgoing, Record

POLLED_MAX = 500


class Faults(NamedTuple):
    """How often what goes wrong, each a probability per record; delays in ms of an append or of a duplicate, uniform up to the greatest."""

    loss: float = 0.0
    delay_ms_max: int = 0
    duplication: float = 0.0
    damage: float = 0.0
    """One byte changed, or the end cut off."""


class CrashError(Exception):
    """A simulated kill -9: the process that gets it must be thrown away."""


class MemoryBroker:
    """The logs that any number of `MemoryTransport` share. `now_ms` is its clock."""

    def __init__(self, *, seed: int = 0, faults: Faults | None = None, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self.faults = faults or Faults()
        self.bytes_in: dict[str, int] = defaultdict(int)
        """Value bytes that each writer has sent, by its identity."""
        self._logs: dict[LogName, list[Record]] = {log: [] for log in LOGS}
        self._first: dict[LogName, int] = dict.fromkeys(LOGS, 0)
        self._random = random.Random(seed)  # noqa: S311 - faults of a simulation, drawn again from the same seed
        self._under_way: list[tuple[int, int, Outgoing]] = []
        self._sequence = 0
        self._holders: dict[str, int] = {}

    def advance_to(self, now_ms: int) -> None:
        """Moves the clock on; what is under way arrives at its time."""
        while self._under_way and self._under_way[0][0] <= now_ms:
            due_ms, _, outgoing = heapq.heappop(self._under_way)
            self.now_ms = max(self.now_ms, due_ms)
            self._store(outgoing)
        self.now_ms = max(self.now_ms, now_ms)

    def find_next_due_ms(self) -> int | None:
        """When the next record that is under way arrives."""
        return self._under_way[0][0] if self._under_way else None

    def forget_before(self, log: LogName, offset: int) -> None:
        """Retention: records before `offset` are gone."""
        self._first[log] = max(self._first[log], offset)

    def hold(self, identity: str) -> int:
        """Makes the caller the only writer of `identity`; gives its token."""
        self._holders[identity] = self._holders.get(identity, 0) + 1
        return self._holders[identity]

    def is_held_by(self, identity: str, token: int) -> bool:
        """Whether nobody has taken `identity` since."""
        return self._holders.get(identity) == token

    def take(self, records: Sequence[Outgoing], identity: str, *, exclusive: bool) -> None:
        """Puts the records of one append on their way, or straight onto their logs."""
        together_ms = 0 if exclusive else self._delay_ms()
        for outgoing in records:
            self.bytes_in[identity] += len(outgoing.value)
            if exclusive:
                self._store(outgoing)
                continue
            self._send(outgoing, together_ms)
            if self._random.random() < self.faults.duplication:
                self._send(outgoing, self._delay_ms())

    def read(self, log: LogName, start: int, limit: int) -> Sequence[Record]:
        """Up to `limit` records from `start` on; raises PositionDeadError where they are gone."""
        if start < self._first[log]:
            raise PositionDeadError(f"{log}: records before {self._first[log]} are gone, {start} was asked for")
        return self._logs[log][start : start + limit]

    def find_bounds(self, log: LogName) -> tuple[int, int]:
        """See Transport.find_bounds."""
        return self._first[log], len(self._logs[log])

    def _store(self, outgoing: Outgoing) -> None:
        entries = self._logs[outgoing.log]
        entries.append(Record(outgoing.log, len(entries), outgoing.key, outgoing.value, self.now_ms))

    def _send(self, outgoing: Outgoing, delay_ms: int) -> None:
        if self._random.random() < self.faults.loss:
            return
        damaged = self._damaged(outgoing) if self._random.random() < self.faults.damage else outgoing
        if delay_ms == 0:
            self._store(damaged)
        else:
            self._sequence += 1
            heapq.heappush(self._under_way, (self.now_ms + delay_ms, self._sequence, damaged))

    def _delay_ms(self) -> int:
        return self._random.randint(0, self.faults.delay_ms_max)

    def _damaged(self, outgoing: Outgoing) -> Outgoing:
        value = bytearray(outgoing.value)
        place = self._random.randrange(len(value)) if value else 0
        if self._random.random() < 0.5:
            return outgoing._replace(value=bytes(value[:place]))
        if value:
            value[place] ^= 1 << self._random.randrange(8)
        return outgoing._replace(value=bytes(value))


class MemoryTransport:
    """See federation.transports.ports.Transport. Never waits: `poll` gives what is there."""

    def __init__(self, broker: MemoryBroker, identity: str, *, exclusive: bool = False) -> None:
        """`exclusive`: fences off every earlier holder of `identity`; what it appends appears all at once."""
        self.crash_before: int | None = None
        """Set to n: of the appends from now on, the n-th (1: the next) crashes before its records stand."""
        self.crash_after: int | None = None
        """Likewise, after they stand."""
        self._broker = broker
        self._identity = identity
        self._token = broker.hold(identity) if exclusive else None
        self._positions: dict[LogName, int] = {}

    def append(self, records: Sequence[Outgoing]) -> int:
        if self._token is not None and not self._broker.is_held_by(self._identity, self._token):
            raise FencedError(f"another process is {self._identity} now")
        too_long = [record for record in records if len(record.value) > RECORD_BYTES_MAX]
        if too_long:
            raise ConfigurationError([f"{too_long[0].log}: a record of {len(too_long[0].value)} bytes is refused"])
        self.crash_before = _counted_down(self.crash_before)
        self._broker.take(records, self._identity, exclusive=self._token is not None)
        self.crash_after = _counted_down(self.crash_after)
        return self._broker.now_ms

    def read_from(self, positions: Mapping[LogName, int]) -> None:
        for log, start in positions.items():
            self._broker.read(log, start, 0)
        self._positions = dict(positions)

    def poll(self, timeout_s: float) -> list[Record]:  # noqa: ARG002 - the port's; time here moves by hand
        found: list[Record] = []
        for log, start in self._positions.items():
            records = self._broker.read(log, start, POLLED_MAX)
            self._positions[log] = start + len(records)
            found += records
        return found

    def find_bounds(self, log: LogName) -> tuple[int, int]:
        return self._broker.find_bounds(log)

    def has_caught_up(self, log: LogName, end: int) -> bool:
        return self._positions.get(log, 0) >= end

    def close(self) -> None:
        self._positions = {}


def _counted_down(left: int | None) -> int | None:
    """One append fewer until the crash; raises CrashError when it is due."""
    if left == 1:
        raise CrashError
    return None if left is None else left - 1
