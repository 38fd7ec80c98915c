"""When to train. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Schedule:
    """A training begins after this many new labels, or after so long where there is a new one."""

    every_labels: int
    every_s: float

    def is_due(self, new_labels: int, since_s: float, *, tried_at: int = 0) -> bool:
        """Whether to train now.

        Args:
            new_labels: labels that came since the last training that ended.
            since_s: time since the last attempt, or since the start.
            tried_at: how many there were at the last attempt, where that did not end with a model or a refusal: it is not
                made again until as many more have come, or so long has passed.
        """
        more = new_labels - tried_at
        return more >= self.every_labels or (new_labels > 0 and since_s >= self.every_s)
