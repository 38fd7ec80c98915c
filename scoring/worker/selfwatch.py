"""Notices a worker that stands still although there is work: consumers are known to stop without an error. Pure."""

from enum import Enum

from scoring.feeds.ports import FeedState


class Health(Enum):
    """How the feed is."""

    MOVING = "moving"
    """Progress, or nothing to do."""
    STALLED = "stalled"
    """Lag without progress for `stall_after_s`: not ready."""
    DEAD = "dead"
    """Lag without progress for twice as long: end the process, a fresh one begins where the offsets stand."""


class SelfWatch:
    """Judges successive pictures of one feed."""

    def __init__(self, stall_after_s: float, now_s: float) -> None:
        """`now_s` and all later times are of one monotonic clock."""
        self._stall_after_s = stall_after_s
        self._progress = -1
        self._moved_s = now_s
        self._now_s = now_s

    @property
    def progress_age_s(self) -> float:
        """Seconds since there was progress or nothing to do, as of the newest picture."""
        return self._now_s - self._moved_s

    def observe(self, state: FeedState, now_s: float, *, servers_answer: bool) -> Health:
        """Judges one picture.

        Waiting for Redis, Kafka or a first model is no stall: a restart would not heal it, only cost time when they are back.
        A feed that was never assigned partitions counts as having work, since it may be shut out of its group.
        """
        idle = state.assigned is not None and state.lag == 0
        if idle or state.progress != self._progress or not servers_answer:
            self._moved_s = now_s
        self._progress = state.progress
        self._now_s = now_s
        if self.progress_age_s >= 2 * self._stall_after_s:
            return Health.DEAD
        return Health.STALLED if self.progress_age_s >= self._stall_after_s else Health.MOVING
