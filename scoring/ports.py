"""What the engine needs from the outside, and what it gives back. Knows no Kafka, Redis, ONNX Runtime or Faust."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from contract.errors import TillguardError, TransientError
from contract.models import ChallengeMode, Manifest
from contract.verdicts import Decision

GIVEN_UP_AFTER_MS = 10_000
"""Behind an outage it is better to catch up in large batches than to answer each event within a budget long overdue."""


class RawEvent(NamedTuple):
    """One record as it stood on the transactions topic."""

    value: bytes | None
    topic: str
    partition: int
    offset: int
    appended_ms: int
    """When the broker appended it, ms since 1970 UTC."""
    key: bytes | None = None

    def is_given_up(self, now_ms: int) -> bool:
        """Whether it has lain in Kafka for so long that the till that asked has gone on without an answer."""
        return now_ms - self.appended_ms > GIVEN_UP_AFTER_MS


class WindowUpdate(NamedTuple):
    """What the store must know of one transaction to update its windows."""

    transaction_id: str
    event_time_ms: int
    amount_base_minor: int
    entities: tuple[str | None, ...]
    """Values in the order of contract.windows.ENTITIES; None where the transaction does not name one."""
    aliases: tuple[str | None, ...] | None
    """Previous tokens in the same order, while a tokenisation key rotates."""
    digest: bytes
    """8 bytes over the transaction's content without origin and ingest_time; another digest under the same id is a conflict."""


class Finding(NamedTuple):
    """What a transaction turned out to be, for the risk of its entities (contract/risk.py)."""

    transaction_id: str
    event_time_ms: int
    entities: tuple[tuple[int, bytes], ...]
    """Place among contract.windows.ENTITIES, and the 8 bytes that stand for the value."""
    fraud: bool
    plain: bool


class ListHit(NamedTuple):
    """One entry of an allow or deny list, or an override, that concerned a transaction at first sight."""

    entity: str
    """Field name, as `card`."""
    mark: str
    """`allow`, `deny` or `watch`."""


class SnoozeHit(NamedTuple):
    """A rule that was snoozed for an entity of a transaction at first sight."""

    entity: str
    """Field name, as `card`."""
    rule: str
    """Its id."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The store's answer for a batch of n window updates, in their order. For a redelivery everything is as at first sight."""

    applied_seq: NDArray[np.int64]
    """Shape (n,)."""
    first: NDArray[np.bool_]
    """Shape (n,); False for a transaction seen before (also within this batch)."""
    conflict: NDArray[np.bool_]
    """Shape (n,); True where the id was seen before with another digest."""
    aggregates: NDArray[np.float64]
    """Shape (n, K): contract.windows.list_aggregate_names of every entity, concatenated in the order of ENTITIES, then
    contract.risk.list_side_names likewise; NaN for an entity that the transaction does not name."""
    model_versions: list[str]
    """Pinned at first sight."""
    rules_versions: list[str]
    """Pinned at first sight."""
    marks: list[tuple[ListHit, ...]]
    """Pinned at first sight."""
    snoozes: list[tuple[SnoozeHit, ...]]
    """Pinned at first sight."""

    def take(self, rows: list[int]) -> "Applied":
        """The answer for some of the window updates."""
        return Applied(
            self.applied_seq[rows], self.first[rows], self.conflict[rows], self.aggregates[rows],
            [self.model_versions[row] for row in rows], [self.rules_versions[row] for row in rows],
            [self.marks[row] for row in rows], [self.snoozes[row] for row in rows],
        )  # fmt: skip


class StoreUnavailableError(TransientError):
    """The store did not answer in time; nothing can be said about which of the window updates it applied (asking again is safe)."""


class Ticket(Protocol):
    """A batch on its way through the store."""

    def wait(self, timeout_s: float) -> Applied:
        """Blocks at most `timeout_s` for the answer; raises StoreUnavailableError. Called once."""
        ...


class WindowStore(Protocol):
    """Exact sliding windows and first-sight records of one retailer.

    Called by one thread for every batch. Applying is atomic per window update and idempotent by transaction_id: after
    StoreUnavailableError the same window updates may be sent again.
    """

    def send(
        self,
        window_updates: Sequence[WindowUpdate],
        model_version: str,
        rules_version: str,
        others: Mapping[int, str] | None = None,
    ) -> Ticket:
        """Sends a batch without waiting for its answer; at most a few tickets are open at once, collected in order.

        The versions are pinned for window updates not seen before; `others` names the model of those, by their row, that another
        one judges. With an empty `model_version` nothing is pinned: a history fills the windows, and the first send of the same
        transaction that names a model pins its versions and its content. Raises StoreUnavailableError.
        """
        ...


class FindingTicket(Protocol):
    """Findings on their way through the store."""

    def wait(self, timeout_s: float) -> int:
        """How many were new; blocks at most `timeout_s`, raises StoreUnavailableError (sending again is safe)."""
        ...


class FindingStore(Protocol):
    """What became known of transactions, for the risk of their entities; used by one thread."""

    def learn(self, findings: Sequence[Finding]) -> FindingTicket:
        """Sends findings without waiting, idempotent by transaction_id; raises StoreUnavailableError."""
        ...


class Answer(NamedTuple):
    """A full verdict as it is published, and what the feature record repeats of it."""

    verdict: bytes
    decision: Decision
    score: float
    control: bool = False
    """True: of the control group."""


