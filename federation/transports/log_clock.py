"""The machine's clock, held against the clock of the logs' broker, so that nobody says anything at a time that others refuse.

Messages from more than CLOCK_TOLERANCE_MS in the future are dropped by everyone, and a coordinator's own times order its decisions; so
one process whose clock is wrong would stop a federation, or never count in it. The broker's time comes with each record that it takes
(LogAppendTime). It is asked at the start and whenever this machine's clock has moved otherwise than its monotonic one.
"""

import secrets

import msgspec

from contract.clock import Clock, to_epoch_ms
from contract.errors import ConfigurationError
from contract.federation.fields import CLOCK_TOLERANCE_MS
from contract.federation.frames import Probe
from federation.transports.ports import Outgoing, Transport


class LogClock:
    """The present, as both this machine and the broker see it. Used by one thread."""

    def __init__(self, clock: Clock, transport: Transport, key: bytes) -> None:
        """`key`: of the records by which the broker is asked; no reader takes them for a message."""
        self._clock = clock
        self._transport = transport
        self._key = key
        self._known: tuple[int, float] | None = None
        """The broker's time in ms, and the monotonic reading in seconds at which it was that."""

    def now_ms(self) -> int:
        """This machine's time; raises ConfigurationError where it is away from the broker's, TransientError."""
        own_ms = to_epoch_ms(self._clock.now())
        if self._known is None or abs(self._away_ms(own_ms, *self._known)) > CLOCK_TOLERANCE_MS:
            own_ms = self._compare()
        return own_ms

    def _away_ms(self, own_ms: int, broker_ms: int, at_s: float) -> int:
        return own_ms - broker_ms - round((self._clock.monotonic_s() - at_s) * 1000)

    def _compare(self) -> int:
        """Also after a sleep of the machine, in which a monotonic clock may stand still while the others continue."""
        probe = msgspec.msgpack.encode(Probe(nonce=secrets.token_bytes(16)))
        broker_ms = self._transport.append([Outgoing("updates", self._key, probe)])
        self._known = broker_ms, self._clock.monotonic_s()
        own_ms = to_epoch_ms(self._clock.now())
        fault = describe_skew(own_ms - broker_ms)
        if fault is not None:
            self._known = None
            raise ConfigurationError([fault])
        return own_ms


def describe_skew(ahead_ms: int) -> str | None:
    """A sentence for whoever can set the clock, where it is `ahead_ms` ahead of the broker's (negative: behind); None: near enough. Pure."""
    if abs(ahead_ms) <= CLOCK_TOLERANCE_MS:
        return None
    minutes = f"{abs(ahead_ms) / 60_000:,.0f} minutes"
    return (
        f"this machine's clock is {minutes} {'ahead of' if ahead_ms > 0 else 'behind'} that of the federation's Kafka broker, and "
        f"{CLOCK_TOLERANCE_MS // 60_000} minutes are allowed: set the wrong one of the two right (both by NTP), then start again"
    )
