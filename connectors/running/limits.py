"""When bad rows are too many: a wrong mapping must stop the connector, not drain the source into dead letters. Pure."""

from collections import deque

from connectors.config.connector_file import Limits
from contract.errors import DeadLetterLimitError


class DeadLetterLimits:
    """Counts good and bad rows; both limits start again with the process."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._recent: deque[bool] = deque(maxlen=limits.ratio_rows)
        self._bad = 0
        self.in_a_row = 0
        """Bad rows since the last good one; above 0 the position should wait, so that a fixed mapping sees them again."""

    def count(self, *, bad: bool, reason: str = "") -> None:
        """Takes one row into account; raises DeadLetterLimitError past a limit.

        Args:
            bad: Whether the row became a dead letter.
            reason: Its reason code, for the message.
        """
        if len(self._recent) == self._limits.ratio_rows:
            self._bad -= self._recent[0]
        self._recent.append(bad)
        self._bad += bad
        self.in_a_row = self.in_a_row + 1 if bad else 0
        if not bad:
            return
        if self.in_a_row >= self._limits.dead_letters_in_a_row:
            self._stop(f"{self.in_a_row} bad rows in a row", reason)
        if len(self._recent) == self._limits.ratio_rows and self._bad > self._limits.dead_letter_ratio * len(
            self._recent
        ):
            self._stop(f"{self._bad} bad rows among the last {len(self._recent)}", reason)

    def _stop(self, what: str, reason: str) -> None:
        raise DeadLetterLimitError(
            f"{what}, the last for `{reason}`: the mapping no longer fits. See `tillguard dead-letters list` and "
            "`tillguard connector check`; then start again, or raise `limits` in the connector file"
        )