class NewCase(NamedTuple):
    """A full verdict that may be resolved, before it is on record."""

    transaction_id: str
    wanted: Answer
    open_until: datetime | None = None
    """For holds."""
    otherwise: Answer | None = None
    """What to remember instead of `wanted` where the breaker does not admit it; None: the breaker has no say."""


@dataclass(frozen=True, slots=True)
class Case:
    """A verdict on record that may be resolved: held, flagged or blocked."""

    transaction_id: str
    revision: int
    verdict: bytes
    """The newest revision, as published."""
    open_until: datetime | None
    """For holds."""


class StateCoverage(Protocol):
    """What the live state lacks, as the engine asks it for every transaction; must not block."""

    def list_missing(self, event_time_ms: int, *, risk: bool, live: bool) -> list[str]:
        """What a transaction does not find; `risk`: its model learned from risk, `live`: it is no history. Empty: nothing is known to lack."""
        ...


class CaseStore(Protocol):
    """Verdicts that wait for a resolution, and holds that wait for their expiry. Atomic and idempotent, shared by workers."""

    def open(self, cases: Sequence[NewCase], passed: int = 0) -> list[Answer]:
        """Puts full verdicts on record; the answers that stand, in step.

        A transaction that has a case keeps its first full verdict, however often it was resolved since, and that stands instead of
        the given one. Where a case has an `otherwise`, the breaker is asked in the same step, once per transaction. `passed`: how
        many transactions to count first, as by `passed`. Raises StoreUnavailableError.
        """
        ...

    def count_passed(self, transactions: int) -> None:
        """Counts answered live transactions, of which holds and blocks are a share. Raises StoreUnavailableError."""
        ...

    def get(self, transaction_id: str) -> Case | None:
        """The newest revision known, or None. Raises StoreUnavailableError."""
        ...

    def close(self, case: Case, *, expected_revision: int, cause_id: str) -> bytes:
        """Stores `case` as the newest revision if it still stands at `expected_revision`, and returns the stored verdict.

        `cause_id` (resolution_id, or `expiry`) makes it idempotent: a second call with the same cause returns the verdict
        stored by the first. `case.revision` is `expected_revision` or above; where `case.open_until` is set, `expired`
        returns it from then on, else no more (so an expiry comes back until its verdict is known to be published).
        Raises RevisionConflictError if another cause came first, StoreUnavailableError.
        """
        ...

    def list_expired(self, now: datetime, limit: int) -> list[Case]:
        """Up to `limit` holds whose time is over, oldest first. Raises StoreUnavailableError."""
        ...


class RevisionConflictError(TillguardError):
    """Another resolution came first."""


class LateError(TillguardError):
    """The model did not end in time."""


class ModelFailedError(TillguardError):
    """The model gave no usable score for a batch."""


class Model(Protocol):
    """One loaded model package; safe for threads."""

    @property
    def version(self) -> str:
        """The manifest's `model_version`."""
        ...

    @property
    def manifest(self) -> Manifest:
        """What the package says of its model."""
        ...

    @property
    def ordinary(self) -> NDArray[np.float32]:
        """The ordinary value of each feature, shape (F,); NaN where missing or unknown to the model."""
        ...

    def score(self, features: NDArray[np.float32], timeout_s: float) -> NDArray[np.float32]:
        """Probabilities of fraud in [0, 1], shape (n,), for features of shape (n, F); deterministic.

        Raises LateError after `timeout_s` (at once where it is not above 0), and ModelFailedError.
        """
        ...


@dataclass(frozen=True, slots=True)
class Challenger:
    """A model that runs next to the serving one."""

    model: Model
    mode: ChallengeMode
    share: float
    """Of customers that it answers, in [0, 1]; 0 in shadow mode."""


class Models(Protocol):
    """The models of one retailer, which another thread may exchange at any moment."""

    @property
    def serving(self) -> Model | None:
        """The promoted model, or None before the first one."""
        ...

    @property
    def challenger(self) -> Challenger | None:
        """The model that runs next to the serving one, or None."""
        ...

    def get(self, version: str) -> Model | None:
        """The model of `version`, or None where it is not to be had."""
        ...


@dataclass(slots=True)
class EventResult:
    """What became of one RawEvent: messages to publish, then whether its offset may be committed."""

    key: bytes
    """Kafka key of every message: the transaction_id, or the source key where that is unknown."""
    verdict: bytes | None = None
    features: bytes | None = None
    dead_letter: bytes | None = None
    complete: bool = True
    """False: answered degraded (or not at all again); keep the offset uncommitted and call again with `again=True`."""
    labels: list[bytes] = field(default_factory=list)
    """Labels that follow from a resolution."""
    shadow_score: bytes | None = None
    """What a challenger would have said."""
    alarm: bytes | None = None
    """What a person should look at."""


class RulesArchive(Protocol):
    """Every version of a retailer's rules that ever decided, as YAML text; shared by its workers. A few kB per version."""

    def keep(self, version: str, source: str) -> None:
        """Remembers `source`; harmless where it is known. Called when rules change. Raises StoreUnavailableError."""
        ...

    def find(self, version: str) -> str | None:
        """The source of `version`, or None. Called for redelivered transactions only. Raises StoreUnavailableError."""
        ...
