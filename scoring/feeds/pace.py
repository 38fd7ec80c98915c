"""How many events fit into one batch, so that all of them are answered within the time budget. Pure.

A batch that is too large misses the budget as a whole: all its events are answered degraded and must be scored again, which
is more work just when there is too much of it. So a batch takes what fits, by the pace of the batches before it.
"""

SHARE = 0.25
"""Of the budget for one batch's own work: the batch before it, a retry and the machine's other business need time too."""
SMOOTHING = 0.2
"""Weight of the newest batch in the pace."""
BATCH_MIN = 8
"""However slow a batch was, the next one may hold this many: a stall of the store is no pace."""


class Pace:
    """An exponential mean of the seconds an event takes."""

    def __init__(self, batch_max: int, budget_s: float | None) -> None:
        """`batch_max` is the bound whatever the pace; without a budget it is the only one."""
        self._batch_max = batch_max
        self._share_s = None if budget_s is None else SHARE * budget_s
        self._event_s = 0.0

    @property
    def batch_max(self) -> int:
        """Events that the next batch may hold."""
        if self._share_s is None or not self._event_s:
            return self._batch_max
        return int(min(self._batch_max, self._share_s / self._event_s))

    def learn(self, events: int, seconds: float) -> None:
        """Learns from a finished batch of one or more events; an event counts as what leaves room for BATCH_MIN, at most."""
        if self._share_s is None:
            return
        event_s = min(seconds / events, self._share_s / BATCH_MIN)
        self._event_s += (event_s - self._event_s) * (SMOOTHING if self._event_s else 1.0)
