"""How long who failed to sign in must wait. Pure.

Nobody is locked out for good: otherwise a stranger could do that to every account whose name is known.
"""

from typing import Literal, NamedTuple

FORGOTTEN_MS = 3_600_000
"""So long after the last failure they count no more."""


class Patience(NamedTuple):
    """How many failures are free, and how long a wait can become."""

    free: int
    wait_s_max: int


Of = Literal["account", "address"]
PATIENCE: dict[Of, Patience] = {"account": Patience(5, 300), "address": Patience(20, 900)}
"""An address may be an office's with many people."""


class Failures(NamedTuple):
    """What is known of one account or address."""

    times: int
    last_ms: int


def compute_wait_s(failures: Failures, now_ms: int, of: Of) -> int:
    """Seconds until the next attempt is looked at; 0: now. Doubles with each failure after the free ones."""
    patience = PATIENCE[of]
    over = failures.times - patience.free
    if over < 0 or now_ms - failures.last_ms >= FORGOTTEN_MS:
        return 0
    wait_ms = min(patience.wait_s_max, 1 << min(over, 30)) * 1_000
    # A clock that was set back must not make the wait longer.
    waited_ms = max(0, now_ms - failures.last_ms)
    return -(-max(0, wait_ms - waited_ms) // 1_000)


def count_failure(before: Failures | None, now_ms: int) -> Failures:
    """After one more."""
    if before is None or now_ms - before.last_ms >= FORGOTTEN_MS:
        return Failures(1, now_ms)
    return Failures(before.times + 1, now_ms)
