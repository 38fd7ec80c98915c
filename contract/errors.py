"""The one tree of errors. A message never carries a secret or a customer's data: names of fields, never their values.

TillguardError
├── ConfigurationError      wrong settings, mapping or rules: all faults listed; the process exits with 2
├── InvalidEventError       one message cannot be used: it becomes a dead letter, the stream goes on
├── TransientError          a broker, database or store does not answer: bounded retry with backoff
├── PositionDeadError       a source no longer has the saved position: by policy fail or resnapshot
├── DeadLetterLimitError    too many bad rows: the connector stops before it drains everything
├── PackageRefusedError     a model package is damaged or does not fit: the old model goes on
├── PinnedError             the serving model is pinned: a training does not replace it by itself
├── ServingChangedError     another model was put in service since a training compared its own with what served
├── FencedError             another process has taken this one's place: it leaves the work to it, and exits with 3
├── TrainingRefusedError    the history or its model is not good enough to serve: nothing is published
├── UnexpectedError         something that no rule foresaw, in a sentence; the process exits with 1
└── InvariantError          a promise of the design is broken: crash
"""

from collections.abc import Sequence


class TillguardError(Exception):
    """Anything that Tillguard itself raises."""


class ConfigurationError(TillguardError):
    """Settings, a mapping or rules are wrong; `faults` lists every one of them, in words that say what to do."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = list(faults)


class InvalidEventError(TillguardError):
    """One message cannot be used. `reason` is a code of `contract.dead_letters.REASONS`; `detail` names fields only."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class TransientError(TillguardError):
    """A peer did not answer; trying again may help."""


class PositionDeadError(TillguardError):
    """The source can no longer go on from the saved position (purged binlog, oplog rolled over, dead token)."""


class DeadLetterLimitError(TillguardError):
    """The share or run of bad rows passed the limit."""


class PackageRefusedError(TillguardError):
    """A model package is not loaded; `reason` says why (checksum, feature_schema, parity, format, output)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class PinnedError(TillguardError):
    """The retailer's serving model is pinned, so that no training puts another in service by itself; says by whom and why."""


class ServingChangedError(TillguardError):
    """What serves is not what a new model was compared with any more, or may not be for long: a person decided meanwhile."""


class TrainingRefusedError(TillguardError):
    """The history cannot give a model worth serving, or the trained one did not pass its checks; says what is missing."""


class FencedError(TillguardError):
    """Another process has taken this one's place; whatever this one still writes is refused."""


class UnexpectedError(TillguardError):
    """Something that no rule foresaw: a fault of Tillguard or of a library. Names the kind of error and its place, no data."""


class InvariantError(TillguardError):
    """A promise of the design does not hold; going on would spread the damage."""
