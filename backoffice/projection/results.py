"""What the read model answers: messages as they stood on the topics, and what follows from several of them."""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from msgspec import Struct

from contract.dead_letters import DeadLetter
from contract.events import Label, Resolution, Transaction
from contract.verdicts import Decision, Verdict
from contract.windows import ENTITY_NAMES

ENTITY_KINDS = (*ENTITY_NAMES, "phone")
"""Fields of a transaction that the entity index holds."""

CaseState = Literal["open", "expired", "history", "resolved"]
"""`open`: the newest full verdict is hold, flag or block, and nobody resolved it. `expired`: a hold that the hold policy ended. `history`:
as `open`, of a row that a snapshot or a replay read, so nobody waits. `resolved`: a resolution came."""
CASE_STATES: tuple[CaseState, ...] = ("open", "expired", "history", "resolved")
CaseOrder = Literal["loss", "time_left"]
"""`loss`: the greatest expected loss first. `time_left`: holds alone, the one that expires first at the top."""

T = TypeVar("T")


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """Part of a list."""

    items: tuple[T, ...]
    next: str | None
    """The cursor of the page that follows; None on the last one."""


class Entity(Struct, frozen=True):
    """A thing that transactions share."""

    kind: str
    """One of ENTITY_KINDS."""
    token: str


class TransactionLine(Struct, frozen=True, kw_only=True):
    """A transaction with its newest verdict, as lists show it."""

    transaction_id: str
    transaction: Transaction | None
    """None: its verdict came first."""
    base_minor: int | None
    """The amount in minor units of the base currency; None where no rate is configured."""
    verdict: Verdict | None
    """The highest revision."""
    expected_loss_minor: int
    """Score times amount, in minor units of the base currency; 0 where one of them is unknown."""
    case: CaseState | None
    labels: tuple[Label, ...]
    """Every label that came, in the order in which they overrule each other; `backoffice.projection.labels.find_holding` chooses."""


class KnownTransaction(Struct, frozen=True, kw_only=True):
    """Everything that the topics said of one transaction."""

    line: TransactionLine
    verdicts: tuple[Verdict, ...]
    """Every revision, the lowest first."""
    resolutions: tuple[Resolution, ...]
    """The earliest first."""


class CaseQuery(Struct, frozen=True, kw_only=True):
    """Which cases, in which order."""

    state: CaseState = "open"
    order: CaseOrder = "loss"
    decision: Decision | None = None
    amount_min_minor: int | None = None
    """In minor units of the base currency."""
    entity: Entity | None = None
    due_after: datetime | None = None
    """With `time_left`: holds that expire later than this, so those whose time is over are left out."""


class CaseCount(Struct, frozen=True, kw_only=True):
    """How many cases of one state and decision there are."""

    state: CaseState
    decision: Decision
    count: int
    expected_loss_minor: int
    """In all."""


class EntitySummary(Struct, frozen=True, kw_only=True):
    """What an entity did within a time, of the newest SUMMARY_MAX transactions."""

    count: int
    amount_minor: int
    """In minor units of the base currency."""
    stopped: int
    """Whose newest verdict is hold or block."""
    frauds: int
    """Labelled as fraud."""
    first: datetime | None
    last: datetime | None
    capped: bool
    """There are more than were counted."""


class Neighbour(Struct, frozen=True, kw_only=True):
    """An entity that shares transactions with the one that was asked about."""

    entity: Entity
    depth: int
    """1: shares a transaction. 2: shares one with an entity of depth 1."""
    transactions: int
    """How many of the looked-at transactions name it."""
    frauds: int
    """Of those, labelled as fraud."""
    opened: bool
    """False: its own transactions were not looked at, since there are too many of them or the depth is reached."""


class Neighbourhood(Struct, frozen=True, kw_only=True):
    """The entities around one, the nearest first."""

    neighbours: tuple[Neighbour, ...]
    links: tuple[tuple[Entity, Entity, int], ...]
    """Pairs that share transactions, and how many of those were looked at."""
    transactions: tuple[str, ...]
    """Ids of the transactions that were looked at."""
    capped: bool
    """A bound was reached: there is more."""


class StoredLetter(Struct, frozen=True, kw_only=True):
    """A dead letter and where it stands."""

    letter: DeadLetter
    partition: int
    offset: int

    @property
    def name(self) -> str:
        """What `tillguard dead-letters` calls it."""
        return f"{self.partition}:{self.offset}"


class LetterCount(Struct, frozen=True, kw_only=True):
    """How many dead letters there are of one reason and part."""

    reason: str
    part: str
    count: int
    newest: datetime


class StageLatency(Struct, frozen=True, kw_only=True):
    """How long one stage took, in microseconds; `total` is from the append to Kafka until the verdict."""

    stage: str
    count: int
    """Verdicts that the percentiles are of."""
    p50_us: float
    p95_us: float
    p99_us: float


class Latencies(Struct, frozen=True, kw_only=True):
    """Percentiles of a time range."""

    stages: tuple[StageLatency, ...]
    verdicts: int
    """In the range, without late ones."""
    sampled: bool
    """True: there are more than SAMPLE_MAX, and the percentiles are of as many, spread evenly over the range."""


class DecisionCount(Struct, frozen=True, kw_only=True):
    """First answers and full ones within one step of time."""

    begins: datetime
    decision: Decision
    degraded: bool
    late: bool
    count: int


class ResolvedCase(Struct, frozen=True, kw_only=True):
    """One resolution with what it answered: the material of desk figures."""

    resolution: Resolution
    line: TransactionLine
    asked: Verdict | None
    """The full verdict, before any resolution or expiry."""


class VerdictPage(Struct, frozen=True, kw_only=True):
    """Verdicts in the order in which the read model took them in."""

    verdicts: tuple[Verdict, ...]
    cursor: str
    """Continues after the last of them; also where there are none."""
